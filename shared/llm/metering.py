"""Metering: a chat model that takes every call out of one tenant's token budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError, ConfigurationError, ValidationError
from shared.llm.chat_model import (
    FilteredAnswerError,
    ModelOutageError,
    PromptRejectedError,
    PromptTooLongError,
    UnusableAnswerError,
)
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.telemetry.spans import count_tokens

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shared.contracts import Usage
    from shared.llm.chat_model import ChatModel, ChatPrompt, Completion
    from shared.tenancy.context import TenantContext

_logger = get_logger(__name__)
_USED_NOTHING = (ModelOutageError, PromptRejectedError, ConfigurationError)


class CountsTokens(Protocol):
    """Tokenizer, as far as metering needs one."""

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        """Return how many tokens the model will count for the prompt.

        Raises:
            PromptTooLongError: It is longer than what is counted.
        """
        ...


class TokenLock(Protocol):
    """Lock that was taken out of a budget."""

    @property
    def lock_id(self) -> str:
        """What reports and releases name it by."""
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


class MeteredModel:
    """`ChatModel` for one application of one tenant.

    A call locks its prompt and its whole output limit, and reports what it used. The lock is given back when
    the call certainly used nothing. Where that is not certain the lock stays: it counts for the 60 s in which
    the model's provider counts the call too.

    Args:
        model: What answers.
        counter: Counts prompts.
        budget: The ledger.
        tenant: Whose budget it is.
        app_id: The tenant's application that calls.
    """

    def __init__(
        self, model: ChatModel, counter: CountsTokens, budget: TokenBudget, tenant: TenantContext, app_id: str
    ) -> None:
        self._model = model
        self._counter = counter
        self._budget = budget
        self._tenant = tenant
        self._app_id = app_id

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt within the budget.

        Raises:
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it.
            APIError: The model's own errors; see `ChatModel`.
        """
        tokens = await self._counter.count_prompt(prompt) + prompt.max_output_tokens
        lock = await self._lock(tokens, prompt.model)
        try:
            completion = await self._model.complete(prompt)
        except _USED_NOTHING:
            release = self._budget.release(self._tenant, self._app_id, lock.lock_id)
            await run_to_completion(self._settle(release))
            raise
        except (UnusableAnswerError, FilteredAnswerError) as failure:
            if failure.usage is not None:
                await self._report(lock, failure.usage, prompt)
            raise
        await self._report(lock, completion.usage, prompt)
        return completion

    async def _lock(self, tokens: int, model: str) -> TokenLock:
        try:
            return await self._budget.lock(self._tenant, self._app_id, tokens, model)
        except ValidationError as error:
            refused = _refuse_size(error, tokens)
        raise refused

    async def _report(self, lock: TokenLock, usage: Usage, prompt: ChatPrompt) -> None:
        count_tokens(usage, prompt.model)
        report = self._budget.report(self._tenant, self._app_id, lock.lock_id, usage, user=prompt.user)
        await run_to_completion(self._settle(report, usage))

    async def _settle(self, settlement: Coroutine[None, None, None], usage: Usage | None = None) -> None:
        """Carry out a settlement.

        Where the store cannot take it, the answer that was paid for is worth more than none, and the lock
        stays at its full size for its 60 s: never over. What could not be counted is logged.
        """
        try:
            await settlement
        except APIError as failure:
            _log_unsettled(failure, usage)


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


def _log_unsettled(failure: APIError, usage: Usage | None) -> None:
    facts: dict[str, object] = {"error": type(failure).__name__}
    if usage is not None:
        facts |= usage.model_dump()
    _logger.error("The ledger did not take a settlement", extra=facts)
