"""Account of model calls: each is taken out of one tenant's token budget, and what it used is reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError, ConfigurationError, ValidationError
from shared.llm.chat_model import (
    TELL_USAGE,
    ModelOutageError,
    ModelUnavailableError,
    PromptRejectedError,
    PromptTooLongError,
)
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.telemetry.spans import count_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from shared.contracts import Usage
    from shared.llm.model_call import BudgetStatus, CallProgress
    from shared.llm.token_cap import TokenCap
    from shared.tenancy.context import TenantContext

_logger = get_logger(__name__)

USED_NOTHING = (ModelOutageError, ModelUnavailableError, PromptRejectedError, ConfigurationError)
"""Errors of calls that certainly used nothing."""


class TokenLock(Protocol):
    """Lock that was taken out of a budget."""

    @property
    def lock_id(self) -> str:
        """What reports and releases name it by."""
        ...

    @property
    def status(self) -> BudgetStatus | None:
        """The headroom right after it, where it is known."""
        ...


class TokenBudget(Protocol):
    """Token ledger, as far as metering needs it."""

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> TokenLock:
        """Take tokens out of the budget.

        Raises:
            BudgetExceededError: It does not admit them now.
            ValidationError: It never admits so many at once; the field `token_count` says how many it does.
        """
        ...

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        """Tell what a lock's call used."""
        ...

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        """Give a lock back whole: its call used nothing."""
        ...


class PaidCall(Protocol):
    """Prompt of a call, as far as paying for it needs one."""

    @property
    def model(self) -> str:
        """The name of the model in the catalogue."""
        ...

    @property
    def user(self) -> str | None:
        """Whom the call is made for."""
        ...

    @property
    def cap(self) -> TokenCap | None:
        """The tokens of the work that the call is a part of."""
        ...

    @property
    def progress(self) -> CallProgress:
        """What is learnt of the call on the way."""
        ...


class TellsUsage(Protocol):
    """Answer of a model that tells what it used."""

    @property
    def usage(self) -> Usage:
        """The tokens that it used."""
        ...


class CallAccount:
    """Budget of one application of one tenant, as calls are taken out of it.

    A lock is given back when its call certainly used nothing. Where that is not certain the lock stays: it
    counts for the 60 s in which the model's provider counts the call too.

    Args:
        budget: The ledger.
        tenant: Whose budget it is.
        app_id: The tenant's application that calls.
    """

    def __init__(self, budget: TokenBudget, tenant: TenantContext, app_id: str) -> None:
        self._budget = budget
        self._tenant = tenant
        self._app_id = app_id

    async def pay[T: TellsUsage](self, call: PaidCall, tokens: int, ask: Callable[[], Awaitable[T]]) -> T:
        """Lock tokens, ask for a whole answer, and report what it used.

        Raises:
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it.
            TokenCapReachedError: The work that it is a part of has not as many tokens left.
            APIError: The model's own errors.
        """
        lock = await self.lock(tokens, call)
        try:
            with call.progress.asking():
                answer = await ask()
        except USED_NOTHING:
            await self.release(lock)
            raise
        except TELL_USAGE as failure:
            if failure.usage is not None:
                await self.report(lock, failure.usage, call)
            raise
        await self.report(lock, answer.usage, call)
        return answer

    async def lock(self, tokens: int, call: PaidCall) -> TokenLock:
        """Take tokens out of the budget.

        Raises:
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it.
            TokenCapReachedError: The work that it is a part of has not as many tokens left.
        """
        if call.cap is not None:
            call.cap.require(tokens)
        try:
            with call.progress.waiting():
                lock = await self._budget.lock(self._tenant, self._app_id, tokens, call.model)
        except ValidationError as error:
            refused = _refuse_size(error, tokens)
        else:
            call.progress.budget = lock.status
            return lock
        raise refused

    async def release(self, lock: TokenLock) -> None:
        """Give a lock back whole: its call used nothing."""
        release = self._budget.release(self._tenant, self._app_id, lock.lock_id)
        await run_to_completion(self._settle(release))

    async def report(self, lock: TokenLock, usage: Usage, call: PaidCall) -> None:
        """Tell what a lock's call used."""
        if call.cap is not None:
            call.cap.add(usage)
        call.progress.usage = usage
        count_tokens(usage, call.model)
        report = self._budget.report(self._tenant, self._app_id, lock.lock_id, usage, user=call.user)
        await run_to_completion(self._settle(report, usage))

    async def _settle(self, settlement: Coroutine[None, None, None], usage: Usage | None = None) -> None:
        """Carry out a settlement.

        Where the store cannot take it, the answer that was paid for is worth more than none, and the lock
        stays at its full size for its 60 s: never over. What could not be counted is logged.
        """
        try:
            await settlement
        except APIError as failure:
            log_unsettled(failure, usage)


def _refuse_size(error: ValidationError, tokens: int) -> ValidationError:
    """Say in the words of a prompt that a lock is too large; the caller asked for no lock."""
    fields = error.detail.get("fields")
    if not isinstance(fields, Mapping) or "token_count" not in fields:
        return error
    limit = error.detail.get("limit")
    return PromptTooLongError(
        f"The prompt and its answer may take {tokens} tokens, more than the limit {limit} ever admits",
        {"tokens": tokens, "limit": limit, "problem": fields["token_count"]},
    )


def log_unsettled(failure: APIError, usage: Usage | None) -> None:
    """Log a settlement that the ledger did not take: what it says is not counted."""
    facts: dict[str, object] = {"error": type(failure).__name__}
    if usage is not None:
        facts |= usage.model_dump()
    _logger.error("The ledger did not take a settlement", extra=facts)
