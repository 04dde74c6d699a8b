"""The list of faults that change nothing: short, with reasons, and of the code as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.mutants.areas import ROOT
from tests.mutants.edits import Source
from tests.mutants.equivalents import (
    FILE,
    Equivalent,
    StaleEquivalentError,
    demand_that_all_exist,
    read_equivalents,
)
from tests.mutants.sample import mutants_of

if TYPE_CHECKING:
    from tests.mutants.sample import Key

ENTRY = Equivalent("shared/a.py", "work", "return a < b", "boundary", "< to <= before b", "a is never b")


def keys(text: str) -> list[Key]:
    return [mutant.key for mutant in mutants_of(Source("shared/a.py", text))]


def test_an_equivalent_is_found_wherever_its_line_moves() -> None:
    moved = keys("import math\n\n\ndef work(a, b):\n    return a < b\n")

    assert [ENTRY.names(key) for key in moved] == [False, True]
    demand_that_all_exist([ENTRY], moved)


def test_an_equivalent_that_no_longer_exists_is_refused() -> None:
    with pytest.raises(StaleEquivalentError, match="return a < b"):
        demand_that_all_exist([ENTRY], keys("def work(a, b):\n    return b > a\n"))


def test_an_equivalent_of_another_function_is_none() -> None:
    assert not replace(ENTRY, function="rest").names(keys("def work(a, b):\n    return a < b\n")[0])


def test_an_equivalent_without_a_reason_is_refused() -> None:
    fields = "\n".join(f'{name} = "x"' for name in ("module", "function", "line", "operator", "change"))

    with pytest.raises(StaleEquivalentError, match="no reason"):
        read_equivalents(f'[[equivalent]]\n{fields}\nreason = " "\n')


def test_every_equivalent_that_is_named_is_still_there() -> None:
    named = read_equivalents(FILE.read_text())
    modules = sorted({entry.module for entry in named})
    found = [mutant.key for name in modules for mutant in mutants_of(Source(name, (ROOT / name).read_text()))]

    demand_that_all_exist(named, found)
