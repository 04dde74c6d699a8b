"""The token ledger: budgets that hold on any number of instances, on Cosmos alone.

docs/adr/0005-token-ledger.md argues why it is never over, whatever is killed or lost at which moment.
"""

from __future__ import annotations

import asyncio
import math
import re
from functools import partial
from typing import TYPE_CHECKING

from shared.cosmos.container import ItemChangedError, ItemNotFoundError
from shared.cosmos.partition import Partition
from shared.errors import (
    APIError,
    BudgetExceededError,
    DependencyUnavailableError,
    LockNotFoundError,
    ValidationError,
)
from shared.logging.logger import get_logger
from shared.tokens.accounts import Accounts
from shared.tokens.exchange import WINDOW_SECONDS, Charge, admission, fits_at, totals
from shared.tokens.lock_ids import LockClaim, new_nonce
from shared.tokens.models import (
    APP_ID_PATTERN,
    LOCK_RECORD_SECONDS,
    SCOPE_ID,
    Lock,
    ScopeItem,
    TokenStatus,
)
from shared.tokens.settling import Settlement, settle
from shared.tokens.store_clock import MAX_WIDTH_SECONDS, StoreClock
from shared.tokens.tiers import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container, Patch
    from shared.tenancy.context import TenantContext
    from shared.tokens.accounts import Account
    from shared.tokens.lock_ids import LockIds
    from shared.tokens.tiers import Limits

_APP_ID = re.compile(APP_ID_PATTERN)
_LONGEST_MODEL_NAME = 128
_MOST_CONTESTED_WRITES = 32
_MOST_LATE_ADMISSIONS = 3
_LEAST_MARGIN_SECONDS = 0.1
_logger = get_logger(__name__)


class TokenLedger:
    """What each tenant may use in any 60 seconds, and what it used.

    A lock is one conditional write to the tenant's scope. It counts for 60 seconds, whatever becomes of its
    holder, unless it is released or its report puts what was used in its place.

    Args:
        container: The container `ledger`.
        lock_ids: Makes and reads the ids of locks.
        clock: The app's time; only its monotonic side is used.
        store_clock: Makes what learns a partition's time.
    """

    def __init__(
        self,
        container: Container,
        lock_ids: LockIds,
        clock: Clock,
        store_clock: Callable[[], StoreClock] = StoreClock,
    ) -> None:
        self._container = container
        self._lock_ids = lock_ids
        self._accounts = Accounts(clock, store_clock)

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        """Take tokens and one request out of the tenant's budget.

        Raises:
            BudgetExceededError: They do not fit now; after its `retry_after`, alone, they do.
            ValidationError: An argument is malformed, or the lock is larger than the whole limit.
            DependencyUnavailableError: The store is down: nothing is admitted.
        """
        account = self._account(tenant)
        limits = limits_of(tenant)
        _check(app_id, tokens, model, limits)
        async with account.turn():
            taking = asyncio.ensure_future(self._take(account, tokens, limits))
            try:
                charge = await asyncio.shield(taking)
            except asyncio.CancelledError:
                await self._give_back_when_taken(account, taking)
                raise
            left = _status(account.seen or ScopeItem(), limits, account.earliest())
        claim = LockClaim(charge.nonce, tokens, charge.second, model)
        return Lock(self._lock_ids.issue(tenant.tenant_id, app_id, claim), tokens, charge.second, left)

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        """Put what was used in the place of a lock, and add it to the usage; again, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
        """
        account, claim = await self._locked(tenant, app_id, lock_id)
        await settle(account, Settlement(claim, app_id, usage, user), self._next_second(account))

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        """Give a lock back whole; again, or after its report, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
        """
        account, claim = await self._locked(tenant, app_id, lock_id)
        await settle(account, Settlement(claim, app_id, None, None), self._next_second(account))

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Tell what counts now against the limits that bound the application."""
        _check_app_id(app_id)
        account = self._account(tenant)
        limits = limits_of(tenant)
        await account.know_the_time()
        scope = await account.partition.read(ScopeItem, SCOPE_ID) or ScopeItem()
        return _status(scope, limits, account.earliest())

    def _account(self, tenant: TenantContext) -> Account:
        partition = Partition.of(tenant, self._container)
        return self._accounts.of(tenant.tenant_id, partition)

    async def _take(self, account: Account, tokens: int, limits: Limits) -> Charge:
        """Take a charge that is certain to count for 60 seconds from now."""
        await account.know_the_time()
        for _ in range(_MOST_LATE_ADMISSIONS):
            began = account.now()
            charge = await self._charge(account, tokens, limits)
            if account.latest() <= charge.second:
                return charge
            # The answer took so long that the charge may count for less than 60 s from now: not admitted.
            took = account.elapsed_since(began)
            _logger.warning("The ledger's store was slow to admit", extra={"seconds": round(took, 3)})
            await settle(account, Settlement(_claim(charge), "", None, None), charge.second)
        raise DependencyUnavailableError("The token ledger", "is too slow")

    async def _charge(self, account: Account, tokens: int, limits: Limits) -> Charge:
        """Write a charge once; the store's conditions decide against every other process."""
        nonce = new_nonce()
        fresh = account.seen is None
        scope = account.seen or await account.read()
        tried: list[Charge] = []
        for _ in range(_MOST_CONTESTED_WRITES):
            charge = Charge(nonce, tokens, self._next_second(account))
            write = admission(scope, charge, limits, account.earliest())
            if write is None and fresh:
                raise _refusal(scope, charge, limits, account.earliest())
            if write is not None:
                tried.append(charge)
                try:
                    account.seen = await account.timed(partial(_written, account, write))
                except (ItemChangedError, ItemNotFoundError):
                    pass
                else:
                    return charge
            scope, fresh = await account.read(), True
            if scope.last == nonce and tried:
                return _done_before(scope, tried)
        raise DependencyUnavailableError("The token ledger", "is contended")

    def _next_second(self, account: Account) -> int:
        """Return a second that the store's clock will not have passed at an answer of the usual speed."""
        return math.ceil(account.latest() + _LEAST_MARGIN_SECONDS)

    async def _give_back_when_taken(self, account: Account, taking: asyncio.Future[Charge]) -> None:
        """Wait for an exchange whose caller was cancelled, and take it back."""
        try:
            await asyncio.wait([taking])
        finally:
            taking.cancel()
        if taking.cancelled() or taking.exception() is not None:
            return
        charge = taking.result()
        try:
            await settle(account, Settlement(_claim(charge), "", None, None), charge.second)
        except APIError as error:
            _logger.warning(
                "A cancelled lock could not be given back; it counts for 60 s",
                extra={"error": type(error).__name__},
            )

    async def _locked(self, tenant: TenantContext, app_id: str, lock_id: str) -> tuple[Account, LockClaim]:
        account = self._account(tenant)
        claim = self._lock_ids.read(tenant.tenant_id, app_id, lock_id)
        await account.know_the_time()
        if account.latest() - claim.second > LOCK_RECORD_SECONDS:
            raise LockNotFoundError
        return account, claim


