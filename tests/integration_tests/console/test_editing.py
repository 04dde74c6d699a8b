"""Edits that meet others, a key that ends in the middle of one, and what the keyboard does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate

_IS_INSIDE = """
document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)
"""


@pytest.fixture
def prompt(estate: Estate, request: pytest.FixtureRequest) -> str:
    """Give the name of a prompt that no other test edits."""
    name = re.sub(r"[^a-z]+", "-", request.node.name.lower()).strip("-")[-100:].strip("-")
    estate.owner.must("PUT", f"/api/v1/prompts/{name}", {"template": "The first words"})
    return name


def stored(estate: Estate, prompt: str) -> str:
    return str(estate.get(f"/prompts/{prompt}?fresh=true")["template"])


@pytest.mark.parametrize(
    ("choice", "expected"), [("Keep mine", "My words"), ("Take theirs", "The words of another")]
)
def test_an_edit_that_somebody_else_was_faster_with_is_a_choice_and_nothing_is_lost(
    page_as: OpensWindows, estate: Estate, prompt: str, choice: str, expected: str
) -> None:
    window = page_as("tenant_admin")
    window.visit(f"/prompts/{prompt}")
    editor = window.page.get_by_role("textbox", name="Text", exact=True)
    editor.fill("My words")
    estate.owner.must("PUT", f"/api/v1/prompts/{prompt}", {"template": "The words of another"})

    window.page.get_by_role("button", name="Save as a new version").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Yours")).to_contain_text("My words")
    expect(dialog.get_by_role("region", name="Theirs")).to_contain_text("The words of another")
    dialog.get_by_role("button", name=choice).click()

    expect(window.page.get_by_role("dialog")).to_have_count(0)
    expect(editor).to_have_value(expected)
    if choice == "Keep mine":
        expect(window.page.get_by_text("is saved")).to_be_visible()
    assert stored(estate, prompt) == expected


def test_a_key_that_is_revoked_in_the_middle_of_an_edit_loses_nothing(
    page_as: OpensWindows, estate: Estate, prompt: str
) -> None:
    keys = f"/api/v1/tenants/{estate.tenant_id}/keys"
    body = {"name": "of a test", "role": "tenant_admin"}
    mine, next_one = (estate.owner.must("POST", keys, body) for _ in range(2))
    window = page_as("tenant_admin", key=mine["key"])
    window.visit(f"/prompts/{prompt}")
    editor = window.page.get_by_role("textbox", name="Text", exact=True)
    editor.fill("Words that took an hour")
    estate.owner.send("DELETE", f"{keys}/{mine['key_id']}")

    window.page.get_by_role("button", name="Save as a new version").click()
    dialog = window.page.get_by_role("dialog", name="Sign in again")
    dialog.get_by_label("API key").fill(next_one["key"])
    expect(editor).to_have_value("Words that took an hour")
    dialog.get_by_role("button", name="Sign in", exact=True).click()

    expect(window.page.get_by_text("is saved")).to_be_visible()
    assert stored(estate, prompt) == "Words that took an hour"


def test_leaving_with_unsaved_work_is_asked_about(page_as: OpensWindows, prompt: str) -> None:
    window = page_as("tenant_admin")
    window.visit(f"/prompts/{prompt}")
    editor = window.page.get_by_role("textbox", name="Text", exact=True)
    editor.fill("Half a thought")

    window.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Settings").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    expect(editor).to_have_value("Half a thought")
    window.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Settings").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Leave").click()

    expect(window.page.get_by_role("heading", level=1, name="Settings")).to_be_visible()


def test_filters_stand_in_the_address_and_survive_a_reload(page_as: OpensWindows, prompt: str) -> None:
    window = page_as("tenant_admin")
    window.visit("/prompts")
    found = window.page.get_by_role("link", name=prompt, exact=True)

    window.page.get_by_role("search").get_by_role("searchbox").first.fill(prompt)
    expect(window.page).to_have_url(f"{window.watch.origin}/api/console#/prompts?prefix={prompt}")
    expect(window.page.locator("tbody tr")).to_have_count(1)
    window.page.reload()
    window.settle()

    expect(found).to_be_visible()
    expect(window.page.get_by_role("search").get_by_role("searchbox").first).to_have_value(prompt)
    expect(window.page.locator("tbody tr")).to_have_count(1)


def test_the_keyboard_skips_to_the_content_and_reaches_the_menu(page_as: OpensWindows) -> None:
    window = page_as("tenant_admin")
    window.visit("/prompts")
    window.page.evaluate("document.activeElement.blur()")

    window.page.keyboard.press("Tab")
    expect(window.page.get_by_role("link", name="Skip to content")).to_be_focused()
    window.page.keyboard.press("Enter")
    expect(window.page.locator("main")).to_be_focused()
    window.page.keyboard.press("Tab")

    assert window.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_palette_finds_pages_prompts_and_bots_by_keyboard_alone(
    page_as: OpensWindows, estate: Estate, prompt: str
) -> None:
    window = page_as("tenant_admin")
    window.visit("/overview")
    for text, address in (
        ("settings", "#/settings"),
        (prompt, f"#/prompts/{prompt}"),
        (estate.names["bot_id"], f"#/bots/{estate.names['bot_id']}"),
    ):
        window.page.keyboard.press("Control+k")
        expect(window.page.get_by_role("dialog").get_by_role("combobox")).to_be_focused()
        window.page.keyboard.type(text)
        option = window.page.get_by_role("option").filter(has_text=text if text != "settings" else "Settings")
        expect(option.first).to_have_attribute("aria-selected", "true")
        window.page.keyboard.press("Enter")
        expect(window.page).to_have_url(f"{window.watch.origin}/api/console{address}")


def test_a_dialog_holds_the_focus_and_escape_closes_it(page_as: OpensWindows) -> None:
    window = page_as("tenant_admin")
    window.visit("/keys")
    button = window.page.get_by_role("button", name="New key")
    button.click()
    dialog = window.page.get_by_role("dialog", name="New key")
    expect(dialog).to_be_visible()

    for _ in range(12):
        window.page.keyboard.press("Tab")
        assert window.page.evaluate(_IS_INSIDE)
    window.page.keyboard.press("Escape")

    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
