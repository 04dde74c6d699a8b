"""The official client, asynchronous, and its raw streams."""

from __future__ import annotations

from typing import Any

import openai
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    TOOL,
    WEATHER,
    Verdict,
)

_HELLO: Any = [{"role": "user", "content": "hello"}]


async def check_chat() -> None:
    async with openai.AsyncOpenAI() as client:
        answer = await client.chat.completions.create(model=CHAT, messages=_HELLO)
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.startswith(BEGINNING)


async def check_stream() -> None:
    async with openai.AsyncOpenAI() as client:
        parts = await client.chat.completions.create(model=CHAT, messages=_HELLO, stream=True)
        text = "".join([part.choices[0].delta.content or "" async for part in parts if part.choices])
    assert text.startswith(BEGINNING)


async def check_streamed_tools_and_parsed_answers() -> None:
    async with openai.AsyncOpenAI() as client:
        async with client.chat.completions.stream(
            model=CHAT, messages=[{"role": "user", "content": WEATHER}], tools=[TOOL]
        ) as events:
            called = await events.get_final_completion()
        async with client.chat.completions.stream(
            model=CHAT, messages=_HELLO, response_format=Verdict
        ) as parts:
            judged = await parts.get_final_completion()
    assert called.choices[0].message.tool_calls
    assert isinstance(judged.choices[0].message.parsed, Verdict)


async def check_a_stream_that_is_left() -> None:
    async with openai.AsyncOpenAI() as client:
        parts = await client.chat.completions.create(model=CHAT, messages=_HELLO, stream=True)
        async for _ in parts:
            break
        await parts.close()
        again = await client.chat.completions.create(model=CHAT, messages=_HELLO)
    assert again.choices


async def check_embeddings() -> None:
    async with openai.AsyncOpenAI() as client:
        answer = await client.embeddings.create(model=EMBEDDINGS, input="hello")
    assert len(answer.data[0].embedding) == DIMENSIONS
