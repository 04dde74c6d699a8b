"""Paging: every item once and in order, whatever the size of a page, and no cursor after the last one."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_serializer

from shared.http.models import ReplyModel
from shared.http.paging import ListReply, PageQuery, PageReply, cut_page

PAGE_BYTES = 4_194_304
"""4 MiB: the number is the documentation's."""


class Book(ReplyModel):
    title: str


def book(title: str) -> Book:
    return Book(title=title)


def test_a_page_ends_before_it_has_too_many_bytes_and_the_next_one_goes_on_there() -> None:
    titles = [f"{number}" + "ü" * (PAGE_BYTES // 6) for number in range(7)]

    reply = ListReply[Book].of(cut_page(titles, 100, lambda title: title[0]), book)

    assert ([one.title[0] for one in reply.items], reply.next_cursor) == (["0", "1"], "1")
    assert len(reply.model_dump_json().encode()) < PAGE_BYTES


def test_an_item_that_is_larger_than_a_page_is_a_page_alone() -> None:
    reply = ListReply[Book].of(cut_page(["x" * PAGE_BYTES] * 2, 100, len_of), book)

    assert (len(reply.items), reply.next_cursor) == (1, str(PAGE_BYTES))


@pytest.mark.parametrize(("more", "shown"), [(0, 2), (1, 1)])
def test_a_page_has_four_mebibytes_at_most(more: int, shown: int) -> None:
    around = len(book("").model_dump_json())
    titles = ["x" * (PAGE_BYTES // 2 - around), "y" * (PAGE_BYTES // 2 - around + more)]

    assert len(ListReply[Book].of(cut_page(titles, 100, len_of), book).items) == shown


def len_of(title: str) -> str:
    return str(len(title))


def test_a_page_with_one_more_behind_it_has_the_cursor_of_its_last_item() -> None:
    page = cut_page(["a", "b", "c"], 2, str.upper)

    assert (page.items, page.render(book).next_cursor) == (["a", "b"], "B")


def test_a_page_that_is_just_full_is_the_last_one() -> None:
    page = cut_page(["a", "b"], 2, str.upper)

    assert (page.items, page.render(book).next_cursor) == (["a", "b"], None)


def test_nothing_found_is_an_empty_page() -> None:
    assert ListReply[Book].of(cut_page([], 1, str), lambda _: Book(title="")).model_dump() == {
        "items": [],
        "next_cursor": None,
    }


class Counted(ReplyModel):
    """A title that tells when it is encoded."""

    title: str
    encodings: ClassVar[list[str]] = []

    @field_serializer("title")
    def _count(self, title: str) -> str:
        self.encodings.append(title)
        return title


class Shelf(PageReply):
    label: str = Field(serialization_alias="shelf-label")
    items: list[Counted]
    next_cursor: str | None


def test_an_item_is_encoded_once_for_its_weight_and_for_the_answer() -> None:
    titles = ['"é"', "b", "c"]
    rendered = cut_page(titles, 2, str.upper).render(lambda title: Counted(title=title))
    shelf = Shelf(label="a", items=rendered.items, next_cursor=rendered.next_cursor)

    content = shelf.with_encoded(rendered.encoded).encode()

    assert Counted.encodings == titles[:2]
    assert content == shelf.model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize("titles", [[], ["a"], ['"', "\\", "é"], ["a", "b", "c", "d"]])
def test_a_list_is_encoded_as_its_model_would_be(titles: list[str]) -> None:
    reply = ListReply[Book].of(cut_page(titles, 3, str), book)

    assert reply.encode() == reply.model_dump_json(by_alias=True).encode()


def test_a_list_is_named_after_its_items() -> None:
    assert ListReply[Book].__name__ == "BookList"


@given(keys=st.sets(st.integers(0, 10_000), max_size=300), limit=st.integers(1, 100))
@pytest.mark.slow
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
        cursor = page.render(lambda key: Book(title=str(key))).next_cursor
    assert seen == stored
