"""Metering: a chat model that takes every call out of one tenant's token budget."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.contracts import Usage
from shared.errors import APIError, ConfigurationError, ValidationError
from shared.llm.chat_model import (
    TELL_USAGE,
    Completion,
    ModelOutageError,
    ModelUnavailableError,
    PromptRejectedError,
    PromptTooLongError,
)
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.telemetry.spans import count_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine

    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel
    from shared.llm.model_call import BudgetStatus
    from shared.tenancy.context import TenantContext

_logger = get_logger(__name__)
_USED_NOTHING = (ModelOutageError, ModelUnavailableError, PromptRejectedError, ConfigurationError)


class CountsTokens(Protocol):
    """Tokenizer, as far as metering needs one."""

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        """Return how many tokens the model will count for the prompt.

        Raises:
            PromptTooLongError: It is longer than what is counted.
        """
        ...

    async def count_text(self, text: str, model: str) -> int:
        """Return how many tokens a text of the model has.

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


@dataclass(slots=True)
class _Received:
    """The part of a stream that has come.

    Attributes:
        prompt_tokens: Those of its prompt, as they were counted for the lock.
        is_open: Whether the model has begun to answer.
        is_reported: Whether its use was.
        usage: The use that its failure told.
        texts: Its text.
    """

    prompt_tokens: int
    is_open: bool = False
    is_reported: bool = False
    usage: Usage | None = None
    texts: list[str] = field(default_factory=list)


class MeteredModel:
    """`StreamingChatModel` for one application of one tenant.

    A call locks its prompt and its whole output limit, and reports what it used. The lock is given back when
    the call certainly used nothing. Where that is not certain the lock stays: it counts for the 60 s in which
    the model's provider counts the call too. A stream that did not come to its end is reported as what was
    received of it, where its end does not tell: the prompt, and the tokens of the text.

    Args:
        model: What answers.
        counter: Counts prompts.
        budget: The ledger.
        tenant: Whose budget it is.
        app_id: The tenant's application that calls.
    """

    def __init__(
        self,
        model: StreamingChatModel,
        counter: CountsTokens,
        budget: TokenBudget,
        tenant: TenantContext,
        app_id: str,
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
            TokenCapReachedError: The work that it is a part of has not as many tokens left.
            APIError: The model's own errors; see `ChatModel`.
        """
        tokens = await self._counter.count_prompt(prompt) + prompt.most_output_tokens
        with prompt.progress.waiting():
            lock = await self._lock(tokens, prompt)
        try:
            with prompt.progress.asking():
                completion = await self._model.complete(prompt)
        except _USED_NOTHING:
            await self._release(lock)
            raise
        except TELL_USAGE as failure:
            if failure.usage is not None:
                await self._report(lock, failure.usage, prompt)
            raise
        await self._report(lock, completion.usage, prompt)
        return completion

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer within the budget.

        What it used is reported before the completion is given, and otherwise on leaving the block.

        Raises:
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it.
            TokenCapReachedError: The work that it is a part of has not as many tokens left.
            APIError: The model's own errors; see `StreamingChatModel`.
        """
        prompt_tokens = await self._counter.count_prompt(prompt)
        with prompt.progress.waiting():
            lock = await self._lock(prompt_tokens + prompt.most_output_tokens, prompt)
        received = _Received(prompt_tokens)
        try:
            with prompt.progress.asking():
                async with (
                    self._model.stream(prompt) as answer,
                    aclosing(self._receive(answer, received, lock, prompt)) as parts,
                ):
                    received.is_open = True
                    yield parts
        except _USED_NOTHING:
            if not received.is_open:
                await self._release(lock)
            raise
        except TELL_USAGE as failure:
            received.usage = received.usage or failure.usage
            raise
        finally:
            if (received.is_open or received.usage) and not received.is_reported:
                await run_to_completion(self._settle_received(lock, received, prompt))

    async def _receive(
        self, answer: AnswerStream, received: _Received, lock: TokenLock, prompt: ChatPrompt
    ) -> AsyncGenerator[str | Completion]:
        try:
            async for part in answer:
                if isinstance(part, Completion):
                    prompt.progress.end_asking()
                    received.is_reported = True
                    await self._report(lock, part.usage, prompt)
                else:
                    received.texts.append(part)
                yield part
        except TELL_USAGE as failure:
            received.usage = failure.usage
            raise

    async def _settle_received(self, lock: TokenLock, received: _Received, prompt: ChatPrompt) -> None:
        """Report a stream that has no end: by what its failure told, else by what was received."""
        usage = received.usage
        if usage is None:
            try:
                tokens = await self._counter.count_text("".join(received.texts), prompt.tokenizer)
            except APIError as failure:
                _log_unsettled(failure, None)
                return
            total = received.prompt_tokens + tokens
            usage = Usage(prompt_tokens=received.prompt_tokens, completion_tokens=tokens, total_tokens=total)
        await self._report(lock, usage, prompt)

    async def _lock(self, tokens: int, prompt: ChatPrompt) -> TokenLock:
        if prompt.cap is not None:
            prompt.cap.require(tokens)
        try:
            lock = await self._budget.lock(self._tenant, self._app_id, tokens, prompt.model)
        except ValidationError as error:
            refused = _refuse_size(error, tokens)
        else:
            prompt.progress.budget = lock.status
            return lock
        raise refused

    async def _release(self, lock: TokenLock) -> None:
        release = self._budget.release(self._tenant, self._app_id, lock.lock_id)
        await run_to_completion(self._settle(release))

    async def _report(self, lock: TokenLock, usage: Usage, prompt: ChatPrompt) -> None:
        if prompt.cap is not None:
            prompt.cap.add(usage)
        prompt.progress.usage = usage
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
