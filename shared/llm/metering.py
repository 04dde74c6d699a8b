"""Metering: a chat model that takes every call out of one tenant's token budget."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.contracts import Usage
from shared.errors import APIError
from shared.llm.call_account import USED_NOTHING, CallAccount, log_unsettled
from shared.llm.chat_model import TELL_USAGE, Completion
from shared.resilience.run_to_completion import run_to_completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shared.llm.call_account import TokenBudget, TokenLock
    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel
    from shared.tenancy.context import TenantContext


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

    A call locks its prompt and its whole output limit, and reports what it used (`CallAccount`). A stream
    that did not come to its end is reported as what was received of it, where its end does not tell: the
    prompt, and the tokens of the text.

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
        self._account = CallAccount(budget, tenant, app_id)

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt within the budget.

        Raises:
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it.
            TokenCapReachedError: The work that it is a part of has not as many tokens left.
            APIError: The model's own errors; see `ChatModel`.
        """
        tokens = await self._counter.count_prompt(prompt) + prompt.most_output_tokens
        return await self._account.pay(prompt, tokens, lambda: self._model.complete(prompt))

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
        lock = await self._account.lock(prompt_tokens + prompt.most_output_tokens, prompt)
        received = _Received(prompt_tokens)
        try:
            with prompt.progress.asking():
                async with (
                    self._model.stream(prompt) as answer,
                    aclosing(self._receive(answer, received, lock, prompt)) as parts,
                ):
                    received.is_open = True
                    yield parts
        except USED_NOTHING:
            if not received.is_open:
                await self._account.release(lock)
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
                    await self._account.report(lock, part.usage, prompt)
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
                log_unsettled(failure, None)
                return
            total = received.prompt_tokens + tokens
            usage = Usage(prompt_tokens=received.prompt_tokens, completion_tokens=tokens, total_tokens=total)
        await self._account.report(lock, usage, prompt)
