"""The sample: the same for the same seed, and named by content."""

from __future__ import annotations

from tests.mutants.areas import AREAS, ROOT
from tests.mutants.edits import Source
from tests.mutants.sample import draw, mutants_of

LINES = [f"def work_{number}(a, b):\n    return a + {number} < b\n" for number in range(1, 30)]


def sample_of(text: str, count: int, seed: str) -> list[str]:
    return [mutant.key.rank("") for mutant in draw(mutants_of(Source("shared/a.py", text)), count, seed)]


def test_the_same_seed_draws_the_same_faults() -> None:
    assert sample_of("".join(LINES), 10, "1") == sample_of("".join(LINES), 10, "1")


def test_another_seed_draws_others() -> None:
    assert sample_of("".join(LINES), 10, "1") != sample_of("".join(LINES), 10, "2")


def test_lines_that_come_in_between_change_at_most_as_many_faults() -> None:
    before = sample_of("".join(LINES), 10, "1")
    after = sample_of("def other(a):\n    return not a\n" + "".join(LINES), 10, "1")

    assert len(set(before) - set(after)) <= 2


def test_each_fault_is_on_a_line_of_its_own_while_there_are_lines() -> None:
    drawn = draw(mutants_of(Source("shared/a.py", "".join(LINES))), 29, "1")

    assert len({mutant.at for mutant in drawn}) == 29


def test_no_module_is_of_two_areas() -> None:
    files = [file for area in AREAS for file in area.files()]

    assert len(files) == len(set(files))


def test_every_area_has_code_and_tests_of_its_own() -> None:
    assert [area.name for area in AREAS if not area.files()] == []
    assert [
        f"{area.name}: {folder}"
        for area in AREAS
        for folder in area.tests
        if not list((ROOT / "tests" / "unit_tests" / folder).glob("test_*.py"))
    ] == []
