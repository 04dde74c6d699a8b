"""Lines that the command prints: a table of files, their sum, and a progress line where somebody watches."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self, TextIO

from tenantry_client.prompts.reports import FileOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenantry_client.prompts.reports import FileReport

_RED, _GREEN, _YELLOW, _DIM = "31", "32", "33", "2"
_COLOURS = {FileOutcome.FAILED: _RED, FileOutcome.UNCHANGED: _DIM, FileOutcome.SKIPPED: _YELLOW}
_WIDEST = 60


def print_reports(reports: Sequence[FileReport]) -> None:
    """Print a line for each file, and how many ended in which way."""
    width = min(_WIDEST, max((len(_clean(one.file)) for one in reports), default=0))
    longest = max(map(len, FileOutcome))
    for one in reports:
        outcome = _coloured(f"{one.outcome:<{longest}}", _COLOURS.get(one.outcome, _GREEN), sys.stdout)
        _print(f"{_clean(one.file):<{width}}  {outcome}  {_clean(one.detail)}".rstrip(), sys.stdout)
    counts = {outcome: sum(one.outcome is outcome for one in reports) for outcome in FileOutcome}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    _print(told or "no prompts", sys.stdout)


def print_error(text: str) -> None:
    """Print what ended the command."""
    _print(_coloured(_clean(text), _RED, sys.stderr), sys.stderr)


class ProgressLine:
    """One line on a terminal that counts; nothing where nobody watches."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._is_shown = sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        """Tell how many of how many are done."""
        if self._is_shown:
            sys.stderr.write(f"\r{self._title} {done}/{total}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _clean(text: str) -> str:
    """Escape what moves a cursor or is no text: names and reasons come from elsewhere."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text
    )


def _coloured(text: str, colour: str, stream: TextIO) -> str:
    wanted = stream.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{colour}m{text}\x1b[0m" if wanted else text


def _print(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
