"""Each page that the console has: accessible, as wide as its window, within its policy, no place for HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from functions.console.assets import ENTRY, Assets
from functions.console.trigger import STATIC
from tests.integration_tests.console.browser import PHONE
from tests.integration_tests.console.places import Place, find_places
from tests.integration_tests.console.planted import MARK, plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(180)

_DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)


def visit_all(window: Window, estate: Estate, role: str) -> Iterator[Place]:
    """Visit each page that a role sees, and each of its tabs; one without an address nobody would look at."""
    window.visit("/")
    places = [place for place in find_places(window, estate, estate.tenant_id) if place.is_for(role)]
    nowhere = [place.pattern for place in places if place.address is None]
    assert not nowhere, f"the estate has nothing to show on {nowhere}"
    for place in places:
        window.visit(place.address or "")
        yield place
        for tab in window.tabs():
            yield replace(place, pattern=f"{place.pattern}, {tab}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_breaks_wcag_2_2_aa(page_as: OpensWindows, estate: Estate, theme: str) -> None:
    window = page_as("admin", theme=theme)

    found = {place.pattern: window.check_access() for place in visit_all(window, estate, "admin")}

    assert not any(found.values()), {page: problems for page, problems in found.items() if problems}


def test_no_page_is_wider_than_a_phone(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("admin", size=PHONE)

    wider = {place.pattern: window.overflow() for place in visit_all(window, estate, "admin")}

    assert not any(wider.values()), {page: pixels for page, pixels in wider.items() if pixels}


def test_a_user_sees_pages_of_a_user_alone(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("user")
    seen = [place.title for place in visit_all(window, estate, "user")]
    hidden = [place for place in find_places(window, estate, estate.tenant_id) if not place.is_for("user")]

    menu = window.page.get_by_role("navigation", name="Pages")
    assert seen
    for place in hidden:
        expect(menu.get_by_role("link", name=place.title, exact=True)).to_have_count(0)
        window.page.evaluate("(hash) => { location.hash = hash; }", f"#{place.address}")
        expect(window.page.get_by_text("Your role may not see this page")).to_be_visible()


def test_html_that_a_tenant_has_written_is_a_text_on_every_page(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    plant(platform, estate)
    window = page_as("admin")
    shown: set[str] = set()

    for place in visit_all(window, estate, "admin"):
        assert window.page.evaluate("window.planted") == 0, place
        expect(window.page.locator("img")).to_have_count(0)
        expect(window.page.locator("main script")).to_have_count(0)
        if window.page.evaluate("(mark) => document.querySelector('main').textContent.includes(mark)", MARK):
            shown.add(place.pattern)

    assert shown >= {"/tenants", "/prompts", "/conversations", "/jobs", "/dead-letters"}, shown


@pytest.mark.parametrize(
    "address", ["/%3Cimg src=x onerror=planted++%3E", "/prompts/<img src=x onerror=planted++>"]
)
def test_html_in_an_address_is_a_text(page_as: OpensWindows, address: str) -> None:
    window = page_as("admin")

    window.visit(address)

    assert window.page.evaluate("window.planted") == 0
    expect(window.page.locator("img")).to_have_count(0)


def test_no_name_of_the_first_pages_modules_hides_one_of_the_browsers(page_as: OpensWindows) -> None:
    """They are sent as one: what one of them declares is seen by all."""
    declared = _DECLARED.findall(Assets.read(STATIC).files[ENTRY].content.decode())
    window = page_as(None)
    window.visit("/")

    hidden = window.page.evaluate("(names) => names.filter((name) => name in window)", declared)

    assert len(declared) > 150
    assert hidden == []
