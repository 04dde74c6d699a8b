"""Property 1: never over, with several processes, lost answers and kills; and the checker can fail."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.broken_ledgers import EagerStoreClock, WallStoreClock, forgetting
from tests.support.ledger_checker import Admission, Excess, find_excess, mean_debt_tokens
from tests.support.ledger_simulation import LIMIT_REQUESTS, LIMIT_TOKENS, Plan, Simulation
from tests.support.simulated_cosmos import Faults
from tests.support.soak import SOAK, sized

pytestmark = sized(120)

SEEDS = range(200 if SOAK else 2)
HOSTILE = Plan(
    seconds=240 if SOAK else 130,
    tasks=4 if SOAK else 3,
    faults=Faults(lost_request=0.02, lost_answer=0.05, slow=0.03),
    kill_every=7.0,
    cancel=0.05,
    processes=4,
    outage_every=10.0,
)
REPORTS_SECONDS = 120 if SOAK else 50
LOSSY = Faults(lost_answer=0.2)
IMPATIENT = Faults(lost_answer=0.05, slow=0.3, slow_seconds=4.0, patience_seconds=1.0)
"""Requests arrive after who sent them has tried again, or has been killed."""
CALM = Plan(seconds=600 if SOAK else 190, processes=3, tasks=1, tokens=(20, 600), settles=False)
OVERLOAD = Plan(seconds=3_600 if SOAK else 180, processes=3, tasks=1, tokens=(900, 1_100), settles=False)


def excess(simulation: Simulation) -> list[Excess]:
    return find_excess(simulation.log, LIMIT_TOKENS, LIMIT_REQUESTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_window_is_over_when_answers_are_lost_and_processes_killed(seed: int) -> None:
    simulation = Simulation(seed, HOSTILE).run()
    assert len(simulation.log) > 30
    assert excess(simulation) == []
    simulation.check_the_sums()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [LOSSY, IMPATIENT])
def test_reports_are_in_the_usage_once_however_often_they_are_repeated(seed: int, faults: Faults) -> None:
    simulation = Simulation(
        seed, Plan(seconds=REPORTS_SECONDS, faults=faults, processes=3, kill_every=9.0)
    ).run()
    assert 0 < simulation.acknowledged <= sum(simulation.sent.values()) == simulation.used_in_store()
    spent = simulation.scope()["spent"]
    assert isinstance(spent, dict)
    assert sum(spent.values()) == 2 * simulation.used_in_store()
    simulation.check_the_sums()
    assert excess(simulation) == []


def test_overload_is_handed_95_percent_of_the_tokens() -> None:
    simulation = Simulation(1, OVERLOAD).run()
    after_the_first_burst = sum(admission.tokens for admission in simulation.log if admission.at >= 60)
    assert after_the_first_burst / (LIMIT_TOKENS * (OVERLOAD.seconds - 60) / 60) >= 0.95
    assert excess(simulation) == []


def test_overload_is_handed_95_percent_of_the_requests() -> None:
    simulation = Simulation(1, replace(OVERLOAD, tokens=(1, 20))).run()
    times = [admission.at for admission in simulation.log]
    cycles = [later - earlier for earlier, later in zip(times, times[LIMIT_REQUESTS:], strict=False)]
    assert 60 <= sum(cycles) / len(cycles) <= 60 / 0.95
    assert excess(simulation) == []


def test_the_checker_finds_a_ledger_that_frees_two_seconds_early() -> None:
    assert excess(Simulation(1, CALM, store_clock=lambda _: EagerStoreClock()).run())


def test_the_checker_finds_a_ledger_that_trusts_wall_clocks() -> None:
    assert excess(Simulation(1, CALM, store_clock=WallStoreClock).run())


def test_the_checker_finds_a_ledger_that_forgets_two_percent_of_its_charges() -> None:
    simulation = Simulation(1, CALM)
    chance = random.Random(2)  # noqa: S311  # repeats the same run
    simulation.store.tamper = lambda operations: forgetting(operations, chance)
    assert excess(simulation.run())


def test_the_checker_sees_a_doubling_at_a_windows_edge() -> None:
    log = [Admission(59.0, LIMIT_TOKENS), Admission(61.0, LIMIT_TOKENS)]
    assert find_excess(log, LIMIT_TOKENS, LIMIT_REQUESTS)
    apart = [Admission(0.0, LIMIT_TOKENS), Admission(60.0, LIMIT_TOKENS)]
    assert find_excess(apart, LIMIT_TOKENS, LIMIT_REQUESTS) == []


def test_what_is_used_beyond_a_lock_is_in_use_for_a_minute_from_its_report() -> None:
    within, beyond = Admission(0.0, 100, settled_at=10.0, used=40), Admission(0.0, 100, 10.0, used=130)
    assert mean_debt_tokens([within, beyond], 0, 100) == 30 * 60 / 100
    assert mean_debt_tokens([within, beyond], 40, 80) == 30 * 30 / 40
    assert mean_debt_tokens([beyond, Admission(0.0, 100, used=130)], 0, 40) == 30 * 30 / 40
    assert mean_debt_tokens([beyond], 70, 100) == mean_debt_tokens([beyond], 0, 10) == 0


def test_the_checker_counts_what_was_reported_from_then_on_and_no_debt() -> None:
    reported = Admission(0.0, 100, settled_at=10.0, used=40)
    assert find_excess([reported, Admission(9.0, 60)], 100, 9) == [Excess(9.0, 160, 2)]
    assert find_excess([reported, Admission(10.0, 60)], 100, 9) == []
    assert find_excess([reported, Admission(10.0, 61)], 100, 9) == [Excess(10.0, 101, 2)]
    assert find_excess([reported, Admission(10.0, 60), Admission(60.0, 40)], 100, 9) == []
    beyond = Admission(0.0, 100, settled_at=10.0, used=400)
    assert find_excess([beyond, Admission(11.0, 1)], 101, 9) == []
    given_back = Admission(0.0, 100, settled_at=10.0, released=True)
    assert find_excess([given_back, Admission(11.0, 100)], 100, 1) == []
