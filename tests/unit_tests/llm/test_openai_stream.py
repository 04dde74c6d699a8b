"""Streams of the model client over connections in memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import pytest

from shared.contracts import Usage
from shared.errors import DependencyUnavailableError
from shared.llm.chat_model import Completion, ModelOutageError, PromptRejectedError, TruncatedAnswerError
from shared.llm.openai_stream import StreamBounds
from shared.resilience.circuit_breaker import BreakerState
from shared.resilience.deadlines import deadline
from tests.support.fakes import FakeClock
from tests.support.models import deployment, open_model
from tests.unit_tests.llm.test_openai_client import PROMPT, Endpoint, failure
from tests.unit_tests.llm.test_streamed_answer import DONE, END, TOLD, part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.llm.openai_client import OpenAIChatModel
    from shared.resilience.dependency import Dependency
    from tests.unit_tests.llm.test_openai_client import Step

USED = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


@dataclass
class Told(httpx2.AsyncByteStream):
    """A response's bytes, event by event; then it breaks, hangs or ends."""

    events: tuple[bytes, ...]
    breaks: Exception | None = None
    hangs: bool = False
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield b"data: " + event + b"\n\n"
        if self.breaks is not None:
            raise self.breaks
        if self.hangs:
            self.waits.set()
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed.set()

    @property
    def response(self) -> httpx2.Response:
        return httpx2.Response(200, stream=self)


def telling(*events: bytes, breaks: Exception | None = None, hangs: bool = False) -> Told:
    return Told(events, breaks, hangs)


@dataclass
class Streams:
    """The client, its endpoint and its breaker."""

    chat: OpenAIChatModel
    endpoint: Endpoint
    dependency: Dependency

    @classmethod
    def of(cls, *steps: Step, bounds: StreamBounds | None = None) -> Streams:
        endpoint = Endpoint(list(steps))
        chat, dependencies = open_model(endpoint.handle, FakeClock(), bounds=bounds or StreamBounds())
        return cls(chat, endpoint, dependencies.of(deployment()))

    async def read(self) -> list[str | Completion]:
        async with self.chat.stream(PROMPT) as answer:
            return [one async for one in answer]


WHOLE = (part(""), part("hel"), part("lo"), END, TOLD, DONE)


async def test_a_stream_is_asked_for_with_its_usage_and_comes_in_parts() -> None:
    told = telling(*WHOLE)
    streams = Streams.of(told.response)
    *parts, completion = await streams.read()

    assert parts == ["hel", "lo"]
    assert completion == Completion("hello", USED, "gpt-4o-x", "stop", "gpt-4o")
    (request,) = streams.endpoint.requests
    assert (request.headers["accept"], request.headers["accept-encoding"]) == (
        "text/event-stream",
        "identity",
    )
    body = json.loads(request.content)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert told.closed.is_set()


@pytest.mark.parametrize("streams", [False, True])
async def test_a_redirection_is_not_followed_and_is_no_answer(*, streams: bool) -> None:
    moved = httpx2.Response(
        307, headers={"location": "http://elsewhere.test/"}, stream=httpx2.ByteStream(b"moved")
    )
    asked = Streams.of(moved)
    with pytest.raises(DependencyUnavailableError):
        await (asked.read() if streams else asked.chat.complete(PROMPT))

    assert [request.url.host for request in asked.endpoint.requests] == ["model.test"]


@pytest.mark.parametrize(
    "step",
    [
        failure(429),
        failure(503),
        httpx2.ConnectError("refused"),
        telling(breaks=httpx2.ReadError("cut before its first byte")).response,
        telling().response,
    ],
)
async def test_a_stream_is_tried_again_until_its_first_byte(step: Step) -> None:
    streams = Streams.of(step, telling(*WHOLE).response)
    assert (await streams.read())[:2] == ["hel", "lo"]
    assert len(streams.endpoint.requests) == 2


async def test_a_stream_is_tried_three_times_at_most() -> None:
    streams = Streams.of(*[telling().response for _ in range(4)])
    with pytest.raises(DependencyUnavailableError) as caught:
        await streams.read()
    assert not isinstance(caught.value, ModelOutageError)
    assert len(streams.endpoint.requests) == 3


