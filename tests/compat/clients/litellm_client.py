"""litellm as a client of this app."""

from __future__ import annotations

import os

import litellm  # type: ignore[import-not-found]  # here alone
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    TOOL,
    WEATHER,
)

_PLACE = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
_HELLO = [{"role": "user", "content": "hello"}]


def check_chat() -> None:
    answer = litellm.completion(model=f"openai/{CHAT}", messages=_HELLO, **_PLACE)
    assert answer.choices[0].message.content.startswith(BEGINNING)


def check_stream() -> None:
    parts = litellm.completion(model=f"openai/{CHAT}", messages=_HELLO, stream=True, **_PLACE)
    assert "".join(part.choices[0].delta.content or "" for part in parts).startswith(BEGINNING)


async def check_asynchronous() -> None:
    answer = await litellm.acompletion(model=f"openai/{CHAT}", messages=_HELLO, **_PLACE)
    assert answer.choices[0].message.content.startswith(BEGINNING)


def check_tools() -> None:
    asked = [{"role": "user", "content": WEATHER}]
    answer = litellm.completion(model=f"openai/{CHAT}", messages=asked, tools=[TOOL], **_PLACE)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def check_embeddings() -> None:
    answer = litellm.embedding(model=f"openai/{EMBEDDINGS}", input=["hello"], **_PLACE)
    assert len(answer.data[0]["embedding"]) == DIMENSIONS


def check_errors() -> None:
    for kind, changes in (
        (litellm.AuthenticationError, {"api_key": "sk-wrong"}),
        (litellm.NotFoundError, {"model": "openai/gpt-unknown"}),
    ):
        asked = {"model": f"openai/{CHAT}", "messages": _HELLO} | _PLACE | changes
        try:
            litellm.completion(**asked, num_retries=0)
        except kind:
            continue
        raise AssertionError(f"no {kind.__name__}")
