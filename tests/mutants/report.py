"""Table of a run, by area, and what survived it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutants.sample import Mutant


class Verdict(StrEnum):
    """What became of a mutant."""

    FOUND = "found"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True, slots=True)
class Result:
    """A mutant and what became of it.

    Attributes:
        area: The area of its module.
        mutant: The mutant.
        verdict: What became of it.
        by: The test that noticed it, "time" where it did not end; "" where none did.
        seconds: How long that took.
    """

    area: str
    mutant: Mutant
    verdict: Verdict
    by: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Return what is kept of it."""
        key = self.mutant.key
        return {
            "area": self.area,
            "verdict": self.verdict,
            "by": self.by,
            "seconds": round(self.seconds, 2),
            "at": self.mutant.at,
            "module": key.module,
            "function": key.function,
            "line": key.line,
            "operator": key.operator,
            "change": key.change,
            "number": key.number,
        }


def share_of(results: Sequence[Result]) -> float:
    """Return the share of the faults that were noticed, among those that change something."""
    counted = [result for result in results if result.verdict is not Verdict.EQUIVALENT]
    return sum(result.verdict is Verdict.FOUND for result in counted) / len(counted) if counted else 1.0


def table(results: Sequence[Result]) -> str:
    """Return the table by area, the areas in their order, and the sum."""
    rows = ["| area | sampled | found | survived | equivalent | share |", "|---|---|---|---|---|---|"]
    areas = dict.fromkeys(result.area for result in results)
    rows += [_row(area, [result for result in results if result.area == area]) for area in areas]
    rows.append(_row("all", results))
    return "\n".join(rows)


def _row(name: str, results: Sequence[Result]) -> str:
    counts = [sum(result.verdict is verdict for result in results) for verdict in Verdict]
    return f"| {name} | {len(results)} | {' | '.join(map(str, counts))} | {share_of(results):.1%} |"


def describe(mutant: Mutant) -> str:
    """Return where a fault is, and the lines that differ."""
    key = mutant.key
    before, after = mutant.source.text.splitlines(), mutant.text.splitlines()
    different = [
        line
        for line in difflib.unified_diff(before, after, lineterm="", n=0)
        if line[:1] in "+-" and not line.startswith(("+++", "---"))
    ]
    head = f"{key.module}:{mutant.at} {key.function or 'module'} [{key.operator}: {key.change}]"
    return "\n".join([head, *(f"    {line}" for line in different)])
