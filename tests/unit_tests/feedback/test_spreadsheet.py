"""Rows of CSV files: what is read of them, and what work they make."""

from __future__ import annotations

import csv
import io
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.feedback.models import MOST_ROWS
from functions.feedback.spreadsheet import read_rows
from shared.errors import ValidationError
from tests.support.cpu_time import LeastTime

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x00"), min_size=1).filter(
    lambda text: not text.isspace()
)


def test_a_thousand_rows_and_a_byte_order_mark_are_taken() -> None:
    rows, refused = read_rows("\ufefflanguage;text\r\n" + "en;Hi\r\n" * MOST_ROWS)

    assert (len(rows), refused) == (MOST_ROWS, [])


def test_columns_may_stand_in_any_order_and_spelling() -> None:
    [row], _ = read_rows(" Text , TaskID,LANGUAGE\nHello,t1, de \n")

    assert (row.text, row.task_id, row.language) == ("Hello", "t1", "de")


def test_a_line_break_in_quotes_is_part_of_a_text() -> None:
    [row], _ = read_rows('language,text\nen,"One\nTwo"\n')

    assert (row.row, row.text) == (1, "One\nTwo")


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(["en", "de-AT"]), TEXTS), min_size=1, max_size=20),
    st.sampled_from(",;\t"),
)
def test_what_a_csv_writer_wrote_is_read_as_it_was(table: list[tuple[str, str]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows([("language", "text"), *table])

    rows, refused = read_rows(written.getvalue())

    assert refused == []
    assert [(row.language, row.text) for row in rows] == table


def test_a_megabyte_of_anything_is_read_in_bounded_time() -> None:
    for content in (
        '"' * 2**20,
        "," * 2**20,
        "language,text\n" + '""' * 2**19,
        "language,text\n" + ",\n" * 99_000,
    ):
        least = LeastTime(1.0)
        for _ in least.tries():
            with suppress(ValidationError):
                read_rows(content)
        assert least.seconds < 1.0
