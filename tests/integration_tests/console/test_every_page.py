"""Each page that the console has: accessible, as wide as its window, within its policy, no place for HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from functions.console.assets import ENTRY, Assets
from functions.console.trigger import STATIC
from tests.integration_tests.console.browser import DESKTOP, PHONE, Session, open_window
from tests.integration_tests.console.places import Place, find_places
from tests.integration_tests.console.planted import MARK, plant
from tests.integration_tests.platform import Caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(240)

_PLANTED = """
(mark) => [
  window.planted,
  document.querySelectorAll("img, main script").length,
  document.querySelector("main").textContent.includes(mark),
]
"""


@dataclass(frozen=True, slots=True)
class View:
    """What somebody is shown; where somebody may not look, nothing is."""

    caller: Caller

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return what a resource answers."""
        answer = self.caller.send("GET", f"/api/v1{path}")
        return answer.json() if answer.is_success else {"items": []}


_DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)


def visit_all(window: Window, estate: Estate, role: str) -> Iterator[Place]:
    """Visit each page that a role sees, and each of its tabs; one without an address nobody would look at."""
    window.visit("/")
    view = View(Caller(estate.platform.client, estate.keys["user" if role == "user" else "tenant_admin"]))
    places = [place for place in find_places(window, view, estate.tenant_id) if place.is_for(role)]
    nowhere = [place.pattern for place in places if place.address is None]
    assert not nowhere, f"the estate has nothing to show on {nowhere}"
    for place in places:
        window.visit(place.address or "")
        yield place
        for tab in window.tabs():
            yield replace(place, pattern=f"{place.pattern}, {tab}")


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a page, or of a tab of it.

    Attributes:
        access: What breaks WCAG 2.2 AA, in both colours.
        wider: By how many pixels it is wider than a phone.
        ran: How often HTML ran that a tenant had written.
        elements: The elements that such HTML became.
        has_text: Whether it is shown as a text.
    """

    where: str
    access: list[str]
    wider: int
    ran: int
    elements: int
    has_text: bool


@pytest.fixture(scope="module")
def looks(browser: Browser, estate: Estate, platform: Platform) -> list[Look]:
    """Every page and tab, seen once by an administrator, of a tenant that has HTML in all of its texts."""
    plant(platform, estate)
    session = Session(estate.keys["admin"], estate.tenant_id)
    context, window = open_window(browser, estate.origin, session)
    found = [look_at(window, place.pattern) for place in visit_all(window, estate, "admin")]
    broken = window.violations()
    context.close()
    assert not any((broken, window.watch.foreign, window.watch.failures)), (broken, window.watch)
    return found


def look_at(window: Window, where: str) -> Look:
    page = window.page
    access = window.check_access()
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    wider = window.overflow()
    page.set_viewport_size({"width": DESKTOP["width"], "height": DESKTOP["height"]})
    ran, elements, has_text = page.evaluate(_PLANTED, MARK)
    return Look(where, access, wider, ran, elements, has_text)


def test_no_page_breaks_wcag_2_2_aa_in_either_colours(looks: list[Look]) -> None:
    assert {look.where: look.access for look in looks if look.access} == {}


def test_no_page_is_wider_than_a_phone(looks: list[Look]) -> None:
    assert {look.where: look.wider for look in looks if look.wider} == {}


def test_html_that_a_tenant_has_written_is_a_text_on_every_page(looks: list[Look]) -> None:
    shown = {look.where for look in looks if look.has_text}

    assert {look.where for look in looks if look.ran or look.elements} == set()
    assert shown >= {"/tenants", "/prompts", "/conversations", "/jobs", "/dead-letters"}, shown


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
