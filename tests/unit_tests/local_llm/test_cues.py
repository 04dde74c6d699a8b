"""Values that have to do with what was said: of those that a schema offers, and the texts beside them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.llm.cues import choose, write_text

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model

HASHTAGS = ["#product", "#service", "#usability", "#performance", "#bug", "#positive"]


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("The new search is slow.", "#performance"),
        ("Der Drucker ist kaputt!", "#bug"),
        ("Great service", "#service"),
        ("A bug, and slow", "#bug"),
        ("Buggy", None),
        ("", None),
    ],
)
def test_a_value_is_chosen_by_its_name_or_by_a_word_that_speaks_for_it(said: str, chosen: str | None) -> None:
    assert choose(HASHTAGS, said) == chosen
    assert choose([1, None, True], said) is None


def test_a_summary_quotes_and_a_hashtag_is_a_word() -> None:
    assert write_text("summary", "It  jams.\n") == "[stand-in] It jams."
    assert write_text("summary", "word " * 99) == f"[stand-in] {('word ' * 24).strip()} …"
    assert write_text("ai_hashtag", "It jams often") == "#often"
    assert write_text("ai_hashtag", "It jams") == "#it"
    assert write_text("title", "It jams") is None
    assert write_text("summary", "!") is None


async def test_a_structured_answer_is_about_the_last_message(model: Model) -> None:
    properties = {"hashtag": {"type": "string", "enum": HASHTAGS}, "summary": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}

    said = await model.said(
        messages=[{"role": "user", "content": "The new search is slow."}], response_format=wanted
    )

    answer = json.loads(said["message"]["content"])
    assert answer == {"hashtag": "#performance", "summary": "[stand-in] The new search is slow."}
