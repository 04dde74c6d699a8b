"""A chat model that takes every call out of one tenant's token budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError, ConfigurationError
from shared.llm.chat_model import (
    FilteredAnswerError,
    ModelUnavailableError,
    PromptRejectedError,
    UnusableAnswerError,
)
from shared.logging.logger import get_logger
from shared.resilience.completion import run_to_completion
from shared.telemetry.spans import count_tokens

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shared.contracts import Usage
    from shared.llm.chat_model import ChatModel, ChatPrompt, Completion
    from shared.tenancy.context import TenantContext

_logger = get_logger(__name__)
_USED_NOTHING = (ModelUnavailableError, PromptRejectedError, ConfigurationError)


class CountsTokens(Protocol):
    """What metering asks of a tokenizer."""

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        """Return how many tokens the model will count for the prompt."""
        ...


class Held(Protocol):
    """A lock that was taken."""

    @property
    def lock_id(self) -> str:
        """What reports and releases name it by."""
        ...


class Budget(Protocol):
    """What metering asks of the token ledger."""

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Held:
        """Take tokens out of the budget.

        Raises:
            BudgetExceededError: It does not admit them now.
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
        self, model: ChatModel, counter: CountsTokens, budget: Budget, tenant: TenantContext, app_id: str
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
        """
        tokens = await self._counter.count_prompt(prompt) + prompt.max_output_tokens
        lock = await self._budget.lock(self._tenant, self._app_id, tokens, prompt.model)
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

    async def _report(self, lock: Held, usage: Usage, prompt: ChatPrompt) -> None:
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


def _log_unsettled(failure: APIError, usage: Usage | None) -> None:
    facts: dict[str, object] = {"error": type(failure).__name__}
    if usage is not None:
        facts |= usage.model_dump()
    _logger.error("The ledger did not take a settlement", extra=facts)
