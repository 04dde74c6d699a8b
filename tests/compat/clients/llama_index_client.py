"""llama-index-llms-openai-like and its embeddings."""

from __future__ import annotations

import os

from llama_index.core.llms import ChatMessage  # type: ignore[import-not-found]  # here alone
from llama_index.core.tools import FunctionTool  # type: ignore[import-not-found]  # here alone
from llama_index.embeddings.openai_like import OpenAILikeEmbedding  # type: ignore[import-not-found]  # here alone
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-not-found]  # here alone
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    WEATHER,
    Verdict,
    get_weather,
)

_PLACE = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}


def _model() -> OpenAILike:
    return OpenAILike(model=CHAT, is_chat_model=True, is_function_calling_model=True, **_PLACE)


def check_chat() -> None:
    answer = _model().chat([ChatMessage(role="user", content="hello")])
    assert answer.message.content.startswith(BEGINNING)


def check_stream() -> None:
    parts = list(_model().stream_chat([ChatMessage(role="user", content="hello")]))
    assert parts[-1].message.content.startswith(BEGINNING)


async def check_asynchronous() -> None:
    answer = await _model().acomplete("hello")
    assert answer.text.startswith(BEGINNING)


def check_tools() -> None:
    told = _model().predict_and_call([FunctionTool.from_defaults(get_weather)], WEATHER)
    assert "18 degrees in" in str(told)


def check_structured_answers() -> None:
    answer = _model().as_structured_llm(Verdict).complete("judge")
    assert isinstance(answer.raw, Verdict)


def check_embeddings() -> None:
    model = OpenAILikeEmbedding(model_name=EMBEDDINGS, **_PLACE)
    assert [len(one) for one in model.get_text_embedding_batch(["hello", "bye"])] == [DIMENSIONS, DIMENSIONS]
