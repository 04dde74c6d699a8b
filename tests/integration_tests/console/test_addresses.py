"""Addresses that make no sense: who follows such a link sees a message, or the page without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from functions.console.trigger import STATIC
from tests.integration_tests.console.places import find_places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate

pytestmark = pytest.mark.timeout(300)

ALONE = ("1e9", "275760-09-13")
"""Far too many; the last day that JavaScript has."""

TOGETHER = (*ALONE, "-1", "__proto__", "..")
"""Too few, a name that every object has, another path."""

_READ = re.compile(r'query\.(\w+)|\{ name: "(\w+)"|const \{([^}]*)\} = place\.value\.query')


def read_names(module: str) -> list[str]:
    """Return what a page reads of its address, as its module says it."""
    text = (STATIC / "pages" / f"{module}.js").read_text()
    found = {name for groups in _READ.findall(text) for group in groups for name in group.split(", ") if name}
    return sorted(found)


def list_addresses(window: Window, estate: Estate) -> Iterator[tuple[str, list[str]]]:
    """List each page's address, with the names that it reads."""
    modules = dict(
        window.module("lib/pages.js", r"m.PAGES.map((page) => [page.path, /(\w+)\.js/.exec(page.load)[1]])")
    )
    for place in find_places(window, estate, estate.tenant_id):
        assert place.address is not None
        yield place.address, read_names(modules[place.pattern])


def test_no_page_fails_with_a_value_that_makes_no_sense(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("admin")
    window.visit("/")
    failed = []

    for address, names in list_addresses(window, estate):
        together = [dict.fromkeys([*names, "cursor", "limit", "tab"], value) for value in TOGETHER]
        alone = [{name: value} for name in names for value in ALONE]
        for visited in (f"{address}?{urlencode(query)}" for query in (*together, *alone)):
            window.visit(visited)
            if window.page.get_by_role("heading", name="The page failed").count():
                failed.append(f"{visited}: {window.page.locator('main').inner_text()}")
                window.visit("/")

    assert not failed


def test_a_number_of_days_that_there_is_not_is_said_with_what_may_be_asked(page_as: OpensWindows) -> None:
    window = page_as("tenant_admin")
    window.visit("/overview?days=1e9")

    told = window.page.get_by_role("alert")
    expect(told).to_contain_text("The address asks for 1e9 days; it may be a whole number from 1 to 366.")
    window.page.get_by_label("Time").select_option("30 days")

    expect(told).to_have_count(0)
    expect(window.page.get_by_text("Cost, 30 days")).to_be_visible()


@pytest.mark.parametrize("address", ["/calls?to=never", "/conversations?bot=..", "/logs?level=LOUD"])
def test_what_the_api_refuses_of_an_address_is_said_on_the_page(page_as: OpensWindows, address: str) -> None:
    window = page_as("tenant_admin")

    window.visit(address)

    expect(window.page.get_by_role("alert")).to_be_visible()
