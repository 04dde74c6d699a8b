"""Mutants of a module, and a sample of them that stays the same while the code around it changes."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.mutants.operators import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutants.edits import Edit, Source


@dataclass(frozen=True, slots=True)
class Key:
    """Name of a mutant by content: it holds while its line does, wherever the line moves.

    Attributes:
        module: The path of the module.
        function: The dotted name of the function or class; "" at the module's level.
        line: The text of the line.
        operator: The kind of the change.
        change: The change in words.
        number: Counts those that are alike in all this.
    """

    module: str
    function: str
    line: str
    operator: str
    change: str
    number: int = 1

    def rank(self, seed: str) -> str:
        """Return what orders mutants by chance, the same at each run of a seed."""
        parts = (seed, self.module, self.function, self.line, self.operator, self.change, str(self.number))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault in one module.

    Attributes:
        key: Its name.
        lines: The first and the last line of the statement, or of its head where it holds others.
        at: The line that is changed.
        runs_at_import: Whether no function holds it.
        text: The whole module with the fault.
    """

    key: Key
    lines: tuple[int, int]
    at: int
    runs_at_import: bool
    source: Source
    edit: Edit

    @property
    def text(self) -> str:
        """Return the whole module with the fault."""
        return self.source.apply(self.edit)

    def differs(self) -> bool:
        """Tell whether it is Python, and another program."""
        try:
            compile(self.text, self.key.module, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        return self.text != self.source.text


def mutants_of(source: Source) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    found: list[Mutant] = []
    alike: Counter[Key] = Counter()
    for place in source.places():
        statement = place.statement if place.parents else None
        for operator in OPERATORS if statement is not None else ():
            for edit in operator(place):
                key = Key(
                    source.path, place.function, source.line(edit.node.lineno), edit.operator, edit.change
                )
                alike[key] += 1
                numbered = Key(key.module, key.function, key.line, key.operator, key.change, alike[key])
                span = _span(edit, place.statement.lineno, place.statement.end_lineno)
                found.append(Mutant(numbered, span, edit.node.lineno, place.runs_at_import, source, edit))
    return sorted(found, key=lambda mutant: mutant.at)


def _span(edit: Edit, first: int, last: int | None) -> tuple[int, int]:
    """Return the lines that run when the changed node does: the statement's, if it holds no others."""
    end = edit.node.end_lineno or edit.node.lineno
    return (min(first, edit.node.lineno), end) if last is None or last > end else (first, last)


def draw(mutants: Iterable[Mutant], count: int, seed: str) -> list[Mutant]:
    """Draw as many mutants, each of another line while there are lines, and the same for the same seed."""
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in mutants:
        lines.setdefault((mutant.key.module, mutant.at), []).append(mutant)
    ranked = []
    for on_line in lines.values():
        by_chance = sorted(on_line, key=lambda mutant: mutant.key.rank(seed))
        one = by_chance[0].key
        line_rank = Key(one.module, one.function, one.line, "", "", min(m.key.number for m in on_line)).rank(
            seed
        )
        ranked += [(turn, line_rank, mutant) for turn, mutant in enumerate(by_chance)]
    ranked.sort(key=lambda entry: (entry[0], entry[1], entry[2].at))
    drawn: list[Mutant] = []
    for _, _, mutant in ranked:
        if len(drawn) == count:
            break
        if mutant.differs():
            drawn.append(mutant)
    return drawn
