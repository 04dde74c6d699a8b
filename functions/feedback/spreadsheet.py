"""Rows of a CSV file, each read by itself: one that is no feedback keeps no other from being one."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from functions.feedback.models import MOST_ROWS, FeedbackRequest
from shared.errors import ValidationError
from shared.validation import refused_field, validate_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ("language", "text", "task_id")
_NEEDED = {"language", "text"}
_ALIASES = {"taskid": "task_id"}
_DELIMITERS = ",;\t"
_MOST_LINES = 100_000
_FIELD = "body.csv"
_BYTE_ORDER_MARK = "\ufeff"


class FeedbackRow(BaseModel):
    """A row that is feedback."""

    model_config = ConfigDict(frozen=True)

    row: int
    language: str
    text: str
    task_id: str | None = None


class RefusedRow(BaseModel):
    """A row that is none, and what is wrong with which column."""

    model_config = ConfigDict(frozen=True)

    row: int
    fields: dict[str, str]


def read_rows(content: str) -> tuple[list[FeedbackRow], list[RefusedRow]]:
    """Read a CSV file (RFC 4180); lines without anything are passed over.

    Raises:
        ValidationError: It is no CSV file, has columns that feedback does not have, or lacks one, or has no
            row or more than `MOST_ROWS`.
    """
    content = content.removeprefix(_BYTE_ORDER_MARK)
    if content.count("\n") + content.count("\r") > _MOST_LINES:
        raise refused_field(_FIELD, f"has more than {_MOST_LINES} lines")
    rows: list[FeedbackRow] = []
    refused: list[RefusedRow] = []
    try:
        lines = csv.reader(io.StringIO(content, newline=""), delimiter=_find_delimiter(content), strict=True)
        columns = _read_columns(lines)
        for row, cells in enumerate((cells for cells in lines if any(cells)), 1):
            if row > MOST_ROWS:
                raise refused_field(_FIELD, f"has more than {MOST_ROWS} rows")
            read = _read_row(row, columns, cells)
            if isinstance(read, FeedbackRow):
                rows.append(read)
            else:
                refused.append(read)
    except csv.Error as error:
        raise refused_field(_FIELD, f"is not CSV: {error}") from error
    if not rows and not refused:
        raise refused_field(_FIELD, "has no rows")
    return rows, refused


def _find_delimiter(content: str) -> str:
    """Return the sign that parts the names of the columns."""
    names = content.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=names.count)


def _read_columns(lines: Iterator[list[str]]) -> list[str]:
    named = next((cells for cells in lines if any(cells)), [])
    spelled = [name.strip().lower() for name in named]
    columns = [_ALIASES.get(name, name) for name in spelled]
    if missing := sorted(_NEEDED - set(columns)):
        raise refused_field(_FIELD, f"has no column {' and no column '.join(missing)}")
    if len(set(columns)) < len(columns) or not set(columns) <= set(COLUMNS):
        raise refused_field(_FIELD, f"may have each of the columns {', '.join(COLUMNS)} once, and no other")
    return columns


def _read_row(row: int, columns: Sequence[str], cells: Sequence[str]) -> FeedbackRow | RefusedRow:
    if len(cells) != len(columns):
        return RefusedRow(row=row, fields={"": f"has {len(cells)} cells instead of {len(columns)}"})
    fields = {name: cell for name, cell in zip(columns, cells, strict=True) if cell or name in _NEEDED}
    fields["language"] = fields["language"].strip()
    try:
        validate_input(lambda: FeedbackRequest.model_validate(fields), "row")
    except ValidationError as error:
        problems = error.detail.get("fields")
        return RefusedRow.model_validate({"row": row, "fields": problems})
    return FeedbackRow.model_validate({"row": row} | fields)
