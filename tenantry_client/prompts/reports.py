"""Reports of an import or export, one for each file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileOutcome(StrEnum):
    """End of one file's import or export."""

    CREATED = "created"
    UPDATED = "updated"
    LABELLED = "labelled"
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file, how it ended, and why or as which version."""

    file: str
    outcome: FileOutcome
    detail: str = ""
