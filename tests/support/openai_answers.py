"""Chat completions in OpenAI's form, as a provider sends them and a request that is passed on brings them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shared.llm.chat_model import Completion, PassedChunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.contracts import Usage
    from shared.llm.chat_model import ChatPrompt

type Json = dict[str, Any]


def usage_json(usage: Usage) -> Json:
    """Write what was used."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def completion_json(text: str, usage: Usage, model: str) -> Json:
    """Write a whole answer."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_769_855_400,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage_json(usage),
    }


def chunk_json(delta: Json, finish_reason: str | None = None, **more: object) -> Json:
    """Write a part."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_769_855_400,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **more,
    }


def embeddings_json(inputs: int, tokens: int, model: str = "text-embedding-3-small") -> Json:
    """Write an answer with a vector for each input."""
    vectors = [{"object": "embedding", "index": at, "embedding": [0.6, -0.8]} for at in range(inputs)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": vectors, "model": model, "usage": usage}


def last_words(prompt: ChatPrompt) -> str:
    """Return what was said last, whether the request is passed on or not."""
    if prompt.passed is None:
        return prompt.messages[-1].content
    messages = prompt.passed.fields["messages"]
    assert isinstance(messages, list)
    return str(messages[-1]["content"])


def passed_completion(text: str, usage: Usage, prompt: ChatPrompt) -> Completion:
    """Answer a request that is passed on."""
    return Completion("", usage, prompt.model, "stop", answer=completion_json(text, usage, prompt.model))


async def speak_chunks(text: str, completion: Completion) -> AsyncIterator[str | Completion]:
    """Say an answer word by word in parts to pass on."""
    told: Json = {"usage": None}
    yield PassedChunk.of("", chunk_json({"role": "assistant", "content": ""}, **told))
    for word in re.findall(r"\S+\s*", text):
        yield PassedChunk.of(word, chunk_json({"content": word}, **told))
    yield PassedChunk.of("", chunk_json({}, "stop", **told))
    yield PassedChunk.of("", chunk_json({}) | {"choices": [], "usage": usage_json(completion.usage)})
    yield completion
