"""Signing in: with a key that is in force, and with what is none; what the browser keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import KEY

if TYPE_CHECKING:
    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate

WRONG = {
    "no key at all": "hello",
    "one of the right form": "tk.acme.0123456789ab.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA12345678",
}


def enter(window: Window, key: str) -> None:
    window.page.get_by_label("API key").fill(key)
    window.page.get_by_role("button", name="Sign in", exact=True).click()


def kept(window: Window) -> dict[str, list[str]]:
    """Return the names under which anything is stored, by store."""
    names: dict[str, list[str]] = window.page.evaluate(
        "({ session: Object.keys(sessionStorage), local: Object.keys(localStorage) })"
    )
    return names


@pytest.mark.parametrize(("role", "title"), [("admin", "Tenants"), ("tenant_admin", "Overview")])
def test_a_key_leads_to_the_first_page_of_its_role(
    page_as: OpensWindows, estate: Estate, role: str, title: str
) -> None:
    window = page_as(None)
    window.visit()

    enter(window, estate.keys[role])

    expect(window.page.get_by_role("heading", level=1, name=title)).to_be_visible()


@pytest.mark.parametrize("key", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_refused_with_what_to_do(page_as: OpensWindows, key: str) -> None:
    window = page_as(None)
    window.visit()

    enter(window, key)

    expect(window.page.get_by_role("alert")).to_contain_text("This key is not valid")
    expect(window.page.get_by_role("alert")).to_contain_text("Check that the whole key was copied")
    assert KEY not in kept(window)["session"]


def test_the_key_is_kept_in_the_session_alone_and_forgotten_at_the_end(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as(None)
    window.visit()
    enter(window, estate.keys["tenant_admin"])
    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()

    signed_in = kept(window)
    everywhere = window.page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page.get_by_label("API key")).to_be_visible()

    assert KEY in signed_in["session"]
    assert estate.keys["tenant_admin"] not in everywhere
    assert KEY not in kept(window)["session"]


def test_a_link_that_pretends_to_come_from_a_provider_signs_nobody_out(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("tenant_admin")
    window.visit("/prompts")

    window.page.goto(f"{estate.origin}/api/console?state=x&code=y#/prompts")

    expect(window.page.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
    assert window.page.url.partition("#")[0] == f"{estate.origin}/api/console"


def test_a_reload_and_a_copy_of_the_tab_stay_signed_in_and_another_tab_is_not(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("tenant_admin")
    window.visit("/prompts")

    window.page.reload()
    window.settle()
    other = window.page.context.new_page()
    other.goto(f"{estate.origin}/api/console#/prompts")
    with window.page.expect_popup() as copied:
        window.page.evaluate("window.open(location.href)")  # a browser copies its storage, as of a duplicate
    expect(copied.value.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
    copied.value.get_by_role("button", name="Sign out").click()

    expect(window.page.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
    expect(other.get_by_label("API key")).to_be_visible()