async def _written(account: Account, write: Patch | ScopeItem) -> ScopeItem:
    if isinstance(write, ScopeItem):
        return await account.partition.replace(write, write.etag)
    return await account.partition.patch(ScopeItem, SCOPE_ID, write)


def _claim(charge: Charge) -> LockClaim:
    return LockClaim(charge.nonce, charge.tokens, charge.second, "")


def _done_before(scope: ScopeItem, tried: list[Charge]) -> Charge:
    """Find which of the attempts was written although its answer was lost: the oldest that can have been.

    Taking the older second is safe: it is checked like any other, and it is freed no later than the charge.
    """
    return next((charge for charge in tried if f"s{charge.second}" in scope.t), tried[0])


def _status(scope: ScopeItem, limits: Limits, time: float) -> TokenStatus:
    now = totals(scope, time)
    youngest = now.last_second
    return TokenStatus(
        available_tokens=max(0, limits.tokens - now.tokens),
        used_tokens=now.used_tokens,
        locked_tokens=now.tokens - now.used_tokens,
        available_requests=max(0, limits.requests - now.requests),
        used_requests=now.used_requests,
        locked_requests=now.requests - now.used_requests,
        reset_time_seconds=0.0 if youngest is None else _wait_until(youngest + WINDOW_SECONDS, time),
        limit_tokens=limits.tokens,
        limit_requests=limits.requests,
        debt_tokens=max(0, now.tokens - limits.tokens),
    )


def _refusal(scope: ScopeItem, charge: Charge, limits: Limits, time: float) -> BudgetExceededError:
    wait = _wait_until(fits_at(scope, charge, limits), time)
    now = totals(scope, time)
    return BudgetExceededError(
        "The token budget does not admit this call now",
        {
            "requested_tokens": charge.tokens,
            "available_tokens": max(0, limits.tokens - now.tokens),
            "available_requests": max(0, limits.requests - now.requests),
            "limit_tokens": limits.tokens,
            "limit_requests": limits.requests,
        },
        retry_after=wait,
    )


def _wait_until(second: float, time: float) -> float:
    """Return the wait until every instance, with its own bounds, knows that the store reached `second`."""
    return max(0.0, second - time) + MAX_WIDTH_SECONDS


def _check(app_id: str, tokens: int, model: str, limits: Limits) -> None:
    _check_app_id(app_id)
    if tokens < 1:
        raise ValidationError("A lock takes at least one token", {"fields": {"token_count": "must be >= 1"}})
    if tokens > limits.tokens:
        raise ValidationError(
            f"A lock of {tokens} tokens exceeds the limit of {limits.tokens} per minute",
            {"fields": {"token_count": f"must be <= {limits.tokens}"}},
        )
    if not model or len(model) > _LONGEST_MODEL_NAME or not model.isprintable():
        raise ValidationError(
            f"A model's name has 1 to {_LONGEST_MODEL_NAME} printable characters",
            {"fields": {"model": "malformed"}},
        )


def _check_app_id(app_id: str) -> None:
    if _APP_ID.fullmatch(app_id) is None:
        raise ValidationError(
            f"app_id must match {APP_ID_PATTERN}", {"fields": {"app_id": f"must match {APP_ID_PATTERN}"}}
        )
