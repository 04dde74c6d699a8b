"""The choice of tests: those that run the changed lines, the area's own first, the quickest first."""

from __future__ import annotations

import pytest

from tests.mutants.areas import Area
from tests.mutants.edits import Source
from tests.mutants.sample import Mutant, mutants_of
from tests.mutants.traces import OTHERS_SECONDS, OWN_SECONDS, Trace, Traces

AREA = Area("cosmos", ("shared/cosmos",), ("cosmos",))
MODULE = "shared/cosmos/queries.py"
TEXT = """
LIMIT = 5


def first(a):
    return (a < 1
            and a.size != LIMIT)


def second(a):
    return a > 2


class Item:
    size = 12
"""


def mutant(change: str) -> Mutant:
    return next(one for one in mutants_of(Source(MODULE, TEXT)) if one.key.change.startswith(change))


def trace(name: str, seconds: float, *lines: int, module: str = MODULE) -> Trace:
    return Trace(f"tests/unit_tests/{name}", seconds, {module: frozenset(lines)})


def test_only_tests_that_run_the_changed_line_are_asked_the_areas_own_first() -> None:
    traces = Traces(
        (
            trace("cosmos/test_a.py::test_slow", 2.0, 5, 6),
            trace("cosmos/test_a.py::test_elsewhere", 0.1, 9, 10),
            trace("cosmos/test_b.py::test_quick", 0.1, 6),
            trace("chat/test_c.py::test_another_areas", 0.1, 6),
            trace("cosmos/test_d.py::test_of_another_module", 0.1, 6, module="shared/cosmos/sdk.py"),
        )
    )

    own, others = traces.choose(mutant("< to"), AREA)

    assert own == [
        "tests/unit_tests/cosmos/test_b.py::test_quick",
        "tests/unit_tests/cosmos/test_a.py::test_slow",
    ]
    assert others == ["tests/unit_tests/chat/test_c.py::test_another_areas"]


@pytest.mark.slow
def test_a_constant_is_judged_by_the_tests_of_the_functions_that_name_it() -> None:
    traces = Traces(
        (
            trace("cosmos/test_a.py::test_of_first", 0.1, 7),
            trace("cosmos/test_a.py::test_of_second", 0.2, 11),
            trace("cosmos/test_b.py::test_of_an_importer", 0.2, 1, module="shared/cosmos/partition.py"),
        )
    )

    own, others = traces.choose(mutant("5 to 6"), AREA)

    assert own == ["tests/unit_tests/cosmos/test_a.py::test_of_first"]
    assert others == []


@pytest.mark.slow
def test_what_a_class_declares_is_judged_by_all_tests_of_its_module_and_of_those_that_import_it() -> None:
    traces = Traces(
        (
            trace("cosmos/test_a.py::test_of_it", 0.1, 10),
            trace("cosmos/test_b.py::test_of_an_importer", 0.2, 1, module="shared/cosmos/partition.py"),
            trace("cosmos/test_c.py::test_of_neither", 0.3, 1, module="shared/clock.py"),
        )
    )

    own, _ = traces.choose(mutant("12 to 13"), AREA)

    assert own == [
        "tests/unit_tests/cosmos/test_a.py::test_of_it",
        "tests/unit_tests/cosmos/test_b.py::test_of_an_importer",
    ]


def test_what_a_class_declares_is_asked_of_the_contracts_tests_first_and_a_function_is_not() -> None:
    contract = "tests/unit_tests/gates/test_contract_bounds.py::test_at_a_bound"
    of_it = "tests/unit_tests/cosmos/test_a.py::test_of_it"
    traces = Traces(
        (
            trace("gates/test_contract_bounds.py::test_at_a_bound", 0.9, 1, module="shared/clock.py"),
            trace("cosmos/test_a.py::test_of_it", 0.1, 10, 6),
        )
    )

    assert traces.choose(mutant("12 to 13"), AREA)[0] == [contract, of_it]
    assert traces.choose(mutant("< to"), AREA)[0] == [of_it]


def test_a_function_that_no_test_runs_but_an_import_is_judged_like_what_runs_at_import() -> None:
    traces = Traces((trace("cosmos/test_a.py::test_of_its_module", 0.1, 6),))

    own, _ = traces.choose(mutant("> to"), AREA)

    assert own == ["tests/unit_tests/cosmos/test_a.py::test_of_its_module"]


def test_a_round_takes_its_time_and_no_more_but_asks_one_test_at_least() -> None:
    many = [trace(f"cosmos/test_a.py::test_{number:03}", 1.0, 6) for number in range(100)]
    long = [trace("chat/test_b.py::test_long", OTHERS_SECONDS + 1, 6)]

    own, others = Traces((*many, *long)).choose(mutant("< to"), AREA)

    assert len(own) == OWN_SECONDS
    assert others == [long[0].id]
