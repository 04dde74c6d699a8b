"""The main job of the pages where an administrator looks after a tenant: logs, dead letters and so on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from playwright.sync_api import expect

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform


def bury(
    platform: Platform,
    estate: Estate,
    *names: str,
    by: str = "analyse_feedback",
    language: str = "no language",
) -> None:
    """Give a queue's function messages that it can never handle, and wait until they are dead letters."""
    for name in names:
        message = {"tenant_id": estate.tenant_id, "id": name, "language": language, "text": "Hello"}
        platform.client.post(f"/admin/functions/{by}", json={"input": message})
    wait_for(
        lambda: {one["job_id"] for one in estate.get("/dead-letters")["items"]},
        lambda kept: kept >= set(names),
    )


def test_a_log_line_is_found_and_its_request_is_followed(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/logs?event=model_call")
    page = window.page

    lines = page.get_by_role("table", name="Log lines").locator("tbody tr")
    expect(lines.first).to_contain_text("model_call")
    lines.first.get_by_role("link", name="Follow request").click()
    window.settle()

    request_id = page.get_by_label("Request id").input_value()
    assert estate.get(f"/logs?request_id={request_id}")["items"]
    assert f"request_id={quote(request_id, safe='')}" in page.url


def test_the_log_is_followed_and_goes_on_where_it_was_paused(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    window = page_as("tenant_admin")
    window.visit("/logs?tab=follow&event=model_call&conversation_id=while-paused")
    page = window.page
    lines = page.get_by_role("table", name="Lines as they arrive").locator("tbody tr")

    expect(page.get_by_text("of being written")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    talk = {"message": "Hello", "conversation_id": "while-paused"}
    estate.owner.must("POST", f"/api/v1/bots/{estate.names['bot_id']}/chat", talk)
    platform.client.post("/admin/functions/ship_logs", json={"input": ""}).raise_for_status()
    wait_for(lambda: estate.get("/logs?conversation_id=while-paused")["items"], bool)
    expect(page.get_by_text("Paused")).to_be_visible()
    expect(lines).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(lines).to_have_count(1)


def test_dead_letters_say_why_stay_where_they_can_never_be_handled_and_are_deleted(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    bury(platform, estate, "first-letter", "second-letter")
    window = page_as("tenant_admin")
    window.visit("/dead-letters?queue=feedback-form-in")
    page = window.page
    rows = page.get_by_role("table", name="Dead letters").locator("tbody tr")
    first = rows.filter(has_text="first-letter")

    expect(first).to_contain_text("language")
    page.get_by_role("button", name="Replay all of these").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Replay all", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("0 replayed")
    expect(dialog.get_by_role("listitem").first).to_contain_text("DeadLetterNotReplayableError")
    dialog.locator("footer").get_by_role("button", name="Close").click()
    first.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(first).to_have_count(0)

    left = {one["job_id"] for one in estate.get("/dead-letters")["items"]}
    assert "second-letter" in left
    assert "first-letter" not in left


def test_dead_letters_that_were_picked_are_replayed_and_the_others_stay(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    bury(platform, estate, "picked-a", "picked-b", "left-alone", by="give_up_feedback", language="en")
    window = page_as("tenant_admin")
    window.visit("/dead-letters?reason=DeliveriesExhaustedError")
    page = window.page
    rows = page.get_by_role("table", name="Dead letters").locator("tbody tr")

    for name in ("picked-a", "picked-b"):
        rows.filter(has_text=name).get_by_role("checkbox").check()
    page.get_by_role("button", name="Replay the 2 picked").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Replay picked").click()
    expect(dialog.get_by_role("status")).to_contain_text("2 replayed, 0 stay")
    dialog.locator("footer").get_by_role("button", name="Close").click()
    expect(rows).to_have_count(1)

    assert "left-alone" in {one["job_id"] for one in estate.get("/dead-letters")["items"]}
    wait_for(
        lambda: {estate.get(f"/feedback/{name}")["status"] for name in ("picked-a", "picked-b")},
        lambda found: found == {"succeeded"},
    )


def test_a_tenant_is_given_limits_of_its_own_and_they_are_taken_back(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("admin")
    window.visit("/limits")
    page = window.page
    table = page.get_by_role("table", name="Limits in force")
    row = table.get_by_role("row").filter(has_text="Tokens per lock")

    expect(page.get_by_role("progressbar", name=re.compile("Tokens left"))).to_be_visible()
    page.get_by_role("button", name="limits of its own").or_(
        page.get_by_role("button", name="Change its own limits")
    ).click()
    page.get_by_role("dialog").get_by_label("Tokens per lock").fill("4321")
    page.get_by_role("dialog").get_by_label("End (optional)").fill("2090-01-31T12:00")
    page.get_by_role("button", name="Save limits").click()
    expect(row).to_contain_text("4,321")
    given = estate.get(f"/tenants/{estate.tenant_id}/limits")
    page.get_by_role("button", name="Take back…").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back", exact=True).click()
    expect(row).not_to_contain_text("4,321")

    assert given["limits"]["tokens_per_lock"] == 4_321
    assert given["override"]["expires_at"].startswith("2090-01-31T12:00")
    assert estate.get(f"/tenants/{estate.tenant_id}/limits")["override"] is None


def test_limits_that_somebody_else_changed_meanwhile_are_a_choice(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    where = f"/api/v1/tenants/{estate.tenant_id}/limits"
    platform.admin.must("PUT", where, {"tokens_per_lock": 1_000})
    window = page_as("admin")
    window.visit("/limits")
    page = window.page

    page.get_by_role("button", name="Change its own limits").click()
    page.get_by_role("dialog").get_by_label("Tokens per lock").fill("2000")
    platform.admin.must("PUT", where, {"tokens_per_lock": 3_000})
    page.get_by_role("button", name="Save limits").click()
    page.get_by_role("button", name="Keep mine").click()
    expect(page.get_by_role("dialog")).to_have_count(0)

    assert estate.get(f"/tenants/{estate.tenant_id}/limits")["limits"]["tokens_per_lock"] == 2_000
    platform.admin.send("DELETE", where)


def test_a_webhook_is_added_with_its_secret_shown_once_rotated_and_deleted(
    page_as: OpensWindows, estate: Estate
) -> None:
    url = "https://hooks.example.com/of-the-browser"
    window = page_as("tenant_admin")
    window.visit("/webhooks")
    page = window.page
    row = page.get_by_role("row").filter(has_text=url)

    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("URL").fill(url)
    page.get_by_label("Job cancelled").uncheck()
    page.get_by_role("button", name="Add webhook").click()
    first = page.get_by_label("Secret", exact=True).input_value()
    page.get_by_role("button", name="I have it").click()
    [made] = [one for one in estate.get("/webhooks")["items"] if one["url"] == url]
    row.get_by_role("button", name="Rotate").click()
    page.get_by_role("button", name="Rotate secret").click()
    second = page.get_by_label("Secret", exact=True).input_value()
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_text(second)).to_have_count(0)
    expect(row).to_contain_text("both secrets sign until")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)

    assert first
    assert second not in {"", first}
    assert made["events"] == ["job.succeeded", "job.failed"]


def test_the_end_of_a_job_is_told_among_the_deliveries_of_its_webhook(
    page_as: OpensWindows, estate: Estate
) -> None:
    [hook] = [
        one for one in estate.get("/webhooks")["items"] if one["webhook_id"] == estate.names["webhook_id"]
    ]
    job = {"id": "told-of", "model": "gpt-4o", "text": "Is it over?", "callback_url": hook["url"]}
    estate.owner.must("POST", "/api/v1/reasoning/jobs", job)
    where = f"/webhooks/{hook['webhook_id']}/deliveries"
    wait_for(lambda: {one["job_id"] for one in estate.get(where)["items"]}, lambda told: "told-of" in told)
    window = page_as("tenant_admin")
    window.visit("/webhooks")
    page = window.page

    page.get_by_role("link", name=hook["url"]).click()
    row = page.get_by_role("table", name="Deliveries").get_by_role("row").filter(has_text="told-of")
    expect(row).to_contain_text("Succeeded")

    expect(row.get_by_role("link", name="told-of")).to_have_attribute("href", "#/jobs/told-of")


def test_a_model_is_added_edited_and_removed(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    name = f"{estate.tenant_id}/hand-made"
    window = page_as("admin")
    window.visit(f"/models?prefix={name}")
    page = window.page
    row = page.get_by_role("table", name="Models").get_by_role("row").filter(has_text=name)

    def stored() -> list[dict[str, Any]]:
        found = platform.admin.must("GET", f"/api/v1/model-catalogue?prefix={name}")
        return list(found["items"])

    page.get_by_role("button", name="Add model").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill(name)
    page.get_by_role("dialog").get_by_label("Facts of the packaged model").fill("gpt-4o")
    page.get_by_role("dialog").get_by_role("group", name="Tokens of an image").get_by_label("Base").fill("70")
    page.get_by_role("dialog").get_by_role("group", name="Tokens of an image").get_by_label("Tile").fill(
        "140"
    )
    page.get_by_role("button", name="Save model").click()
    expect(row).to_contain_text("Stored")
    row.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Max output tokens").fill("777")
    page.get_by_role("button", name="Save model").click()
    expect(row).to_contain_text("777")
    [edited] = stored()
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_label("to confirm").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(row).to_have_count(0)

    assert (edited["max_output_tokens"], edited["price"] is not None) == (777, True)
    assert edited["images"] == {"base": 70, "tile": 140, "patches": None, "factor": None}
    assert edited["connection"]["model"] == "gpt-4o"
    assert stored() == []


def test_the_trail_tells_who_did_what_in_the_tenant_and_in_the_platform(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("admin")
    window.visit("/audit")
    page = window.page
    rows = page.get_by_role("table", name="Audit trail").locator("tbody tr")

    page.get_by_label("Action").select_option(label="Key created")
    expect(rows.first).to_contain_text("Key created")
    page.get_by_label("Whose").select_option(label="The platform's")
    page.get_by_label("Action").select_option(label="Tenant created")
    expect(rows.filter(has_text=estate.tenant_id).first).to_contain_text("Administrator")

    assert "action=tenant.create" in page.url


def test_health_names_each_dependency_and_what_is_wrong(page_as: OpensWindows, estate: Estate) -> None:
    told = estate.platform.client.get("/api/health/ready").json()
    names = [one["name"] for one in told["dependencies"]]
    window = page_as("tenant_admin")
    window.visit("/health")
    page = window.page
    rows = page.get_by_role("table", name="Dependencies").locator("tbody tr")

    expect(rows).to_have_count(len(names))
    expect(rows.first).to_contain_text("Up")
    lost = {"name": names[0], "state": "down", "breaker": "open", "throttled_parts": 0, "reason": "no answer"}
    refusal = {"error": "NotReadyError", "message": "Not ready", "detail": {"dependencies": [lost]}}
    page.route("**/api/health/ready", lambda route: route.fulfill(status=503, json=refusal))
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("held back for now")
    expect(page.locator("main")).to_contain_text("no answer")
