"""The table, and where a survivor is."""

from __future__ import annotations

from tests.mutants.edits import Source
from tests.mutants.report import Result, Verdict, describe, share_of, table
from tests.mutants.sample import mutants_of

SOURCE = Source("shared/a.py", "class Work:\n    def fits(self, a, b):\n        return a < b\n")
MUTANT = mutants_of(SOURCE)[0]


def results(*verdicts: Verdict, area: str = "tokens") -> list[Result]:
    return [Result(area, MUTANT, verdict) for verdict in verdicts]


def test_what_changes_nothing_does_not_count() -> None:
    three = results(Verdict.FOUND, Verdict.SURVIVED, Verdict.EQUIVALENT)

    assert share_of(three) == 0.5


def test_the_table_has_a_row_for_each_area_and_the_sum() -> None:
    both = [*results(Verdict.FOUND, Verdict.FOUND), *results(Verdict.SURVIVED, area="chat")]

    assert table(both).splitlines()[2:] == [
        "| tokens | 2 | 2 | 0 | 0 | 100.0% |",
        "| chat | 1 | 0 | 1 | 0 | 0.0% |",
        "| all | 3 | 2 | 1 | 0 | 66.7% |",
    ]


def test_a_survivor_is_shown_with_its_place_and_both_lines() -> None:
    shown = describe(next(mutant for mutant in mutants_of(SOURCE) if mutant.key.operator == "boundary"))

    assert shown.splitlines() == [
        "shared/a.py:3 Work.fits [boundary: < to <= before b]",
        "    -        return a < b",
        "    +        return (a <= b)",
    ]
