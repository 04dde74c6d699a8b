"""A metered stream reports what it used, however it ends, and by what was received where nobody tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.contracts import Usage
from shared.errors import BudgetExceededError, ConfigurationError, DependencyUnavailableError
from shared.llm.chat_model import (
    DeclinedAnswerError,
    FilteredAnswerError,
    ModelOutageError,
    PromptRejectedError,
    TruncatedAnswerError,
    UnusableAnswerError,
)
from tests.unit_tests.llm.test_metering import (
    ANSWER,
    LOCKED,
    PROMPT,
    RELEASED,
    REPORTED,
    USAGE,
    FakeBudget,
    FakeModel,
    metered,
)

if TYPE_CHECKING:
    from shared.llm.metering import MeteredModel


def received(text: str) -> tuple[object, ...]:
    """The report of a prompt of eleven tokens and a text of one for each character."""
    used = Usage(prompt_tokens=11, completion_tokens=len(text), total_tokens=11 + len(text))
    return ("report", "acme", "bot", "id", used, "u1")


async def read(model: MeteredModel) -> list[object]:
    async with model.stream(PROMPT) as answer:
        return [part async for part in answer]


async def test_parts_are_passed_on_and_the_use_is_reported_before_the_end_is_given() -> None:
    budget = FakeBudget()
    async with metered(FakeModel(), budget).stream(PROMPT) as answer:
        seen = [(part, len(budget.log)) async for part in answer]

    assert seen == [("hel", 1), ("lo", 1), (ANSWER, 2)]
    assert budget.log == [LOCKED, REPORTED]


async def test_a_refused_stream_never_reaches_the_model() -> None:
    model = FakeModel()
    with pytest.raises(BudgetExceededError):
        await read(metered(model, FakeBudget(refuses=True)))
    assert model.calls == 0


@pytest.mark.parametrize(
    "failure",
    [ModelOutageError("m"), PromptRejectedError("no"), ConfigurationError(["K"])],
)
async def test_a_stream_that_never_began_gives_its_lock_back(failure: Exception) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await read(metered(FakeModel(failure), budget))
    assert budget.log == [LOCKED, RELEASED]


async def test_a_stream_that_may_have_begun_keeps_its_lock() -> None:
    budget = FakeBudget()
    with pytest.raises(DependencyUnavailableError):
        await read(metered(FakeModel(DependencyUnavailableError("m")), budget))
    assert budget.log == [LOCKED]


@pytest.mark.parametrize(
    "failure",
    [
        UnusableAnswerError("odd", USAGE),
        TruncatedAnswerError("cut", USAGE),
        FilteredAnswerError(USAGE),
        DeclinedAnswerError(USAGE),
    ],
)
@pytest.mark.parametrize("begins", [True, False])
async def test_a_use_that_a_failure_tells_is_reported(failure: Exception, *, begins: bool) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await read(metered(FakeModel(failure, begins=begins), budget))
    assert budget.log == [LOCKED, REPORTED]


@pytest.mark.parametrize(
    "failure", [TruncatedAnswerError("cut", None), FilteredAnswerError(None), RuntimeError("a defect")]
)
async def test_a_stream_that_breaks_is_billed_by_what_was_received(failure: Exception) -> None:
    budget = FakeBudget()
    with pytest.raises(type(failure)):
        await read(metered(FakeModel(failure, begins=True), budget))
    assert budget.log == [LOCKED, received("hello")]


async def test_a_failure_that_means_nothing_used_is_none_once_the_answer_has_begun() -> None:
    budget = FakeBudget()
    with pytest.raises(ConfigurationError):
        async with metered(FakeModel(), budget).stream(PROMPT):
            raise ConfigurationError(["OF_SOMETHING_ELSE"])
    assert budget.log == [LOCKED, received("")]


async def test_a_reader_that_leaves_stops_the_model_and_pays_what_it_received() -> None:
    budget, model = FakeBudget(), FakeModel()
    async with metered(model, budget).stream(PROMPT) as answer:
        assert await anext(answer) == "hel"

    assert model.closed == 1
    assert budget.log == [LOCKED, received("hel")]


async def test_a_reader_that_is_cancelled_stops_the_model_and_pays_even_if_it_is_cancelled_again() -> None:
    budget, model = FakeBudget(settling=asyncio.Event()), FakeModel(hangs=True)
    reading = asyncio.create_task(read(metered(model, budget)))
    await model.called.wait()
    reading.cancel()
    await model.closing.wait()
    reading.cancel()
    await asyncio.sleep(0)
    assert not reading.done()
    assert budget.settling is not None
    budget.settling.set()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert budget.log == [LOCKED, received("hello")]


async def test_a_stream_is_served_where_the_ledger_does_not_take_its_report() -> None:
    budget = FakeBudget(down=True)
    assert (await read(metered(FakeModel(), budget)))[-1] is ANSWER
    assert budget.log == [LOCKED]
