"""`with_token_limit_retry` and its decorator, called as the common library's document calls them."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import BudgetExceededError
from shared.resilience.deadlines import deadline, remaining_seconds
from tenantry_client.errors import OutOfReachError, TooManyRequestsError
from tenantry_client.token_limit_retry import with_token_limit_retry, with_token_limit_retry_decorator
from tests.support.virtual_time import LoopClock, simulate

if TYPE_CHECKING:
    from collections.abc import Awaitable

# The document's example, but for the import line, which names the module's place here and both of its names.
# Its decorated function has only a comment where a body must be; a test's own body follows that.
EXAMPLE = """
from tenantry_client.token_limit_retry import with_token_limit_retry, with_token_limit_retry_decorator

# Use as a wrapper
result = await with_token_limit_retry(my_async_function, token_client, *args, **kwargs)

# Or as a decorator
@with_token_limit_retry_decorator(token_client)
async def my_function():
    # Function that might hit rate limits
    return await my_async_function(*args, **kwargs)
"""


class ProvidersError(Exception):
    """A rate limit as a model's client raises it."""

    status_code = 429


@dataclass(frozen=True)
class Status:
    reset_time_seconds: float


@dataclass
class Counter:
    """A token counter whose window ends after `reset`."""

    reset: float = 20.0
    asked: int = 0

    async def get_status(self) -> Status:
        self.asked += 1
        return Status(self.reset)


class DeadlinedCounter(Counter):
    """A token counter of this process, which knows the deadline in force."""

    def remaining_seconds(self) -> float | None:
        return remaining_seconds()


@dataclass
class Model:
    """Refuses as often as it is told to; keeps when it was called, and with what."""

    failures: list[Exception] = field(default_factory=list)
    calls: list[tuple[float, tuple[object, ...], dict[str, object]]] = field(default_factory=list)

    async def __call__(self, *args: object, **kwargs: object) -> str:
        self.calls.append((asyncio.get_running_loop().time(), args, kwargs))
        if self.failures:
            raise self.failures.pop(0)
        return "answered"


