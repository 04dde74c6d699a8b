"""Bodies are those that azure-cosmos would send."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry_client.cosmos.item_bodies import check_item, encode_body, encode_id

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def read(raw: bytes | str) -> str:
    """Read JSON in a form in which two NaNs are the same."""
    return repr(json.loads(raw))


@settings(max_examples=40)
@given(JSON)
def test_a_body_says_what_the_sdk_would_have_said(body: Any) -> None:  # noqa: ANN401 - any JSON
    assert read(encode_body(body)) == read(json.dumps(body))


def test_a_number_that_is_none_is_sent_as_such_and_never_stored_as_null() -> None:
    assert encode_body({"n": [{"m": math.nan}], "x": None}) == b'{"n":[{"m":NaN}],"x":null}'


def test_a_large_integer_is_sent_whole() -> None:
    assert encode_body({"n": 2**70}) == b'{"n":%d}' % 2**70


def test_what_the_sdk_cannot_write_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_body({"at": datetime.now(UTC)})


@pytest.mark.parametrize("item_id", ["a/b", "a\\b", "a?b", "a#b", "a\tb", "a\r\nx: y", "a "])
def test_an_id_that_no_path_can_have_is_refused(item_id: str) -> None:
    with pytest.raises(ValueError, match="Id"):
        check_item({"id": item_id})


def test_an_id_in_a_path_cannot_leave_its_segment() -> None:
    assert encode_id("../a?b#c d") == "..%2Fa%3Fb%23c%20d"
    assert encode_id("größe") == "gr%C3%B6%C3%9Fe"
    with pytest.raises(TypeError):
        check_item({"id": 7})
