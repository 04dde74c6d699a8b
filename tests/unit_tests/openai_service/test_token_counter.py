"""A token counter elsewhere in the place of the ledger: what it is told, and what its failures mean."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from compat.azure_openai_service import AzureOpenAIService
from compat.token_counter import RequestTokenClient, TokenCounterBudget
from shared.contracts import Usage
from shared.errors import (
    APIError,
    BudgetExceededError,
    ConfigurationError,
    DependencyUnavailableError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from shared.resilience.deadlines import deadline
from tenantry_client.errors import (
    CredentialError,
    ForbiddenError,
    InvalidRequestError,
    MissingExtraError,
    MissingKeyError,
    NoSuchLockError,
    OutOfReachError,
    TenantryError,
    TooManyRequestsError,
)
from tenantry_client.token_models import LockReply, SettledReply, TokenStatus, UsedTokens
from tests.support.fakes import FakeClock, tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp

ACME = tenant_context()
STATUS = TokenStatus(
    available_tokens=0,
    used_tokens=5,
    locked_tokens=5,
    available_requests=9,
    used_requests=1,
    locked_requests=1,
    reset_time_seconds=42.0,
    limit_tokens=10,
    limit_requests=10,
    debt_tokens=0,
)


@dataclass
class FakeCounter:
    """Remembers what it is told, and fails as a test has it."""

    admits: bool = True
    failure: TenantryError | None = None
    log: list[tuple[object, ...]] = field(default_factory=list)

    async def lock(self, app_id: str, token_count: int, model: str | None) -> LockReply:
        self._take("lock", app_id, token_count, model)
        if self.admits:
            return LockReply(allowed=True, request_id="t:r", message="Locked")
        return LockReply(allowed=False, request_id=None, message="it waits for tokens_per_minute")

    async def report(
        self, app_id: str, request_id: str, used: UsedTokens, user_id: str | None
    ) -> SettledReply:
        self._take("report", app_id, request_id, used, user_id)
        return SettledReply(success=True)

    async def release(self, app_id: str, request_id: str) -> SettledReply:
        self._take("release", app_id, request_id)
        return SettledReply(success=True)

    async def status(self, app_id: str) -> TokenStatus:
        self._take("status", app_id)
        return STATUS

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def _take(self, *entry: object) -> None:
        self.log.append(entry)
        if self.failure is not None:
            raise self.failure


def budget(counter: FakeCounter) -> TokenCounterBudget:
    return TokenCounterBudget(RequestTokenClient("my_app", transport=counter))


async def test_the_counter_is_told_of_each_call_by_kinds_of_tokens() -> None:
    counter = FakeCounter()
    lock = await budget(counter).lock(ACME, "my_app", 100, "gpt-4o")
    usage = Usage(prompt_tokens=7, cached_tokens=2, completion_tokens=3, reasoning_tokens=1, total_tokens=10)
    await budget(counter).report(ACME, "my_app", lock.lock_id, usage, user="ann")
    await budget(counter).release(ACME, "my_app", lock.lock_id)

    assert counter.log == [
        ("lock", "my_app", 100, "gpt-4o"),
        ("report", "my_app", "t:r", UsedTokens(7, 3, 2, 1), "ann"),
        ("release", "my_app", "t:r"),
    ]


async def test_a_lock_that_is_not_admitted_says_when_to_come_back() -> None:
    counter = FakeCounter(admits=False)
    with pytest.raises(BudgetExceededError, match="tokens_per_minute") as caught:
        await budget(counter).lock(ACME, "my_app", 100, "gpt-4o")
    assert caught.value.retry_after == 42.0
    assert [entry[0] for entry in counter.log] == ["lock", "status"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (InvalidRequestError("too large", detail={"fields": {"token_count": "<= 10"}}), ValidationError),
        (TooManyRequestsError("slow down", retry_after=3.0), RateLimitError),
        (CredentialError("who?"), ConfigurationError),
        (MissingKeyError("no key"), ConfigurationError),
        (MissingExtraError("no azure-identity"), ConfigurationError),
        (ForbiddenError("not with this role"), ConfigurationError),
        (OutOfReachError("down"), DependencyUnavailableError),
        (OutOfReachError("down", retry_after=7.0), DependencyUnavailableError),
        (NoSuchLockError("none"), NotFoundError),
    ],
)
async def test_its_errors_are_the_apps_own_so_that_the_edges_know_them(
    failure: TenantryError, expected: type[APIError]
) -> None:
    counter = FakeCounter(failure=failure)
    for call in (
        budget(counter).lock(ACME, "my_app", 100, "gpt-4o"),
        budget(counter).report(ACME, "my_app", "t:r", Usage()),
        budget(counter).release(ACME, "my_app", "t:r"),
    ):
        with pytest.raises(expected) as caught:
            await call
        assert caught.value.detail.get("fields") == failure.detail.get("fields")
        is_down = expected is DependencyUnavailableError
        assert caught.value.retry_after == (failure.retry_after or (1.0 if is_down else None))


class CounterServer:
    """A token counter behind a socket, which admits what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int | None]] = []
        self.connections: set[object] = set()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        verb = request.match_info["verb"]
        self.calls.append((verb, request.headers["authorization"], body.get("token_count")))
        self.connections.add(request.transport)
        if verb == "lock":
            return web.json_response({"allowed": True, "request_id": "t:r", "message": "Locked"})
        return web.json_response({"success": True})


@asynccontextmanager
async def listening(server: CounterServer) -> AsyncIterator[str]:
    served = web.Application()
    served.router.add_post("/api/v1/tokens/{verb}", server.answer)
    async with TestServer(served) as running:
        yield str(running.make_url("/"))


@pytest.mark.usefixtures("as_acme")
async def test_a_counter_at_a_url_is_sent_its_key_and_keeps_the_budget_in_place_of_the_ledger(
    app: WholeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_COUNTER_KEY", "the-counters")
    counter = CounterServer()
    async with listening(counter) as url:
        service = AzureOpenAIService(app_id="my_app", token_counter_url=url, runtime=app.runtime)
        async with service as opened:
            assert opened is service
            for _ in range(2):
                assert await opened.send_prompt("", "hi", max_tokens=92) == "You said: hi"
        in_the_block = len(counter.connections)
        await service.send_prompt("", "hi", max_tokens=92)

    key = "Bearer the-counters"
    assert counter.calls == [("lock", key, 100), ("report", key, None)] * 3
    assert in_the_block == 1
    assert len(counter.connections) > 1
    ledger = app.runtime.token_client("my_app", tenant_context(tier="premium"))
    assert (await ledger.get_status()).used_tokens == 0


async def test_without_a_counter_a_service_has_nothing_to_close(app: WholeApp) -> None:
    async with AzureOpenAIService(runtime=app.runtime) as service:
        assert isinstance(service, AzureOpenAIService)


async def test_no_window_is_waited_for_longer_than_the_request_may_take() -> None:
    client = RequestTokenClient("my_app", transport=FakeCounter())
    assert client.remaining_seconds() is None
    with deadline(5, FakeClock()):
        remaining = client.remaining_seconds()
    assert remaining is not None
    assert remaining <= 5
