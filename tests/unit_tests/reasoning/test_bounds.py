"""Bounds that a job brings with it: its deadline and its token budget; and that of a delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.reasoning.worker import DELIVERY_SECONDS
from shared.contracts import Usage
from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.llm.token_cap import TokenCap, TokenCapReachedError
from shared.resilience.deadlines import remaining_seconds
from tests.unit_tests.reasoning.app import App, message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def takes(app: App, seconds: float) -> Callable[[], Awaitable[None]]:
    """Let the model think for so long each time."""

    async def think() -> None:
        app.clock.advance(seconds)

    return think


async def test_a_job_that_is_delivered_after_its_deadline_asks_no_model_and_fails(app: App) -> None:
    await app.accept(id="j1", text="Why?", deadline_seconds=60)
    app.clock.advance(60)

    await app.deliver(app.sender.sent[-1][1].body)

    shown = (await app.show("j1")).json()
    assert (shown["status"], app.model.prompts) == ("failed", [])
    assert shown["error"] == "The job's deadline has passed: 60 s after it was accepted"
    assert app.sender.results()[0]["message"] == shown["error"]


async def test_a_deadline_between_two_steps_keeps_what_was_paid(app: App) -> None:
    app.model.think = takes(app, 60)

    await app.deliver(message(deadline_seconds=60))

    shown = (await app.show("j1")).json()
    assert (shown["status"], [step["name"] for step in shown["steps"]]) == ("failed", ["reason"])
    assert shown["usage"]["total_tokens"] == 10
    assert app.sender.results()[0]["ai_reason"] == "a sound answer"


async def test_a_call_is_given_no_more_time_than_its_job_has_left(app: App) -> None:
    left: list[float | None] = []

    async def look() -> None:
        left.append(remaining_seconds())
        app.clock.advance(10)

    app.model.think = look

    await app.deliver(message(deadline_seconds=25))

    assert left == [25, 15]


async def test_what_fails_at_the_deadline_is_not_delivered_again(app: App) -> None:
    app.model.think = takes(app, 60)
    app.model.failures = [DependencyUnavailableError("The model")]

    await app.deliver(message(deadline_seconds=60))

    assert "deadline has passed" in (await app.show("j1")).json()["error"]


async def test_a_job_whose_budget_comes_after_its_deadline_fails_at_once(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=60.0)]

    await app.deliver(message(deadline_seconds=60))

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["error"][:9]) == ("failed", "Too much ")


async def test_a_job_without_an_analysis_in_time_waits_for_its_budget_until_then(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=10.0)]

    await app.deliver(message(deadline_seconds=60))
    await app.deliver_what_was_put_off()

    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_jobs_calls_are_counted_against_its_own_budget(app: App) -> None:
    await app.deliver(message(token_budget=1000))

    caps = {id(prompt.cap): prompt.cap for prompt in app.model.prompts}
    assert [cap and (cap.limit, cap.used.total_tokens) for cap in caps.values()] == [(1000, 20)]


async def test_what_earlier_deliveries_used_counts_against_a_jobs_budget(app: App) -> None:
    async def fail_at_the_summary() -> None:
        if len(app.model.prompts) == 2:
            app.model.failures = [DependencyUnavailableError("The model")]

    app.model.think = fail_at_the_summary
    await app.deliver(message(token_budget=1000))
    used: list[int] = []

    async def look() -> None:
        cap = app.model.prompts[-1].cap
        assert cap is not None
        used.append(cap.used.total_tokens)

    app.model.think = look
    await app.deliver(message(token_budget=1000))

    assert used == [10]


async def test_a_job_whose_budget_may_not_suffice_fails_and_says_why(app: App) -> None:
    app.model.failures = [TokenCapReachedError(500, 400, 1000)]

    await app.deliver(message(token_budget=1000))

    told = "The next call may take 500 tokens; of the budget of 1000 there are 400 left"
    assert (await app.show("j1")).json()["error"] == f"TokenCapReachedError: {told}"


def test_a_cap_admits_what_just_fits_and_nothing_beyond() -> None:
    cap = TokenCap(100, Usage(total_tokens=40))

    cap.require(60)
    with pytest.raises(TokenCapReachedError, match="there are 60 left"):
        cap.require(61)
    cap.add(Usage(total_tokens=70))
    with pytest.raises(TokenCapReachedError, match="there are 0 left"):
        cap.require(1)
    TokenCap().require(10**9)


async def test_a_job_that_takes_long_goes_on_in_another_delivery(app: App) -> None:
    app.model.think = takes(app, DELIVERY_SECONDS)
    await app.deliver(message())

    halfway = (await app.show("j1")).json()
    assert (halfway["status"], halfway["waiting_until"], halfway["waiting_for"]) == ("queued", None, None)
    [(queue, again)] = app.sender.sent
    assert (queue, again.not_before) == ("reasoner-in", None)
    await app.deliver(again.body)

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert len(app.model.prompts) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deadline_seconds", 0),
        ("deadline_seconds", timedelta(days=7).total_seconds() + 1),
        ("token_budget", 0),
        ("strategy", "guess"),
        ("needs_approval", "perhaps"),
    ],
)
async def test_bounds_that_are_none_are_refused_by_name(app: App, field: str, value: object) -> None:
    body: dict[str, Any] = {"id": "j1", "text": "Why?", field: value}
    refused = await app.accept(**body)
    await app.deliver(message() | {field: value})

    assert (refused.status, f"body.{field}" in refused.json()["detail"]["fields"]) == (422, True)
    assert (app.model.prompts, app.sender.sent) == ([], [])
