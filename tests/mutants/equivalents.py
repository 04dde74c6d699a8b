"""Faults that change nothing anybody could notice, each with the reason."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutants.sample import Key

FILE = Path(__file__).with_name("equivalent.toml")
_FIELDS = ("module", "function", "line", "operator", "change")


class StaleEquivalentError(Exception):
    """An equivalent is named that is no mutant any more, or without a reason."""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """One fault that changes nothing."""

    module: str
    function: str
    line: str
    operator: str
    change: str
    reason: str

    def names(self, key: Key) -> bool:
        """Tell whether it is this mutant."""
        return all(getattr(self, field) == getattr(key, field) for field in _FIELDS)


def read_equivalents(text: str) -> list[Equivalent]:
    """Read the list.

    Raises:
        StaleEquivalentError: An entry lacks its reason.
    """
    found = [Equivalent(**entry) for entry in tomllib.loads(text).get("equivalent", [])]
    for entry in found:
        if not entry.reason.strip():
            raise StaleEquivalentError(f"no reason: {entry}")
    return found


def demand_that_all_exist(entries: Iterable[Equivalent], keys: Iterable[Key]) -> None:
    """Refuse a list in which something stands that is no mutant any more.

    Raises:
        StaleEquivalentError: So it is.
    """
    known = {tuple(getattr(key, field) for field in _FIELDS) for key in keys}
    stale = [entry for entry in entries if tuple(getattr(entry, field) for field in _FIELDS) not in known]
    if stale:
        raise StaleEquivalentError("; ".join(f"{one.module}, {one.function}: {one.line}" for one in stale))
