"""The store fails behind real sockets: answers in time, three requests per call at most, and recovery."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest

import function_app
from local.cosmos.wire.authorization import EMULATOR_KEY
from shared.clock import SystemClock
from shared.cosmos.sdk import classify
from shared.resilience.circuit_breaker import BreakerState, CircuitBreaker
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.runtime import Runtime
from shared.settings import Settings
from shared.tenancy.context import Role
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.support.fakes import Call, FakeAuthenticator, RouteClient, platform_context, tenant_context
from tests.support.whole_app import ENVIRONMENT, EchoModel, MemoryBlobs, MemorySender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration_tests.local_cosmos.endpoint import Endpoint
    from tests.support.fakes import Answer


QUICK = Policy(attempt_seconds=0.4, total_seconds=1.5, backoff_seconds=0.02)
IN_TIME_SECONDS = QUICK.total_seconds + 3
"""Ten times as soon as a hanging store would answer, and long enough for a machine that is busy besides."""

OPEN_SECONDS = 0.5
FAULTS: dict[str, dict[str, object]] = {
    "unavailable": {"status": 503},
    "throttled": {"status": 429, "retry_after_ms": 20},
    "dropped": {"drop": True},
    "hanging": {"delay_ms": 30_000},
}


class SocketRuntime(Runtime):
    """The composition root over a real endpoint, with less patience than in production."""

    def __init__(self, endpoint: Endpoint) -> None:
        values = ENVIRONMENT | {"COSMOS_ENDPOINT": endpoint.address, "COSMOS_KEY": EMULATOR_KEY}
        super().__init__(lambda: Settings.model_validate(values), SystemClock())
        self.__dict__.update(
            sender=MemorySender(), blobs=MemoryBlobs(), job_blobs=MemoryBlobs(), chat_model=EchoModel()
        )

    @cached_property
    def cosmos(self) -> Dependency:
        dependency = Dependency("Cosmos DB", classify, QUICK, self.clock)
        dependency.breaker = CircuitBreaker(self.clock, open_seconds=OPEN_SECONDS)
        return dependency


class App:
    """The app's routes, called by those whom a fake vouches for."""

    def __init__(self, runtime: SocketRuntime) -> None:
        self.runtime = runtime
        authenticator = FakeAuthenticator()
        boss = authenticator.add("boss", tenant_context("acme", Role.TENANT_ADMIN, "premium"))
        admin = authenticator.add("admin", platform_context())
        runtime.__dict__["authenticator"] = authenticator
        app = func.FunctionApp()
        for bind in function_app.CAPABILITIES:
            app.register_functions(bind(runtime))
        self.client = RouteClient(runtime)
        self.calls = {
            "list_bots": Call(headers=boss),
            "get_bot": Call(path={"bot_id": "helper"}, headers=boss),
            "save_bot": Call.of({"system_prompt": "You help."}, headers=boss, bot_id="helper"),
            "list_jobs": Call(headers=boss),
            "save_prompt": Call.of({"template": "Hello"}, headers=boss, name="greeting"),
            "list_tenants": Call(headers=admin),
        }

    async def ask(self, name: str) -> tuple[Answer, float]:
        """Call a route; return its answer and the seconds that it took."""
        began = time.monotonic()
        answer = await self.client.call(name, self.calls[name])
        return answer, time.monotonic() - began

    async def until_it_works(self, name: str) -> None:
        """Ask until the app has found out by itself that the store is back."""
        async with asyncio.timeout(30):
            while (await self.ask(name))[0].status >= 500:
                await self.runtime.clock.sleep(0.05)


@asynccontextmanager
async def app_over(endpoint: Endpoint) -> AsyncIterator[App]:
    runtime = SocketRuntime(endpoint)
    yield App(runtime)
    await runtime.close()


async def control(endpoint: Endpoint, method: str, body: object = None) -> Any:  # noqa: ANN401  # JSON of any shape
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310  # our own http address
        f"{endpoint.address}/_local/faults", content, method=method
    )

    def send() -> bytes:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # same
            found: bytes = answer.read()
            return found

    content = await asyncio.to_thread(send)
    return json.loads(content) if content else None


async def hits(endpoint: Endpoint) -> int:
    """Return how many requests the fault has hit."""
    found: int = (await control(endpoint, "GET"))["faults"][0]["hits"]
    return found


async def until_left_alone(app: App, endpoint: Endpoint) -> None:
    """Ask until an answer takes no time and the store hears nothing of it: between two of its probes."""
    for _ in range(20):
        before = await hits(endpoint)
        answer, seconds = await app.ask("get_bot")
        assert answer.status == 503
        if await hits(endpoint) == before and seconds < 0.2:
            return
    pytest.fail("the store is asked each time")


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_route_answers_in_time_and_the_store_is_left_alone_until_it_is_back(
    tmp_path: Path, fault: str
) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with app_over(endpoint) as app:
            await app.until_it_works("save_bot")
            await control(endpoint, "POST", FAULTS[fault] | {"count": None})
            for name in app.calls:
                app.runtime.cosmos.breaker.record_success()
                before = await hits(endpoint)
                answer, seconds = await app.ask(name)
                sent = await hits(endpoint) - before
                print(f"{fault:12} {name:14} {answer.status} {seconds:4.2f} s {sent} requests")  # noqa: T201  # figures
                assert answer.status in {503, 504}
                assert seconds < IN_TIME_SECONDS
                assert 1 <= sent <= 3

            for _ in range(5):
                await app.ask("get_bot")
            await until_left_alone(app, endpoint)
            await control(endpoint, "DELETE")
            for name in app.calls:
                await app.until_it_works(name)
            assert app.runtime.cosmos.breaker.state is BreakerState.CLOSED


async def test_a_store_that_was_killed_is_used_again_when_it_is_back_on_its_port(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as first:
        async with app_over(first) as app:
            await app.until_it_works("save_bot")
            first.kill()
            for name in app.calls:
                app.runtime.cosmos.breaker.record_success()
                answer, seconds = await app.ask(name)
                assert answer.status in {503, 504}
                assert seconds < IN_TIME_SECONDS
            for _ in range(5):
                await app.ask("get_bot")
            assert app.runtime.cosmos.breaker.state is BreakerState.OPEN

            with running_endpoint(tmp_path, "--port", str(first.port)):
                await app.until_it_works("get_bot")
                bot, _ = await app.ask("get_bot")
                assert bot.status == 200, bot
