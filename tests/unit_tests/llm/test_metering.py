"""A metered call takes from the budget what it may use, and settles what it did use."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from shared.contracts import ChatMessage, Usage
from shared.errors import (
    BudgetExceededError,
    ConfigurationError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    ValidationError,
)
from shared.llm.chat_model import (
    ChatPrompt,
    Completion,
    FilteredAnswerError,
    ModelNotFoundError,
    ModelOutageError,
    PromptRejectedError,
    PromptTooLongError,
    UnusableAnswerError,
)
from shared.llm.errors import PromptRefusedError
from shared.llm.metering import MeteredModel
from shared.tokens.stored_models import Lock
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.llm.chat_model import AnswerStream
    from shared.tenancy.context import TenantContext

TENANT = tenant_context()
PROMPT = ChatPrompt((ChatMessage(role="user", content="hi"),), "gpt-4o", 100, user="u1")
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
ANSWER = Completion("hello", USAGE, "gpt-4o", "stop")


@dataclass
class FakeBudget:
    """Remembers what is asked of it."""

    log: list[tuple[object, ...]] = field(default_factory=list)
    refuses: bool = False
    refusal: Exception | None = None
    down: bool = False
    settling: asyncio.Event | None = None

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        if self.refuses:
            raise BudgetExceededError("no", retry_after=5)
        if self.refusal is not None:
            raise self.refusal
        self.log.append(("lock", tenant.tenant_id, app_id, tokens, model))
        return Lock("id", tokens, 0)

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        await self._settle(("report", tenant.tenant_id, app_id, lock_id, usage, user))

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        await self._settle(("release", tenant.tenant_id, app_id, lock_id))

    async def _settle(self, entry: tuple[object, ...]) -> None:
        if self.settling is not None:
            await self.settling.wait()
        if self.down:
            raise DependencyUnavailableError("the ledger")
        self.log.append(entry)


@dataclass
class FakeModel:
    """Answers, or fails as it is told."""

    failure: Exception | None = None
    calls: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False
    begins: bool = False
    parts: tuple[str, ...] = ("hel", "lo")
    closed: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, prompt: ChatPrompt) -> Completion:
        assert prompt is PROMPT
        self.calls += 1
        self.called.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return ANSWER

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open, unless it is told to fail before it begins, and give `parts` one by one."""
        assert prompt is PROMPT
        self.calls += 1
        if self.failure is not None and not self.begins:
            raise self.failure
        try:
            yield self._give_parts()
        finally:
            self.closed += 1
            self.closing.set()

    async def _give_parts(self) -> AsyncIterator[str | Completion]:
        for part in self.parts:
            yield part
        self.called.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        yield ANSWER


class FakeCounter:
    """Finds eleven tokens in every prompt, and one in each character of a text."""

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        assert prompt is PROMPT
        return 11

    async def count_text(self, text: str, model: str) -> int:
        assert model == PROMPT.model
        return len(text)


LOCKED = ("lock", "acme", "bot", 111, "gpt-4o")
REPORTED = ("report", "acme", "bot", "id", USAGE, "u1")
RELEASED = ("release", "acme", "bot", "id")


def metered(model: FakeModel, budget: FakeBudget) -> MeteredModel:
    return MeteredModel(model, FakeCounter(), budget, TENANT, "bot")


async def test_prompt_and_output_limit_are_locked_and_the_use_is_reported() -> None:
    budget = FakeBudget()
    assert await metered(FakeModel(), budget).complete(PROMPT) is ANSWER
    assert budget.log == [LOCKED, REPORTED]


async def test_a_prompt_that_no_budget_admits_is_refused_as_a_prompt_and_not_as_a_lock() -> None:
    refusal = ValidationError(
        "A lock of 111 tokens exceeds ...",
        {"fields": {"token_count": "must be <= 100"}, "limit": "tokens_per_minute"},
    )
    model = FakeModel()
    with pytest.raises(PromptTooLongError) as caught:
        await metered(model, FakeBudget(refusal=refusal)).complete(PROMPT)
    assert "prompt" in caught.value.message
    assert "token_count" not in str(caught.value.detail)
    assert (caught.value.detail["tokens"], caught.value.detail["limit"]) == (111, "tokens_per_minute")
    assert model.calls == 0


async def test_another_refusal_of_the_budget_stays_as_it_is() -> None:
    refusal = ValidationError("A model's name ...", {"fields": {"model": "malformed"}})
    with pytest.raises(ValidationError) as caught:
        await metered(FakeModel(), FakeBudget(refusal=refusal)).complete(PROMPT)
    assert caught.value is refusal


async def test_a_refused_call_never_reaches_the_model() -> None:
    model = FakeModel()
    with pytest.raises(BudgetExceededError):
        await metered(model, FakeBudget(refuses=True)).complete(PROMPT)
    assert model.calls == 0


@pytest.mark.parametrize(
    "failure",
    [
        ModelOutageError("model"),
        PromptRejectedError("no such parameter"),
        ModelNotFoundError("gpt-4oo"),
        ConfigurationError(["AZURE_OPENAI_API_KEY"]),
    ],
)
async def test_a_call_that_used_nothing_gives_its_lock_back(failure: Exception) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await metered(FakeModel(failure), budget).complete(PROMPT)
    assert budget.log == [LOCKED, RELEASED]


@pytest.mark.parametrize(
    "failure",
    [
        DependencyUnavailableError("model"),
        DependencyTimeoutError("model", 1),
        PromptRefusedError("content_filter"),
        ValueError("?"),
    ],
)
async def test_a_call_of_unknown_outcome_keeps_its_lock(failure: Exception) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await metered(FakeModel(failure), budget).complete(PROMPT)
    assert budget.log == [LOCKED]


@pytest.mark.parametrize("failure", [UnusableAnswerError("is empty", USAGE), FilteredAnswerError(USAGE)])
async def test_an_answer_that_cannot_be_used_is_still_reported(failure: Exception) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await metered(FakeModel(failure), budget).complete(PROMPT)
    assert budget.log == [LOCKED, REPORTED]


async def test_a_malformed_answer_of_unknown_use_keeps_its_lock() -> None:
    budget = FakeBudget()
    with pytest.raises(UnusableAnswerError):
        await metered(FakeModel(UnusableAnswerError("is malformed", None)), budget).complete(PROMPT)
    assert budget.log == [LOCKED]


async def test_a_paid_answer_survives_a_ledger_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    assert await metered(FakeModel(), FakeBudget(down=True)).complete(PROMPT) is ANSWER
    assert "did not take a settlement" in caplog.text


@pytest.mark.parametrize("down", [False, True])
async def test_a_call_cancelled_while_it_reports_is_reported(
    down: bool,  # noqa: FBT001  # a case
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget = FakeBudget(settling=asyncio.Event(), down=down)
    model = FakeModel()
    calling = asyncio.ensure_future(metered(model, budget).complete(PROMPT))
    await model.called.wait()
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.sleep(0)
    assert budget.settling is not None
    budget.settling.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert budget.log == ([LOCKED] if down else [LOCKED, REPORTED])
    assert ("did not take a settlement" in caplog.text) is down


async def test_a_call_cancelled_at_the_model_keeps_its_lock() -> None:
    budget, model = FakeBudget(), FakeModel(hangs=True)
    calling = asyncio.ensure_future(metered(model, budget).complete(PROMPT))
    await model.called.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert budget.log == [LOCKED]
