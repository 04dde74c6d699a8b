"""An id of a response, or of an item, leads to its place and to no other one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.chat.openai.responses.response_ids import ItemId, ResponseId, new_branch

_PLACES = st.builds(
    ResponseId,
    st.text("0123456789abcdef", min_size=24, max_size=24),
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.integers(1, 2**32 - 1),
)


@given(_PLACES)
def test_an_id_is_read_as_it_was_written(place: ResponseId) -> None:
    assert ResponseId.parse(str(place)) == place


@given(_PLACES, st.sampled_from(["msg", "fc", "fco", "rs"]), st.integers(0, 9_999))
def test_an_items_id_leads_to_its_response_and_its_place_there(
    place: ResponseId, kind: str, index: int
) -> None:
    assert ItemId.parse(place.input_item(kind, index)) == ItemId(place, is_input=True, index=index)
    assert ItemId.parse(place.output_item(kind, index)) == ItemId(place, is_input=False, index=index)


@pytest.mark.parametrize(
    "text",
    ["", "resp_", "resp_" + 47 * "a", "resp_" + 49 * "a", "resp_" + 48 * "A", "x" + 48 * "a", "msg_o1"],
)
def test_no_other_text_is_an_id(text: str) -> None:
    assert ResponseId.parse(text) is None
    assert ItemId.parse(text) is None


def test_one_operation_has_one_id_and_others_have_others() -> None:
    assert ResponseId.new(32 * "a") == ResponseId.new(32 * "a")
    assert len({ResponseId.new(), ResponseId.new(), ResponseId.new(32 * "a")}) == 3
    assert new_branch() != new_branch()


def test_what_goes_on_with_a_response_is_one_deeper() -> None:
    first = ResponseId.new()

    assert first.next_on(first.branch) == ResponseId(first.conversation, first.branch, 2)
    assert first.next_on(16 * "b") == ResponseId(first.conversation, 16 * "b", 2)
