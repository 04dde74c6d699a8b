"""Paging: every item once and in order, whatever the size of a page, and no cursor after the last one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.http.models import ReplyModel
from shared.http.paging import ListReply, PageQuery, cut_page


class Book(ReplyModel):
    title: str


def test_a_page_with_one_more_behind_it_has_the_cursor_of_its_last_item() -> None:
    page = cut_page(["a", "b", "c"], 2, str.upper)

    assert (page.items, page.next_cursor) == (["a", "b"], "B")


def test_a_page_that_is_just_full_is_the_last_one() -> None:
    page = cut_page(["a", "b"], 2, str.upper)

    assert (page.items, page.next_cursor) == (["a", "b"], None)


def test_nothing_found_is_an_empty_page() -> None:
    assert ListReply[Book].of(cut_page([], 1, str), lambda _: Book(title="")).model_dump() == {
        "items": [],
        "next_cursor": None,
    }


def test_a_list_is_named_after_its_items() -> None:
    assert ListReply[Book].__name__ == "BookList"


@given(keys=st.sets(st.integers(0, 10_000), max_size=300), limit=st.integers(1, 100))
def test_the_pages_have_every_item_once_and_in_order(keys: set[int], limit: int) -> None:
    stored = sorted(keys)
    seen: list[int] = []
    cursor: str | None = "-1"
    while cursor is not None:
        query = PageQuery(limit=limit, cursor=cursor)
        found = [key for key in stored if key > int(cursor)][: query.fetch_limit]
        page = cut_page(found, query.limit, str)
        assert 0 < len(page.items) <= limit or not stored
        seen += page.items
        cursor = page.next_cursor
    assert seen == stored
