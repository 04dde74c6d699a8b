"""Stream of one answer, read off its connection: within its bounds, closed when nobody reads on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.llm.chat_model import TruncatedAnswerError
from shared.llm.passed_answer import PassedAnswer
from shared.llm.provider_errors import ProviderConnectionError
from shared.llm.streamed_answer import EventDecoder, EventTooLongError, StreamedAnswer
from shared.resilience.deadlines import remaining_seconds
from shared.resilience.wait_limit import WaitLimit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from shared.contracts import Usage
    from shared.llm.chat_model import ChatPrompt, Completion
    from shared.llm.provider_http import ProviderAnswer

_LAST_BYTES_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """Bounds of one answer's stream.

    Attributes:
        idle_seconds: How long it may be silent.
        total_seconds: How long it may take; the caller's deadline can only shorten it.
        event_bytes: The most that one event may have.
        framing_bytes: The most that it may have beside its parts.
        part_bytes: The most that it may have for each token that was asked for, or may be told of beside it.
        characters: The most that its text may have.
    """

    idle_seconds: float = 60.0
    total_seconds: float = 180.0
    event_bytes: int = 1 << 20
    framing_bytes: int = 1 << 20
    part_bytes: int = 2048
    characters: int = 2_000_000


STREAM_BOUNDS = StreamBounds()


class GrowingAnswer(Protocol):
    """Answer that is put together of a stream's events."""

    @property
    def usage(self) -> Usage | None:
        """The tokens that it used, once they are told."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the provider said that nothing more comes."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether nothing that is needed of it is still to come."""
        ...

    def take_all(self, events: Iterable[bytes]) -> Sequence[str]:
        """Read the data of some events, and return the parts that they add."""
        ...

    def end(self) -> str:
        """Return what is left when the stream is over."""
        ...

    def complete(self) -> Completion:
        """Return the whole answer, once its stream is over.

        Raises:
            APIError: It cannot be used, or is not whole.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """An answer of which the first bytes have come: from now on no other attempt can take its place."""

    answer: ProviderAnswer
    first: bytes

    @classmethod
    async def of(cls, answer: ProviderAnswer) -> OpenedStream:
        """Wait for an answer's first bytes.

        Raises:
            ProviderConnectionError: They did not come; the answer is closed.
        """
        async with AsyncExitStack() as failing:
            failing.push_async_callback(answer.close)
            first = await answer.read_part()
            if not first:
                raise ProviderConnectionError("the stream is empty", was_sent=True)
            failing.pop_all()
        return cls(answer, first)

    async def read(self, prompt: ChatPrompt, bounds: StreamBounds) -> AsyncGenerator[str | Completion]:
        """Read the answer: its text as it comes, then the whole.

        The answer to a request that is passed on comes event by event, whatever its end says.

        Raises:
            FilteredAnswerError: The provider's content filter stopped it.
            DeclinedAnswerError: The model declined to answer.
            TruncatedAnswerError: It broke off, or went beyond its bounds.
            UnusableAnswerError: It cannot be used.
        """
        answer, decoder = _begin(prompt, bounds), EventDecoder(bounds.event_bytes)
        told = 1 if prompt.passed is None else prompt.passed.told_tokens
        left_bytes = bounds.framing_bytes + bounds.part_bytes * prompt.most_output_tokens * told
        remaining = remaining_seconds()
        total = bounds.total_seconds if remaining is None else min(bounds.total_seconds, remaining)
        ends_at = _now() + total
        content = self.first
        with WaitLimit() as limit:
            while content:
                left_bytes -= len(content)
                for part in _take(answer, decoder, content, left_bytes):
                    yield part
                until = min(ends_at, _now() + bounds.idle_seconds)
                content = b"" if answer.is_over else await self._next(answer, limit, until)
        if text := answer.end():
            yield text
        if answer.is_over:
            await self._drain()
        yield answer.complete()

    async def _next(self, answer: GrowingAnswer, limit: WaitLimit, until: float) -> bytes:
        """Return the next bytes; none where the stream is over, or ends otherwise after all that is needed.

        Raises:
            TruncatedAnswerError: They did not come.
        """
        try:
            return await limit.wait(self.answer.read_part(), until)
        except (TimeoutError, ProviderConnectionError) as error:
            if answer.is_whole:
                return b""
            reason = (
                "did not go on with its answer in time"
                if isinstance(error, TimeoutError)
                else "broke its answer off"
            )
            raise TruncatedAnswerError(reason, answer.usage) from error

    async def _drain(self) -> None:
        """Read the end of the response, if it is there: its connection can then be used again."""
        with suppress(TimeoutError, ProviderConnectionError):
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await self.answer.read_part()


def _begin(prompt: ChatPrompt, bounds: StreamBounds) -> GrowingAnswer:
    if prompt.passed is not None:
        return PassedAnswer(prompt.model, prompt.passed.choices)
    return StreamedAnswer(prompt.model, bounds.characters)


def _take(answer: GrowingAnswer, decoder: EventDecoder, content: bytes, left_bytes: int) -> Sequence[str]:
    """Return the parts that the bytes add.

    Raises:
        TruncatedAnswerError: The stream went beyond its bounds.
    """
    try:
        events = decoder.feed(content)
    except EventTooLongError as error:
        raise TruncatedAnswerError("sent an event that is too long", answer.usage) from error
    if left_bytes < 0:
        raise TruncatedAnswerError("sent more than was asked for", answer.usage)
    return answer.take_all(events)


def _now() -> float:
    return asyncio.get_running_loop().time()
