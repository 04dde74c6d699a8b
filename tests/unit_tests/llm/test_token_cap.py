"""The tokens of one piece of work: no call that might exceed them is made, and what is reported counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.contracts import Usage
from shared.llm.chat_model import UnusableAnswerError
from shared.llm.metering import MeteredModel
from shared.llm.token_cap import TokenCap, TokenCapReachedError
from tests.support.fakes import tenant_context
from tests.unit_tests.llm.test_metering import ANSWER, PROMPT, USAGE, FakeBudget

if TYPE_CHECKING:
    from shared.llm.chat_model import ChatPrompt, Completion, StreamingChatModel


class Model:
    """Answers, or fails as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def complete(self, prompt: ChatPrompt) -> Completion:
        assert prompt.cap is not None
        if self.failure is not None:
            raise self.failure
        return ANSWER


class Counter:
    """Counts seven tokens for each prompt."""

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        return 7 if prompt.messages else 0

    async def count_text(self, text: str, model: str) -> int:
        raise AssertionError(text + model)


def metered(model: Model, budget: FakeBudget) -> MeteredModel:
    answering: StreamingChatModel = model  # type: ignore[assignment]  # these calls do not stream
    return MeteredModel(answering, Counter(), budget, tenant_context(), "app")


async def test_a_call_that_may_take_more_than_what_is_left_locks_nothing() -> None:
    budget, cap = FakeBudget(), TokenCap(106)

    with pytest.raises(TokenCapReachedError) as refused:
        await metered(Model(), budget).complete(replace(PROMPT, cap=cap))

    assert refused.value.detail == {"tokens": 107, "left": 106, "limit": 106}
    assert (budget.log, cap.used.total_tokens) == ([], 0)


async def test_what_calls_report_counts_also_where_the_answer_is_of_no_use() -> None:
    model, cap = Model(), TokenCap(120)
    calls = metered(model, FakeBudget())

    await calls.complete(replace(PROMPT, cap=cap))
    model.failure = UnusableAnswerError("empty", Usage(total_tokens=4))
    with pytest.raises(UnusableAnswerError):
        await calls.complete(replace(PROMPT, cap=cap))
    with pytest.raises(TokenCapReachedError, match="there are 106 left"):
        await calls.complete(replace(PROMPT, cap=cap))

    assert cap.used == USAGE + Usage(total_tokens=4)
