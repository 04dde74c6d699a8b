"""Each operator, on a line of its own kind."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.mutants.edits import Source
from tests.mutants.sample import mutants_of


def faults(text: str) -> set[str]:
    """Return the changed lines of every mutant of a text, without its unchanged ones."""
    source = Source("shared/sample.py", dedent(text).strip() + "\n")
    before = source.text.splitlines()
    found = set()
    for mutant in mutants_of(source):
        after = mutant.text.splitlines()
        found.add(" / ".join(line.strip() for line in after if line not in before))
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a = b < c", {"a = (b <= c)"}),
        ("a = b == c", {"a = (b != c)"}),
        ("a = b is None", {"a = (b is not None)"}),
        ("a = b <= c < d", {"a = (b < c < d)", "a = (b <= c <= d)"}),
        ("a = not b", {"a = (b)"}),
        ("a = b and c", {"a = (b)", "a = (c)", "a = (b or c)"}),
        ("a = b + c", {"a = (b - c)"}),
        ("a = b + 'text'", set()),
        ("a = min(b, c)", {"a = max(b, c)"}),
        ("a = b(c, etag=d)", {"a = b(c)"}),
        ("a = b[1]", {"a = b[2]", "a = b[0]"}),
        ("a = 600", {"a = 1200", "a = 300"}),
        ("a = 0.5", {"a = 1.0", "a = 0.25"}),
        ("a = b(True)", {"a = b(False)"}),
        ("a = f'{b}/{c}'", {"a = f'/{c}'", "a = f'{b}{c}'", "a = f'{b}/'"}),
        ("a = {b, c}", {"a = {b}", "a = {c}"}),
        ("a = [b for b in c if b.d]", {"a = [b for b in c if True]"}),
        ("a = 'c.x = @x AND c.y = @y'", {"a = 'c.x = @x'"}),
        ("a(b)", {"pass"}),
        ("del a[b]", {"pass"}),
        ("a.b = c", {"pass"}),
    ],
)
def test_a_line_has_the_faults_of_its_kind(line: str, expected: set[str]) -> None:
    assert faults(line) == expected


def test_what_is_raised_awaited_and_returned_can_be_left_out() -> None:
    found = faults(
        """
        async def work(one):
            if one:
                raise BrokenError(one)
            await one.end()
            return one.answer
        """
    )

    assert found == {"if (not (one)):", "pass", "return None"}


def test_a_class_that_is_caught_can_be_left_out() -> None:
    found = faults(
        """
        try:
            pass
        except (OneError, OtherError):
            pass
        """
    )

    assert found == {"except (OneError,):", "except (OtherError,):"}


@pytest.mark.parametrize(
    "text",
    [
        '"""A docstring of 12 words and f-strings."""',
        "_logger.info('A text', extra={'count': 1})",
        "if TYPE_CHECKING:\n    a = 1",
        "def __repr__(self):\n    return f'<{self.a}>'",
        "raise_it = TooLongError(f'at most {size}')",
        "a = Field(description='one of 3')",
        "a: Literal[1, 2]",
        "def f(a: int | None) -> str | None: ...",
        "class Store(Protocol):\n    def f(self):\n        return 1 + 1",
        "def __init__(self, a):\n    self.a = a",
        "a = zip(b, c, strict=d)",
        "__slots__ = ('a', 'b')",
        "a = super().__init__(f'{b} is gone')",
        "raise AssertionError('unreachable')",
    ],
)
def test_what_only_people_and_type_checkers_read_is_left_alone(text: str) -> None:
    assert faults(text) == set()


def test_only_the_changed_node_of_a_module_is_written_anew() -> None:
    source = Source("shared/sample.py", "a = 'ä'  # ünchanged\nif a < b:  # why\n    pass\n")

    (mutant,) = mutants_of(source)

    assert mutant.text == "a = 'ä'  # ünchanged\nif (a <= b):  # why\n    pass\n"


def test_a_fault_in_a_condition_runs_with_its_head_not_with_its_body() -> None:
    source = Source("shared/sample.py", "if (a and\n        b < c):\n    d()\n    e()\n")

    assert {mutant.lines for mutant in mutants_of(source) if mutant.key.operator == "boundary"} == {(1, 2)}


def test_a_continue_that_ends_its_loop_anyhow_is_left_alone() -> None:
    loop = """
        for a in b:
            try:
                c()
            except OneError:
                continue
            except OtherError:
                pass
        """

    assert len(mutants_of(Source("a.py", dedent(loop)))) == 1
    assert len(mutants_of(Source("a.py", dedent(loop).rstrip() + "\n    d()\n"))) == 3
