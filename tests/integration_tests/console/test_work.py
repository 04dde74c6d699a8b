"""The main job of each page, done with the mouse and the keyboard as people do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform


def test_the_overview_shows_what_was_used(page_as: OpensWindows) -> None:
    window = page_as("tenant_admin")
    window.visit("/overview")

    expect(window.page.locator("main")).to_contain_text("Requests")
    expect(window.page.locator("main figure").first).to_be_visible()


def test_a_key_is_made_shown_once_and_revoked(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/keys")
    page = window.page

    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill("of the browser")
    page.get_by_role("button", name="Create key").click()
    made = page.get_by_label("Key", exact=True).input_value()
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_text(made)).to_have_count(0)
    page.get_by_role("button", name="Revoke of the browser").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    row = page.get_by_role("row").filter(has_text="of the browser")
    expect(row).to_contain_text("Revoked")

    assert made.startswith(f"tk.{estate.tenant_id}.")


def test_a_tenant_is_created_and_suspended(page_as: OpensWindows, estate: Estate, platform: Platform) -> None:
    window = page_as("admin")
    window.visit("/tenants")
    page = window.page
    tenant_id = f"{estate.tenant_id}-b"

    page.get_by_role("button", name="New tenant").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("Made by hand")
    page.get_by_role("dialog").get_by_label("Id", exact=True).fill(tenant_id)
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Create")).click()
    platform.new_tenants.append(tenant_id)
    expect(page.get_by_role("dialog")).to_have_count(0)
    window.visit(f"/tenants/{tenant_id}?tab=about")
    page.get_by_role("button", name=re.compile("Suspend")).first.click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Suspend")).click()
    expect(page.locator("main")).to_contain_text("Suspended")

    assert platform.admin.must("GET", f"/api/v1/tenants/{tenant_id}")["status"] == "suspended"


def test_a_setting_is_changed_and_reset_to_inherited(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/settings")
    page = window.page
    label = "Days for which conversations are kept"

    page.get_by_label(label).fill("45")
    page.get_by_role("button", name=f"Save {label}").click()
    expect(page.get_by_text(f"{label} is saved")).to_be_visible()
    changed = estate.get("/settings/chat.retention_days")
    page.get_by_role("button", name=f"Reset to inherited: {label}").click()
    expect(page.get_by_text(f"{label} is inherited again")).to_be_visible()

    assert (changed["value"], changed["source"]) == (45, "tenant")
    assert estate.get("/settings/chat.retention_days")["source"] != "tenant"


def test_a_prompt_is_written_rendered_and_labelled(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/prompts-new")
    page = window.page

    page.get_by_label("Name").fill("written-by-hand")
    page.get_by_role("textbox", name="Text", exact=True).fill("Greet {customer} of {company}.")
    expect(page.locator("main")).to_contain_text("customer")
    page.get_by_role("button", name="Save prompt").click()
    expect(page.get_by_role("heading", level=1, name="written-by-hand")).to_be_visible()
    page.get_by_role("tab", name="Try it").click()
    page.get_by_label("customer").fill("Ada")
    page.get_by_label("company").fill("Acme")
    page.get_by_role("button", name="Render").click()
    expect(page.get_by_text("Greet Ada of Acme.")).to_be_visible()
    page.get_by_role("tab", name="Labels").click()
    page.get_by_role("button", name="Set a label").click()
    page.get_by_role("dialog").get_by_role("button", name="Set label").click()
    expect(page.get_by_text("production points at version 1")).to_be_visible()

    assert estate.get("/prompts/written-by-hand?label=production&fresh=true")["version"] == 1


def test_the_playground_shows_an_answer_as_it_comes_and_what_it_cost(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    model = f"{platform.addresses['llm']}/_local"
    said = {"contains": "What is a tenant?", "answers": [{"content": "A tenant is who pays. " * 8}]}
    platform.client.post(f"{model}/answers", json=said).raise_for_status()
    slow = {"contains": "What is a tenant?", "piece_delay_ms": 60, "count": 1}
    platform.client.post(f"{model}/faults", json=slow).raise_for_status()
    window = page_as("tenant_admin")
    window.visit(f"/playground?bot={estate.names['bot_id']}")
    page = window.page

    page.get_by_label("Message").fill("What is a tenant?")
    page.get_by_label("Message").press("Enter")
    coming = page.locator(".talk .said[aria-busy=true]")
    expect(coming).to_contain_text("A tenant is who pays.")
    expect(coming).to_have_count(0)

    expect(page.get_by_role("log")).to_contain_text("A tenant is who pays. " * 7)
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("tokens")


def test_a_user_talks_in_the_playground_and_the_conversation_is_its_own(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("user")
    window.visit()
    page = window.page

    expect(page.get_by_role("heading", level=1, name="Playground")).to_be_visible()
    page.get_by_label("Message").fill("Good morning")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("tokens")

    bot = page.get_by_label("Bot", exact=True).input_value()
    newest = estate.get(f"/bots/{bot}/conversations")["items"][0]
    assert newest["user_id"] == "mara"
