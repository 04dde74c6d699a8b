"""A token counter elsewhere in the place of the ledger: what it is told, and what its failures mean."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

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
    InvalidRequestError,
    MissingKeyError,
    NoSuchLockError,
    OutOfReachError,
    TenantryError,
    TooManyRequestsError,
)
from tenantry_client.token_models import LockReply, SettledReply, TokenStatus, UsedTokens
from tests.support.fakes import FakeClock, tenant_context

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
    with pytest.raises(BudgetExceededError, match="tokens_per_minute") as caught:
        await budget(FakeCounter(admits=False)).lock(ACME, "my_app", 100, "gpt-4o")
    assert caught.value.retry_after == 42.0


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (InvalidRequestError("too large", detail={"fields": {"token_count": "<= 10"}}), ValidationError),
        (TooManyRequestsError("slow down", retry_after=3.0), RateLimitError),
        (CredentialError("who?"), ConfigurationError),
        (MissingKeyError("no key"), ConfigurationError),
        (OutOfReachError("down"), DependencyUnavailableError),
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
        if failure.retry_after is not None:
            assert caught.value.retry_after == failure.retry_after


async def test_no_window_is_waited_for_longer_than_the_request_may_take() -> None:
    client = RequestTokenClient("my_app", transport=FakeCounter())
    assert client.remaining_seconds() is None
    with deadline(5, FakeClock()):
        remaining = client.remaining_seconds()
    assert remaining is not None
    assert remaining <= 5
