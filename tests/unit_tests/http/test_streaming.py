"""Streams of events: how they look, begin, end and are left, and what each of these does to the handler."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator  # noqa: TC003  # the edge resolves the handlers' annotations
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConflictError, DependencyUnavailableError
from shared.http.idempotency import Idempotency
from shared.http.models import ReplyModel, RequestModel
from shared.http.openapi import build_openapi
from shared.http.rate_limiter import RequestRateLimiter
from shared.http.routes import Routes
from shared.http.streaming import HEARTBEAT_SECONDS, EventStream, StreamEvent, render_event
from shared.logging.context import log_context
from shared.resilience.concurrency import Paces
from shared.resilience.deadlines import remaining_seconds
from shared.tenancy.context import Role, TenantContext, ambient_tenant
from tests.support.fakes import Call, FakeAuthenticator, RouteClient, StillClock, tenant_context
from tests.support.memory_cosmos import memory_cosmos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from shared.http.route import Route
    from tests.support.fakes import Answer, StreamReader
    from tests.support.memory_cosmos import MemoryCosmos

HEARTBEAT = b": still at work\n\n"


class TellRequest(RequestModel):
    stream: bool = True


class TellReply(ReplyModel):
    text: str


@dataclass
class Edge:
    """A route that tells the words that are put, one by one, and what the edge needs for it."""

    cosmos: MemoryCosmos
    clock: StillClock = field(default_factory=StillClock)
    authenticator: FakeAuthenticator = field(default_factory=FakeAuthenticator)
    routes: list[Route] = field(default_factory=list)
    rates: dict[str, int] = field(default_factory=lambda: {"free": 600})
    words: asyncio.Queue[str | Exception | None] = field(default_factory=asyncio.Queue)
    told: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    @cached_property
    def paces(self) -> Paces:
        return Paces(self.clock)

    def __post_init__(self) -> None:
        routes = Routes(self, "tales")

        @routes.post("v1/tales", min_role=Role.USER, seconds=60)
        async def tell(tenant: TenantContext, tale: TellRequest) -> TellReply | EventStream[TellReply]:
            """Tell a tale."""
            if tale.stream:
                return EventStream(self.tell())
            return TellReply(text=tenant.tenant_id)

        @routes.post("v1/hasty-tales", min_role=Role.USER, seconds=0.01)
        async def tell_hastily(tenant: TenantContext) -> TellReply | EventStream[TellReply]:
            """Tell a tale for which there is no time."""
            return EventStream(self.tell())

        self.headers = self.authenticator.add("user", tenant_context("acme"))
        self.client = RouteClient(self)

    async def tell(self) -> AsyncGenerator[StreamEvent | TellReply]:
        try:
            while (word := await self.words.get()) is not None:
                if isinstance(word, Exception):
                    raise word
                self.told.append(f"{word} {ambient_tenant().tenant_id} {log_context().request_id}")
                yield StreamEvent("token", json.dumps({"text": word}))
            yield TellReply(text=f"{len(self.told)} words, {remaining_seconds()} s left")
        finally:
            self.closed.append(ambient_tenant().tenant_id)

    def say(self, *words: str | Exception | None) -> None:
        for word in words:
            self.words.put_nowait(word)

    async def call(self, *, key: str | None = None, stream: bool = True) -> Answer:
        return await self.client.call("tell", self.request(key, stream=stream))

    async def stream(self, name: str = "tell") -> StreamReader:
        return await self.client.stream(name, self.request())

    def request(self, key: str | None = None, *, stream: bool = True) -> Call:
        named = {} if key is None else {"idempotency-key": key}
        return Call.of({"stream": stream}, headers=self.headers | {"x-request-id": "r1"} | named)

    @cached_property
    def rate_limiter(self) -> RequestRateLimiter:
        return RequestRateLimiter(self.rates, 60, self.clock)

    @cached_property
    def idempotency(self) -> Idempotency:
        return Idempotency(self.cosmos.container("idempotency"), self.clock)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with memory_cosmos() as cosmos:
        yield Edge(cosmos)


def token(word: str) -> bytes:
    return f'event: token\ndata: {{"text": "{word}"}}\n\n'.encode()


def done(words: int, seconds: float = 60.0) -> bytes:
    return f'event: done\ndata: {{"text":"{words} words, {seconds} s left"}}\n\n'.encode()


@given(data=st.text(st.characters(codec="utf-8")))
def test_an_event_arrives_whatever_its_data_is(data: str) -> None:
    head, *lines = render_event("token", data).decode().removesuffix("\n\n").split("\n")
    values = [line.removeprefix("data: ") for line in lines]

    assert head == "event: token"
    assert all("\r" not in line and line.startswith("data: ") for line in lines)
    assert "\n".join(values) == data.replace("\r\n", "\n").replace("\r", "\n")


async def test_events_arrive_as_they_are_made_and_the_reply_comes_last(edge: Edge) -> None:
    edge.say("once")
    async with await edge.stream() as reader:
        assert await reader.piece() == token("once")
        edge.say("upon")
        assert await reader.piece() == token("upon")
        edge.say(None)
        assert await reader.piece() == done(2)
        assert await reader.piece() == b""
        assert reader.is_whole

    assert edge.told == ["once acme r1", "upon acme r1"]
    assert edge.closed == ["acme"]


async def test_a_stream_has_the_headers_of_every_answer_and_its_own(edge: Edge) -> None:
    edge.say("once", None)
    answer = await edge.call()

    assert answer.status == 200
    expected = {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-request-id": "r1",
        "x-content-type-options": "nosniff",
        "x-ratelimit-limit": "600",
    }
    assert expected.items() <= answer.headers.items()
    assert "content-length" not in answer.headers


async def test_the_same_route_answers_plainly_who_asks_for_no_stream(edge: Edge) -> None:
    answer = await edge.call(stream=False)
    assert (answer.status, answer.json()) == (200, {"text": "acme"})
    assert answer.headers["content-type"] == "application/json"


async def test_what_fails_before_the_first_event_is_answered_with_its_status(edge: Edge) -> None:
    edge.say(ConflictError("The tale is being told", retry_after=2))
    answer = await edge.call()
    assert (answer.status, answer.json()["error"]) == (409, "ConflictError")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (DependencyUnavailableError("The muse"), "DependencyUnavailableError"),
        (ValueError("x"), "InternalError"),
    ],
)
async def test_what_fails_later_is_the_last_event_in_the_shape_of_every_error(
    edge: Edge, failure: Exception, name: str
) -> None:
    edge.say("once", failure)
    async with await edge.stream() as reader:
        content = await reader.rest()
        assert reader.is_whole

    first, last = content.removesuffix(b"\n\n").split(b"\n\n")
    assert first + b"\n\n" == token("once")
    head, _, data = last.partition(b"\ndata: ")
    error = json.loads(data)
    assert head == b"event: error"
    assert (error["error"], error["request_id"]) == (name, "r1")
    assert set(error) == {"error", "message", "detail", "timestamp", "request_id"}


async def test_a_stream_without_its_reply_is_a_defect(edge: Edge) -> None:
    async def no_reply() -> AsyncGenerator[StreamEvent | TellReply]:
        yield StreamEvent("token", "{}")

    routes = Routes(edge, "tales")

    @routes.post("v1/lost-tales", min_role=Role.USER)
    async def lose(tenant: TenantContext) -> TellReply | EventStream[TellReply]:
        """Lose the end."""
        return EventStream(no_reply())

    async with await edge.stream("lose") as reader:
        assert b"InternalError" in await reader.rest()


async def test_a_silent_stream_is_kept_alive_every_fifteen_seconds(edge: Edge) -> None:
    opening = asyncio.create_task(edge.stream())
    await asyncio.sleep(0.01)
    assert not opening.done()
    await edge.clock.move(HEARTBEAT_SECONDS)
    async with await opening as reader:
        assert await reader.piece() == HEARTBEAT
        await edge.clock.move(10)
        edge.say("once")
        assert await reader.piece() == token("once")
        await edge.clock.move(10)  # the silence is counted from the last event
        edge.say("upon")
        assert await reader.piece() == token("upon")
        await edge.clock.move(HEARTBEAT_SECONDS)
        assert await reader.piece() == HEARTBEAT
        edge.say(None)
        assert await reader.rest() == done(2, 60.0 - 20 - 2 * HEARTBEAT_SECONDS)


@pytest.mark.parametrize("words", [[], ["once"]])
async def test_a_client_that_leaves_ends_the_handler(
    edge: Edge, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    edge.say("before", *words)
    async with await edge.stream() as reader:
        await reader.piece()

    assert edge.closed == ["acme"]
    assert not reader.is_whole
    (left,) = [record for record in caplog.records if record.message == "Client left its stream"]
    facts = vars(left)
    assert facts["route"] == "tell"
    assert facts["sent_bytes"] >= len(token("before"))


@pytest.mark.parametrize("failure", [OSError("gone"), TimeoutError()])
async def test_a_client_that_takes_nothing_any_more_ends_the_handler(edge: Edge, failure: OSError) -> None:
    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: MutableMapping[str, object]) -> None:
        if message["type"] == "http.response.body":
            raise failure

    edge.say("once")
    reader = await edge.stream()
    await reader.response({}, receive, send)
    assert edge.closed == ["acme"]


async def test_a_request_that_is_ended_before_its_first_event_ends_the_handler(edge: Edge) -> None:
    opening = asyncio.create_task(edge.stream())
    await asyncio.sleep(0.01)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert edge.closed == ["acme"]


async def test_a_client_that_takes_nothing_holds_the_handler_back(edge: Edge) -> None:
    words = ["x" * 10_000] * 50
    edge.say(*words, None)
    async with await edge.stream() as reader:
        for _ in range(1000):  # many times what all of the words need
            await asyncio.sleep(0)
        assert len(edge.told) < 25
        assert (await reader.rest()).count(b"event: token") == 50


async def test_a_stream_whose_time_is_over_ends_with_an_error(edge: Edge) -> None:
    edge.say("once")
    async with await edge.stream("tell_hastily") as reader:
        assert b"event: error" in (content := await reader.rest())
    assert b"DeadlineExceededError" in content
    assert edge.closed == ["acme"]


async def test_the_log_has_one_line_at_the_end_of_a_stream(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    edge.say("once")
    async with await edge.stream() as reader:
        await reader.piece()
        assert [one for one in caplog.records if one.message == "Request answered"] == []
        await edge.clock.move(2)
        edge.say(None)
        await reader.rest()

    (line,) = [vars(one) for one in caplog.records if one.message == "Request answered"]
    assert (line["status"], line["duration_ms"], line["first_event_ms"]) == (200, 2000.0, 0.0)
    assert line["sent_bytes"] == len(token("once") + done(1, 58.0))


async def test_a_stream_that_is_asked_for_again_is_answered_by_its_last_event_alone(edge: Edge) -> None:
    edge.say("once", None)
    first = await edge.call(key="k")
    again = await edge.call(key="k")

    assert first.body == token("once") + done(1)
    assert again.body == done(1)
    assert (again.status, again.headers["content-type"]) == (200, "text/event-stream")
    assert edge.told == ["once acme r1"]


async def test_a_stream_that_is_asked_for_again_while_it_runs_waits(edge: Edge) -> None:
    edge.say("once")
    async with await edge.client.stream("tell", edge.request("k")) as reader:
        await reader.piece()
        assert (await edge.call(key="k")).status == 409
        edge.say(None)
        await reader.rest()
    assert (await edge.call(key="k")).body == done(1)


async def test_a_stream_that_was_left_frees_its_key(edge: Edge) -> None:
    edge.say("once")
    async with await edge.client.stream("tell", edge.request("k")) as reader:
        await reader.piece()
    edge.say("again", None)
    assert (await edge.call(key="k")).body == token("again") + done(2)


def test_the_document_shows_both_forms_of_the_answer(edge: Edge) -> None:
    operation = build_openapi(edge.routes, "1")["paths"]["/api/v1/tales"]["post"]
    content = operation["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}
    events = content["text/event-stream"]["schema"]["anyOf"]
    named = {event["properties"]["event"].get("const"): event["properties"]["data"] for event in events}
    assert named["done"]["contentSchema"] == content["application/json"]["schema"]
    assert named["error"]["contentSchema"] == {"$ref": "#/components/schemas/ErrorReply"}
