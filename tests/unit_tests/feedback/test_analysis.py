"""Analyses: what of a model's answer is believed, and what is kept of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.feedback.analysis import LONGEST_SUMMARY, SHORTEST_SUMMARY, read_analysis
from functions.feedback.errors import UnfitSummaryError
from functions.feedback.personal_data import mask_personal_data
from shared.llm.chat_model import Completion
from tests.unit_tests.feedback.app import ANALYSIS, USAGE

if TYPE_CHECKING:
    from functions.feedback.stored_models import Analysis

WORDS = st.text("ab1@.[] +", max_size=20)


def read(text: str, **fields: object) -> Analysis:
    answer = Completion(json.dumps(ANALYSIS | fields), USAGE, "gpt-4o", "stop")
    return read_analysis(answer, mask_personal_data(text))


def test_what_the_model_makes_up_is_nobodys_personal_data() -> None:
    quotes = [{"kind": "name", "text": "Bob"}, {"kind": "email", "text": "bob@example.com"}]

    analysis = read("The printer jams.", summary="Bob is unhappy.", personal_data=quotes)

    assert (analysis.contains_pii, analysis.summary) == (False, "Bob is unhappy.")


@pytest.mark.parametrize("quote", ["email", "[email]", "e", "x" * 201, "", "   "])
def test_a_quote_of_a_mask_or_of_no_size_is_none(quote: str) -> None:
    analysis = read("ann@example.com wrote", personal_data=[{"kind": "other", "text": quote}])

    assert analysis.personal_data == ["email"]


def test_personal_data_of_the_models_own_is_masked_wherever_it_writes() -> None:
    analysis = read("It jams.", ai_hashtag="#ann@example.com", summary="Call 030 1234567 about it.")

    assert (analysis.ai_hashtag, analysis.summary) == ("#[email]", "Call [phone] about it.")
    assert analysis.contains_pii is False  # the text has none


def test_a_number_in_the_text_is_masked_in_a_summary_that_groups_it_otherwise() -> None:
    analysis = read("My card 4111111111111111", summary="The card 4111-1111-1111-1111 was refused.")

    assert (analysis.summary, analysis.personal_data) == ("The card [card] was refused.", ["card"])


def test_a_summary_that_is_too_long_is_cut_after_a_word() -> None:
    summary = read("It jams.", summary="word " * 200).summary

    assert summary.endswith(" word…")
    assert len(summary) <= LONGEST_SUMMARY


@pytest.mark.parametrize(("length", "kept"), [(64, 64), (65, 64)])
def test_the_models_own_hashtag_has_64_characters_at_most(length: int, kept: int) -> None:
    assert len(read("It jams.", ai_hashtag="#" * length).ai_hashtag) == kept


def test_a_summary_that_is_too_short_tells_what_it_took() -> None:
    with pytest.raises(UnfitSummaryError) as refused:
        read("It jams.", summary="Hm.\n")

    assert refused.value.usage == USAGE


@given(WORDS, WORDS, st.lists(WORDS, max_size=3))
@pytest.mark.slow
def test_whatever_a_model_answers_the_summary_has_its_length(
    text: str, summary: str, quotes: list[str]
) -> None:
    told = [{"kind": "name", "text": quote} for quote in quotes]
    try:
        analysis = read(text, summary=summary, personal_data=told)
    except UnfitSummaryError:
        return
    assert SHORTEST_SUMMARY <= len(analysis.summary) <= LONGEST_SUMMARY
    assert analysis.contains_pii == bool(analysis.personal_data)