def test_the_documents_example_runs_as_it_stands() -> None:
    model, counter = Model([ProvidersError(), ProvidersError()]), Counter()
    names: dict[str, Any] = {
        "my_async_function": model,
        "token_client": counter,
        "args": ("a prompt", 7),
        "kwargs": {"model": "gpt-4o"},
    }
    code = compile(EXAMPLE, "the document", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run() -> str:
        running: Awaitable[None] = eval(code, names)  # noqa: S307  # the document's text, above
        await running
        model.failures.append(ProvidersError())
        answer: str = await names["my_function"]()
        return answer

    decorated = simulate(run())

    assert (names["result"], decorated) == ("answered", "answered")
    assert [call[1:] for call in model.calls] == [(("a prompt", 7), {"model": "gpt-4o"})] * 5
    assert names["my_function"].__name__ == "my_function"
    assert counter.asked == 3


def test_the_window_is_waited_for_as_the_token_counter_tells() -> None:
    model, counter = Model([ProvidersError()]), Counter(reset=42)

    simulate(with_token_limit_retry(model, counter))

    first, second = (at for at, _, _ in model.calls)
    assert 42 <= second - first <= 42.5


def test_an_error_that_says_when_to_come_back_is_believed() -> None:
    model, counter = Model([BudgetExceededError("full", retry_after=3)]), Counter(reset=42)

    simulate(with_token_limit_retry(model, counter))

    first, second = (at for at, _, _ in model.calls)
    assert 3 <= second - first <= 3.5
    assert counter.asked == 0


@pytest.mark.parametrize("told", [None, float("nan"), -1, "soon"])
def test_an_error_that_says_nothing_of_use_is_waited_for_as_the_counter_tells(told: object) -> None:
    refusal = TooManyRequestsError("too many", status=429)
    refusal.retry_after = told  # type: ignore[assignment]  # other people's errors hold anything
    model, counter = Model([refusal]), Counter(reset=42)

    simulate(with_token_limit_retry(model, counter))

    first, second = (at for at, _, _ in model.calls)
    assert 42 <= second - first <= 42.5


def test_three_calls_are_the_most_unless_it_is_said_otherwise() -> None:
    model, patient = Model([ProvidersError()] * 9), Model([ProvidersError()] * 9)

    with pytest.raises(ProvidersError):
        simulate(with_token_limit_retry(model, Counter()))
    with pytest.raises(ProvidersError):
        simulate(with_token_limit_retry(patient, Counter(), max_retries=4))

    assert (len(model.calls), len(patient.calls)) == (3, 5)


def test_a_number_after_the_client_is_max_retries_where_the_function_has_no_place_for_it() -> None:
    model = Model([ProvidersError()] * 9)

    async def ask(prompt: str) -> str:
        return await model(prompt)

    async def ask_times(times: int) -> str:
        return await model(times)

    with pytest.raises(ProvidersError):
        simulate(with_token_limit_retry(ask, Counter(), 1, "a prompt"))
    after_one_retry = len(model.calls)
    with pytest.raises(ProvidersError):
        simulate(with_token_limit_retry(ask_times, Counter(), 1))

    assert after_one_retry == 2
    assert [call[1] for call in model.calls] == [("a prompt",)] * 2 + [(1,)] * 3


def test_arguments_that_fit_neither_shape_are_the_functions_own_type_error() -> None:
    async def ask(prompt: str) -> str:
        return prompt

    with pytest.raises(TypeError, match="ask"):
        simulate(with_token_limit_retry(ask, Counter(), 1, 2, 3))


def test_every_other_error_is_raised_at_once() -> None:
    model, counter = Model([KeyError("a defect")]), Counter()

    with pytest.raises(KeyError):
        simulate(with_token_limit_retry(model, counter))

    assert len(model.calls) == 1


def test_a_token_counter_that_is_out_is_told_and_not_waited_for() -> None:
    class OutOfReach:
        async def get_status(self) -> Status:
            raise OutOfReachError("The token counter is not available")

    model = Model([ProvidersError()])

    with pytest.raises(OutOfReachError):
        simulate(with_token_limit_retry(model, OutOfReach()))


def test_what_is_longer_than_a_window_is_not_waited_for() -> None:
    longest = Model([BudgetExceededError("full", retry_after=119)])
    model = Model([BudgetExceededError("full until tomorrow", retry_after=3600)])

    simulate(with_token_limit_retry(longest, Counter()))
    with pytest.raises(BudgetExceededError) as caught:
        simulate(with_token_limit_retry(model, Counter()))

    assert (len(longest.calls), len(model.calls)) == (2, 1)
    assert caught.value.retry_after == 3600


def test_no_wait_outlasts_the_deadline() -> None:
    model = Model([BudgetExceededError("full", retry_after=20)])

    async def run() -> float:
        with deadline(10, LoopClock()), pytest.raises(BudgetExceededError):
            await with_token_limit_retry(model, DeadlinedCounter())
        return asyncio.get_running_loop().time()

    assert simulate(run()) == 0
    assert len(model.calls) == 1


def test_after_the_deadline_nothing_is_waited_for() -> None:
    model = Model([BudgetExceededError("full", retry_after=0)])

    async def run() -> None:
        with deadline(0, LoopClock()), pytest.raises(BudgetExceededError):
            await with_token_limit_retry(model, DeadlinedCounter())

    simulate(run())

    assert len(model.calls) == 1


def test_the_decorator_passes_on_what_it_is_given() -> None:
    model, counter = Model([ProvidersError()]), Counter()

    @with_token_limit_retry_decorator(counter, 1)
    async def ask(prompt: str, *, model_name: str) -> str:
        """Ask."""
        return await model(prompt, model_name=model_name)

    assert simulate(ask("a prompt", model_name="gpt-4o")) == "answered"
    assert [call[1:] for call in model.calls] == [(("a prompt",), {"model_name": "gpt-4o"})] * 2
    assert ask.__doc__ == "Ask."
