"""The store fails in each way, under every route of the contract: what callers see, and what the store does.

Time is simulated: the app's own timeouts, waits and breakers run, and take none.
"""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from azure.core.exceptions import ServiceRequestError

from local.cosmos.wire.messages import Response
from shared.cosmos.sdk import classify
from shared.resilience.circuit_breaker import BreakerState
from shared.resilience.dependency import Dependency
from shared.tenancy.context import Role
from tests.support.fakes import Call, FakeAuthenticator, platform_context, tenant_context
from tests.support.isolation import BLOB, NAMES, Operation, operations
from tests.support.virtual_time import LoopClock, simulate
from tests.support.whole_app import SharedStart, whole_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from shared.resilience.policy import AttemptLimits
    from tests.support.fakes import Answer
    from tests.support.memory_cosmos import Fault
    from tests.support.whole_app import WholeApp

OPERATIONS = {one.name: one for one in operations()}
OWNER = "victimcorp"
MOST_REQUESTS_PER_CALL = 3
MOST_REQUESTS_PER_ROUTE = 6
CALLS_UNTIL_OPEN = 5
ROUNDING = 1e-6


async def hangs() -> None:
    await asyncio.Event().wait()


async def answers_late() -> None:
    await asyncio.sleep(20)


async def is_slow() -> None:
    await asyncio.sleep(4)


async def is_unavailable() -> Response:
    return Response(503, b"{}")


async def refuses_connections() -> None:
    raise ServiceRequestError("the connection was refused")


async def throttles() -> Response:
    return Response(429, b"{}", {"x-ms-retry-after-ms": "100"})


async def throttles_for_a_minute() -> Response:
    return Response(429, b"{}", {"x-ms-retry-after-ms": "60000"})


OUTAGES: tuple[Fault, ...] = (hangs, answers_late, is_unavailable, refuses_connections)
THROTTLES: tuple[Fault, ...] = (throttles, throttles_for_a_minute)


@dataclass
class StoreCall:
    """One logical operation on the store."""

    requests: int = 0


_call: ContextVar[StoreCall | None] = ContextVar("store_call", default=None)


