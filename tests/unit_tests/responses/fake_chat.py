"""Chat completions as responses need them, with answers that a test says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.contracts import Usage
from shared.llm.chat_model import Completion, ModelNotFoundError, PassedChunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from functions.chat.openai.responses.chat_request import ChatField, TranslatedRequest
    from shared.errors import APIError
    from shared.llm.chat_model import AnswerStream

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


def answer(text: str = "Hello!", finish_reason: str = "stop", **message: object) -> dict[str, Any]:
    """Write a chat completion."""
    told = {"role": "assistant", "content": text} | message
    return {"choices": [{"index": 0, "message": told, "finish_reason": finish_reason}]}


@dataclass
class FakeChat:
    """Answers one request after the other.

    Attributes:
        answers: What is answered, the last one for ever: a chat completion, or an error.
        asked: The requests.
        breaks_after: The parts of a stream after which it breaks with an error.
        at_end: Is waited for after the last part of a stream.
        hangs: Whether it never answers; `reached` is set then.
        paid: How many answers were given, or begun.
        left: How many streams and answers were not waited for to their end.
    """

    answers: list[dict[str, Any] | APIError] = field(default_factory=lambda: [answer()])
    asked: list[ChatField] = field(default_factory=list)
    breaks_after: tuple[int, APIError] | None = None
    hangs: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    at_end: Callable[[], Awaitable[None]] | None = None
    paid: int = 0
    left: int = 0

    async def require_model(self, model: str) -> None:
        if model != "gpt-4o":
            raise ModelNotFoundError(model)

    async def prepare(self, request: TranslatedRequest) -> FakeChat:
        self.asked.append(request.body)
        return self

    async def complete(self) -> Completion:
        await self._hang()
        given = self._next()
        return Completion("", USAGE, "gpt-4o", "stop", answer=given)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AnswerStream]:
        given = self._next()
        yield self._parts(given["choices"][0])

    async def _parts(self, choice: dict[str, Any]) -> AsyncIterator[str | Completion]:
        message = choice["message"]
        words = [f"{word} " for word in message["content"].split()] if message.get("content") else []
        deltas: list[dict[str, Any]] = [{"content": word} for word in words]
        deltas += [
            {"tool_calls": [call | {"index": n}]} for n, call in enumerate(message.get("tool_calls", ()))
        ]
        for number, delta in enumerate(deltas):
            if self.breaks_after is not None and number == self.breaks_after[0]:
                raise self.breaks_after[1]
            if number == 1:
                await self._hang()
            yield PassedChunk.of("", {"choices": [{"index": 0, "delta": delta}]})
        yield PassedChunk.of("", {"choices": [{"delta": {}, "finish_reason": choice["finish_reason"]}]})
        if self.at_end is not None:
            await self.at_end()
        yield Completion("", USAGE, "gpt-4o", choice["finish_reason"])

    async def _hang(self) -> None:
        if self.hangs:
            self.reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1

    def _next(self) -> dict[str, Any]:
        self.paid += 1
        given = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if not isinstance(given, dict):
            raise given
        return given
