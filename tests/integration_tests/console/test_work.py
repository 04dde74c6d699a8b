"""The main job of each page, done with the mouse and the keyboard as people do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.integration_tests.platform import Caller

if TYPE_CHECKING:
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform


def test_the_overview_shows_what_was_used_what_is_left_and_what_needs_a_look(page_as: OpensWindows) -> None:
    window = page_as("tenant_admin")
    window.visit("/overview")

    main = window.page.locator("main")
    expect(main).to_contain_text("Requests, last 7 days")
    expect(main.get_by_role("figure").filter(has_text="Cost by model")).to_be_visible()
    expect(main.get_by_role("region", name="Budget left")).to_contain_text("Tokens")
    work = main.get_by_role("region", name="Work")
    expect(work).to_contain_text("Jobs queued")
    work.locator("div", has_text="Dead letters").get_by_role("link", name="1", exact=True).click()
    expect(window.page.get_by_role("heading", level=1, name="Dead letters")).to_be_visible()


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


def test_a_key_is_rotated_and_both_are_in_force_for_a_while(page_as: OpensWindows, estate: Estate) -> None:
    keys = f"/api/v1/tenants/{estate.tenant_id}/keys"
    old = estate.owner.must("POST", keys, {"name": "to be rotated", "role": "user"})
    window = page_as("tenant_admin")
    window.visit("/keys")
    page = window.page

    page.get_by_role("button", name="Rotate to be rotated").click()
    page.get_by_label("Both are in force for").select_option(label="An hour")
    page.get_by_role("button", name="Rotate key").click()
    new = page.get_by_label("Key", exact=True).input_value()
    page.get_by_role("button", name="I have it").click()

    client = estate.platform.client
    found = [Caller(client, key).send("GET", "/api/v1/me").status_code for key in (old["key"], new)]
    assert found == [200, 200]


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


def test_versions_of_a_prompt_are_compared_and_a_deleted_prompt_comes_back(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = "/api/v1/prompts/twice-written"
    for template in ("Be brief.\nBe kind.", "Be brief.\nBe stern."):
        estate.owner.must("PUT", where, {"template": template})
    window = page_as("tenant_admin")
    window.visit("/prompts/twice-written?tab=versions")
    page = window.page

    page.get_by_role("button", name="Compare version 2 with the one before").click()
    diff = page.get_by_role("region", name="From version 1 to 2")
    expect(diff).to_contain_text("removed: Be kind.")
    expect(diff).to_contain_text("added: Be stern.")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_label("to confirm").fill("twice-written")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
    gone = estate.owner.send("GET", f"{where}?fresh=true").status_code
    page.get_by_label("Deleted ones").check()
    page.get_by_role("button", name="Restore twice-written").click()
    expect(page.get_by_text("twice-written is in use again")).to_be_visible()

    assert gone == 404
    assert estate.get("/prompts/twice-written?fresh=true")["version"] == 2


def test_a_bot_is_checked_as_one_types_and_kept_over_what_somebody_else_saved(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = "/api/v1/bots/edited-by-hand"
    estate.owner.must("PUT", where, {"system_prompt": "Be brief."})
    window = page_as("tenant_admin")
    window.visit("/bots/edited-by-hand")
    page = window.page
    temperature, save = page.get_by_label("Temperature"), page.get_by_role("button", name="Save bot")

    temperature.fill("9")
    expect(page.get_by_text("Not valid yet: Model, temperature: must be at most 2")).to_be_visible()
    expect(save).to_be_disabled()
    temperature.fill("0.5")
    page.get_by_role("textbox", name="Instructions", exact=True).fill("Be kind.")
    estate.owner.must("PUT", where, {"system_prompt": "Be stern."})
    save.click()
    dialog = page.get_by_role("dialog", name="edited-by-hand was changed meanwhile")
    expect(dialog.get_by_role("region", name="Theirs")).to_contain_text("Be stern.")
    dialog.get_by_role("button", name="Keep mine").click()
    expect(page.get_by_text("edited-by-hand is saved")).to_be_visible()

    kept = estate.get("/bots/edited-by-hand")["config"]
    assert (kept["system_prompt"], kept["llm"]["temperature"]) == ("Be kind.", 0.5)


def test_a_bot_is_made_and_found_by_the_beginning_of_its_id(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/bots-new")
    page = window.page

    page.get_by_label("Id", exact=True).fill("made-by-hand")
    expect(page.get_by_text("Not valid yet: Instructions: is required")).to_be_visible()
    page.get_by_role("textbox", name="Instructions", exact=True).fill("Be brief.")
    page.get_by_role("button", name="Save bot").click()
    expect(page.get_by_role("heading", level=1, name="made-by-hand")).to_be_visible()
    window.visit("/bots")
    page.get_by_label("Id begins with").fill("made-by")
    expect(page.get_by_role("table", name="Bots").locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="made-by-hand")).to_be_visible()

    assert "prefix=made-by" in page.url
    assert estate.get("/bots/made-by-hand")["config"]["system_prompt"] == "Be brief."


def test_a_bot_that_somebody_else_changed_meanwhile_is_not_deleted_unseen(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = "/api/v1/bots/deleted-by-hand"
    estate.owner.must("PUT", where, {"system_prompt": "Be brief."})
    window = page_as("tenant_admin")
    window.visit("/bots/deleted-by-hand")
    page = window.page

    def delete() -> None:
        page.get_by_role("button", name="Delete…").click()
        page.get_by_role("dialog").get_by_label("to confirm").fill("deleted-by-hand")
        page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()

    estate.owner.must("PUT", where, {"system_prompt": "Be stern."})
    delete()
    expect(page.get_by_text("was changed by somebody else meanwhile; nothing was done")).to_be_visible()
    expect(page.get_by_role("textbox", name="Instructions", exact=True)).to_have_value("Be stern.")
    left = estate.owner.send("GET", where).status_code
    delete()
    expect(page.get_by_role("heading", level=1, name="Bots")).to_be_visible()

    assert (left, estate.owner.send("GET", where).status_code) == (200, 404)


def test_the_playground_compares_two_models_side_by_side(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit(f"/playground?bot={estate.names['bot_id']}&compare=1")
    page = window.page
    models = page.get_by_label("Model", exact=True)

    models.nth(0).select_option("gpt-4o")
    models.nth(1).select_option("gpt-4o-mini")
    page.get_by_label("Message").fill("Which of you is quicker?")
    page.get_by_role("button", name="Send").click()

    for side, model in (("left", "gpt-4o"), ("right", "gpt-4o-mini")):
        talk = page.get_by_role("log", name=f"Conversation, {side}")
        expect(talk.get_by_text(model, exact=True)).to_be_visible()
    expect(page.get_by_role("main").get_by_role("status")).to_have_count(2)


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
    bot = estate.names["bot_id"]
    page.get_by_label("Bot", exact=True).select_option(bot)
    page.get_by_label("Message").fill("Good morning")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("tokens")

    newest = estate.get(f"/bots/{bot}/conversations")["items"][0]
    assert newest["user_id"] == "mara"