class CountingDependency(Dependency):
    """The real one; keeps how many requests were sent for each call."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__("Cosmos DB", classify, clock=clock)
        self.calls: list[StoreCall] = []

    async def call[T](
        self, attempt: Callable[[], Awaitable[T]], part: str = "", limits: AttemptLimits | None = None
    ) -> T:
        made = StoreCall()
        self.calls.append(made)

        async def counted() -> T:
            token = _call.set(made)
            try:
                return await attempt()
            finally:
                _call.reset(token)

        return await super().call(counted, part, limits)


@dataclass
class Seen:
    """What one request to a route came to."""

    answer: Answer
    seconds: float
    calls: list[StoreCall]

    @property
    def requests(self) -> int:
        return sum(call.requests for call in self.calls)


@dataclass
class Subject:
    """A route of an app whose caches are cold and whose breakers are closed, over a store that can fail."""

    app: WholeApp
    one: Operation
    names: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    authenticator: FakeAuthenticator = field(default_factory=FakeAuthenticator)

    def __post_init__(self) -> None:
        clock = self.app.clock
        assert isinstance(clock, LoopClock)
        self.store = self.app.cosmos.dependency = CountingDependency(clock)
        self.app.runtime.__dict__["authenticator"] = self.authenticator
        self.admin = self.authenticator.add("admin", platform_context())
        self.boss = self.authenticator.add("boss", tenant_context(OWNER, Role.TENANT_ADMIN, "premium"))
        self.route = self.app.client.route(self.one.name)

    def fail(self, fault: Fault | None) -> None:
        async def counted() -> Response | None:
            made = _call.get()
            assert made is not None, "a request that no policy bounds"
            made.requests += 1
            return None if fault is None else await fault()

        self.app.cosmos.transport.fault = counted

    async def ask(self) -> Seen:
        body = self.one.body(self.names)
        call = Call(
            self.one.address(self.names),
            self.one.needed_query(self.names),
            self.headers | (self.admin if self.one.role == "admin" else self.boss),
            b"" if body is None else json.dumps(body).encode(),
        )
        began, before = self.app.clock.monotonic(), len(self.store.calls)
        answer = await self.app.client.call(self.one.name, call)
        return Seen(answer, self.app.clock.monotonic() - began, self.store.calls[before:])


async def _prepare(app: WholeApp) -> dict[str, str]:
    """Let the one tenant come by something of everything; returns what that is called."""
    await app.new_tenant(OWNER)
    app.blobs[BLOB.format(tenant_id=OWNER)] = b"{}"
    await app.keep_content(OWNER, NAMES["request_id"], "mine")
    owner = await app.new_key(OWNER, Role.TENANT_ADMIN)
    return await app.own_everything(OWNER, owner)


_START: Final = SharedStart(_prepare)


def world() -> AbstractAsyncContextManager[tuple[WholeApp, dict[str, str]]]:
    """Open an app whose one tenant has something of everything, and tell what that is called."""
    return _START.open(LoopClock())


def check_refusal(subject: Subject, seen: Seen) -> None:
    """Check what a caller is told of a store that fails, and what the store had to bear for it."""
    answer = seen.answer
    assert answer.status in {503, 504}, answer
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-request-id"]
    assert answer.json()["error"]
    assert seen.seconds <= subject.route.seconds + ROUNDING
    assert max(call.requests for call in seen.calls) <= MOST_REQUESTS_PER_CALL
    assert seen.requests <= MOST_REQUESTS_PER_ROUTE


async def check_it_works(subject: Subject) -> None:
    """Check that the route answers as ever, at the second request at the latest: one probe goes first."""
    seen = await subject.ask()
    if seen.answer.status == 503:
        seen = await subject.ask()
    assert seen.answer.status < 500, seen.answer
    assert subject.store.breaker.state is BreakerState.CLOSED


async def until_left_alone(subject: Subject, fault: Fault) -> None:
    """Ask until an answer takes no time, and the store hears nothing of it.

    Where throttled parts of the store are asked side by side, the first that is left alone ends the answer,
    and the others may still hear of it.
    """
    for _ in range(CALLS_UNTIL_OPEN if fault in OUTAGES else 3 * CALLS_UNTIL_OPEN):
        seen = await subject.ask()
        check_refusal(subject, seen)
        several = subject.store.throttled_parts and len(seen.calls) > 1
        if not seen.seconds and (several or not seen.requests):
            assert seen.answer.status == 503
            return
    pytest.fail(f"the store is still asked when it {fault.__name__}")


async def bear(subject: Subject, fault: Fault) -> None:
    """Let the store fail, until the app leaves it alone; then let it recover."""
    subject.fail(fault)
    first = await subject.ask()
    if not first.requests:
        assert first.answer.status < 400, (fault.__name__, first.answer)
        subject.fail(None)
        assert not (await subject.ask()).requests, "a refusal that never asked the store"
        return
    print(  # noqa: T201  # the figures of the claim, for whoever asks for them with -rP
        f"{subject.one.name:24} {fault.__name__:24} {first.answer.status} after {first.seconds:5.1f} s,"
        f" {len(first.calls)} calls, {first.requests} requests"
    )
    check_refusal(subject, first)
    await until_left_alone(subject, fault)
    if fault in THROTTLES:
        assert subject.store.breaker.state is BreakerState.CLOSED
        assert subject.store.throttled_parts
    else:
        assert subject.store.breaker.state is BreakerState.OPEN
    subject.fail(None)
    await asyncio.sleep(60)
    await check_it_works(subject)


async def be_patient(subject: Subject) -> None:
    """Let the store be slow, but not too slow for an attempt: the route's own time bounds how often."""
    subject.fail(is_slow)
    seen = await subject.ask()

    assert seen.seconds <= subject.route.seconds + ROUNDING
    assert seen.answer.status < 500 or seen.answer.status in {503, 504}, seen.answer


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.slow
def test_a_failing_store_is_told_in_time_left_alone_and_asked_again(name: str) -> None:
    async def run() -> None:
        one = OPERATIONS[name]
        async with world() as (app, names):
            for fault in OUTAGES + THROTTLES:
                await bear(Subject(app.another_instance(), one, names), fault)
            await be_patient(Subject(app.another_instance(), one, names))
            if app.client.route(name).repeatable:
                keyed = Subject(
                    app.another_instance(), one, names, {"idempotency-key": "a key of the callers"}
                )
                await bear(keyed, is_unavailable)

    simulate(run())


@pytest.mark.parametrize("fault", OUTAGES + THROTTLES, ids=lambda fault: fault.__name__)
@pytest.mark.slow
def test_whom_the_store_cannot_vouch_for_is_told_so_and_not_that_the_key_is_wrong(fault: Fault) -> None:
    async def run() -> None:
        async with world() as (app, names):
            key = await app.new_key(OWNER, Role.USER)
            subject = Subject(app.another_instance(), OPERATIONS["list_bots"], names)
            del subject.app.runtime.__dict__["authenticator"]
            subject.boss = key
            await bear(subject, fault)

    simulate(run())


@pytest.mark.parametrize("fault", OUTAGES, ids=lambda fault: fault.__name__)
def test_readiness_names_the_store_that_is_out_in_time(fault: Fault) -> None:
    async def run() -> None:
        async with whole_app(LoopClock()) as app:
            assert (await app.client.call("health_ready")).status == 200
            app.cosmos.transport.fault = fault
            began = app.clock.monotonic()
            answer = await app.client.call("health_ready")

            assert app.clock.monotonic() - began <= app.client.route("health_ready").seconds
            assert answer.status == 503
            states = {one["name"]: one["state"] for one in answer.json()["detail"]["dependencies"]}
            assert [name for name, state in states.items() if state != "up"] == ["Cosmos DB"]

    simulate(run())