async def test_an_open_breaker_lets_no_stream_through() -> None:
    streams = Streams.of()
    while streams.dependency.breaker.state is not BreakerState.OPEN:
        streams.dependency.breaker.record_failure()
    with pytest.raises(ModelOutageError):
        await streams.read()


async def test_a_refused_prompt_is_refused_before_the_stream() -> None:
    with pytest.raises(PromptRejectedError):
        await Streams.of(failure(400, code="unsupported_parameter")).read()


@pytest.mark.parametrize("error", [httpx2.ReadError("cut"), httpx2.ReadTimeout("late"), None])
@pytest.mark.parametrize("events", [(part("hel"),), (part("hel"), TOLD)])
async def test_a_stream_that_breaks_off_is_an_error_and_not_tried_again(
    error: Exception | None, events: tuple[bytes, ...]
) -> None:
    told = telling(*events, breaks=error)
    streams = Streams.of(told.response)
    async with streams.chat.stream(PROMPT) as answer:
        assert await anext(answer) == "hel"
        with pytest.raises(TruncatedAnswerError) as caught:
            await anext(answer)

    assert caught.value.usage == (USED if TOLD in events else None)
    assert len(streams.endpoint.requests) == 1
    assert told.closed.is_set()


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (StreamBounds(idle_seconds=0.001), "in time"),
        (StreamBounds(total_seconds=0.001), "in time"),
    ],
)
async def test_a_stream_that_is_silent_for_too_long_is_given_up(bounds: StreamBounds, reason: str) -> None:
    told = telling(part("hel"), hangs=True)
    with pytest.raises(TruncatedAnswerError, match=reason):
        await Streams.of(told.response, bounds=bounds).read()
    assert told.closed.is_set()


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (StreamBounds(event_bytes=300), "too long"),
        (StreamBounds(framing_bytes=200, part_bytes=1), "more than was asked for"),
    ],
)
async def test_a_stream_beyond_its_bounds_is_given_up(bounds: StreamBounds, reason: str) -> None:
    told = telling(part("hel"), part("x" * 300), END, TOLD, DONE)
    with pytest.raises(TruncatedAnswerError, match=reason):
        await Streams.of(told.response, bounds=bounds).read()
    assert told.closed.is_set()


async def test_a_stream_ends_with_the_deadline_of_the_work_that_it_is_read_for() -> None:
    clock = FakeClock()
    with deadline(30, clock):
        async with Streams.of(telling(part("hel"), hangs=True).response).chat.stream(PROMPT) as answer:
            clock.advance(30)  # while it was opened
            assert await anext(answer) == "hel"
            with pytest.raises(TruncatedAnswerError, match="in time"):
                await anext(answer)


async def test_a_reader_that_leaves_closes_the_response() -> None:
    told = telling(part("hel"), hangs=True)
    async with Streams.of(told.response).chat.stream(PROMPT) as answer:
        assert await anext(answer) == "hel"
    assert told.closed.is_set()


@pytest.mark.parametrize("events", [(), (part("hel"),)])
async def test_a_reader_that_is_cancelled_closes_the_response(events: tuple[bytes, ...]) -> None:
    told = telling(*events, hangs=True)
    streams = Streams.of(told.response)
    reading = asyncio.create_task(streams.read())
    await told.waits.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert told.closed.is_set()


@pytest.mark.parametrize("hangs", [True, False])
async def test_an_answer_that_is_whole_stays_so_however_its_stream_ends(*, hangs: bool) -> None:
    told = telling(*WHOLE[:-1], breaks=None if hangs else httpx2.ReadError("cut"), hangs=hangs)
    answer = await Streams.of(told.response, bounds=StreamBounds(idle_seconds=0.001)).read()
    assert answer[-1] == Completion("hello", USED, "gpt-4o-x", "stop", "gpt-4o")


async def test_an_end_that_does_not_come_after_the_last_event_is_not_waited_for() -> None:
    told = telling(*WHOLE, hangs=True)
    assert isinstance((await Streams.of(told.response).read())[-1], Completion)
