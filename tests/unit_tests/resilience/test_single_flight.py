"""Those who ask at once share one question; nobody's leaving costs the others their answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.errors import DeadlineExceededError, DependencyUnavailableError
from shared.resilience.deadlines import deadline
from shared.resilience.single_flight import SingleFlight

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock


class Source:
    """Answers its number of questions once its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0
        self.ended = 0
        self.failure: Exception | None = None
        self.kept: list[int] = []

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.failure is not None:
            raise self.failure
        return number

    def keep(self, number: int) -> None:
        self.kept.append(number)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def flights() -> SingleFlight[str, int]:
    return SingleFlight("the source")


async def begin(flights: SingleFlight[str, int], source: Source, key: str = "a") -> asyncio.Task[int]:
    task = asyncio.create_task(flights.ask(key, source.ask, source.keep))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_one_question_answers_all_who_wait_and_is_kept_once(
    flights: SingleFlight[str, int], source: Source
) -> None:
    tasks = [await begin(flights, source) for _ in range(5)]
    other = await begin(flights, source, "b")
    source.gate.set()

    assert await asyncio.gather(*tasks, other) == [1] * 5 + [2]
    assert source.kept == [1, 2]
    assert not flights.is_asking("a")


async def test_a_failure_is_everybodys_and_the_next_one_asks_anew(
    flights: SingleFlight[str, int], source: Source
) -> None:
    source.failure = DependencyUnavailableError("The source")
    tasks = [await begin(flights, source) for _ in range(3)]
    source.gate.set()

    failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, DependencyUnavailableError) for one in failed)
    assert source.kept == []
    source.failure = None
    assert await flights.ask("a", source.ask, source.keep) == 2


async def test_the_first_one_who_leaves_takes_nothing_along_and_the_last_one_ends_the_question(
    flights: SingleFlight[str, int], source: Source
) -> None:
    first, second = [await begin(flights, source) for _ in range(2)]

    first.cancel()
    await asyncio.wait([first])
    assert (source.ended, flights.is_asking("a")) == (0, True)
    second.cancel()
    await asyncio.wait([second])
    await asyncio.sleep(0)

    assert (source.ended, flights.is_asking("a")) == (1, False)


async def test_a_key_that_is_forgotten_meanwhile_is_asked_for_anew_and_its_old_answer_is_not_kept(
    flights: SingleFlight[str, int], source: Source
) -> None:
    before = await begin(flights, source)
    flights.forget(lambda key: key == "a")
    after = await begin(flights, source)
    source.gate.set()

    assert (await before, await after) == (1, 2)
    assert source.kept == [2]


async def test_a_callers_deadline_ends_the_callers_wait_alone(
    flights: SingleFlight[str, int], source: Source, clock: FakeClock
) -> None:
    with deadline(0, clock), pytest.raises(DeadlineExceededError):
        await flights.ask("a", source.ask, source.keep)
    patient = await begin(flights, source)
    with deadline(0, clock), pytest.raises(DeadlineExceededError):
        await flights.ask("a", source.ask, source.keep)
    source.gate.set()

    assert await patient == 2
    assert source.kept == [2]


async def test_what_is_forgotten_is_asked_anew_and_nothing_else_is(
    flights: SingleFlight[str, int], source: Source
) -> None:
    tasks = [await begin(flights, source, key) for key in ("a", "b")]
    flights.forget(lambda key: key == "a")
    tasks += [await begin(flights, source, key) for key in ("a", "b")]
    source.gate.set()

    assert await asyncio.gather(*tasks) == [1, 2, 3, 2]
    assert sorted(source.kept) == [2, 3]
