"""Pages around the console, which are whole in themselves: the API's and the local host's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import DESKTOP, PHONE, Session, Window, open_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.integration_tests.platform import Platform

PAGES = {"/api/docs": "details", "/admin/host/view": "table"}
"""Each with what is there once it has what it shows."""


@pytest.fixture
def window(browser: Browser, platform: Platform) -> Iterator[Window]:
    context, opened = open_window(browser, platform.addresses["app"], Session())
    yield opened
    context.close()
    assert not opened.watch.foreign
    assert not opened.watch.failures


@pytest.mark.parametrize("address", PAGES)
def test_a_page_breaks_no_rule_and_is_no_wider_than_its_window(window: Window, address: str) -> None:
    window.page.goto(f"{window.watch.origin}{address}")
    expect(window.page.locator(PAGES[address]).first).to_be_visible()
    if address == "/api/docs":
        window.page.locator("summary").first.click()

    for size in (DESKTOP, PHONE):
        window.page.set_viewport_size({"width": size["width"], "height": size["height"]})
        assert window.check_access() == []
        assert window.overflow() == 0
    assert window.violations() == []
