"""The main job of the pages about what happened and what is done in the background."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform


def talk(estate: Estate, conversation_id: str, *messages: str) -> str:
    """Say something to the estate's bot; return the conversation's path."""
    bot = f"/bots/{estate.names['bot_id']}"
    for message in messages:
        body = {"message": message, "conversation_id": conversation_id}
        estate.owner.must("POST", f"/api/v1{bot}/chat", body)
    return f"{bot}/conversations/{conversation_id}"


def download(page: Page, button: str) -> str:
    with page.expect_download() as got:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(got.value.path()).read_text(encoding="utf-8")


def test_a_conversation_is_read_rated_and_gone_back_in(page_as: OpensWindows, estate: Estate) -> None:
    where = talk(estate, "read-and-rated", "The first thing", "The second thing")
    window = page_as("tenant_admin")
    window.visit(f"/conversations?bot={estate.names['bot_id']}")
    page = window.page

    page.get_by_role("link", name="read-and-rated", exact=True).click()
    expect(page.get_by_role("group", name="Turn 2")).to_contain_text("The second thing")
    page.get_by_role("button", name="Good: rate turn 1").click()
    expect(page.get_by_role("button", name="Good: rate turn 1")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Go back to here, turn 1").click()
    expect(page.get_by_role("group", name="Turn 2")).to_have_count(0)
    exported = json.loads(download(page, "Export"))

    [kept] = estate.get(where)["items"]
    assert (kept["turn"], kept["rating"]["rating"]) == (1, "up")
    assert [turn["message"] for turn in exported["items"]] == ["The first thing", "The second thing"]


def test_a_conversation_that_went_on_meanwhile_is_gone_back_in_by_choice_alone(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = talk(estate, "went-on", "The first thing", "The second thing")
    window = page_as("tenant_admin")
    window.visit(where)
    talk(estate, "went-on", "The third thing")

    window.page.get_by_role("button", name="Undo last turn").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Theirs")).to_contain_text("The third thing")
    dialog.get_by_role("button", name="Take theirs").click()
    expect(window.page.get_by_role("group", name="Turn 3")).to_be_visible()

    assert len(estate.get(where)["items"]) == 3


def test_a_conversation_that_changed_meanwhile_is_neither_rated_nor_deleted_unseen(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = talk(estate, "changed", "The first thing")
    window = page_as("tenant_admin")
    window.visit(where)
    page = window.page

    estate.owner.must("PUT", f"/api/v1{where}/turns/1/rating", {"rating": "down"})
    page.get_by_role("button", name="Good: rate turn 1").click()
    expect(page.get_by_text("Turn 1 was changed by somebody else meanwhile")).to_be_visible()
    expect(page.get_by_role("button", name="Bad: rate turn 1")).to_have_attribute("aria-pressed", "true")
    talk(estate, "changed", "The second thing")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog", name="The conversation was changed meanwhile")
    expect(dialog.get_by_role("region", name="Theirs")).to_contain_text("The second thing")
    left = estate.owner.send("GET", f"/api/v1{where}").status_code
    dialog.get_by_role("button", name="Keep mine").click()
    expect(page.get_by_role("heading", level=1, name="Conversations")).to_be_visible()

    assert (left, estate.owner.send("GET", f"/api/v1{where}").status_code) == (200, 404)


def test_a_conversation_is_named_its_last_answer_asked_for_again_and_its_rating_explained(
    page_as: OpensWindows, estate: Estate
) -> None:
    where = talk(estate, "asked-again", "The first thing", "The second thing")
    window = page_as("tenant_admin")
    window.visit(where)
    page = window.page

    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill("Two things")
    page.get_by_role("button", name="Save title").click()
    expect(page.get_by_role("heading", level=1, name="Two things")).to_be_visible()
    page.get_by_role("button", name="Answer again, turn 2").click()
    again = page.get_by_role("group", name="Turn 3")
    expect(again).to_contain_text("The second thing")
    expect(page.get_by_role("group", name="Turn 2")).to_have_count(0)
    page.get_by_role("button", name="Bad: rate turn 3").click()
    page.get_by_role("button", name="Say why, turn 3").click()
    page.get_by_label("In your words").fill("It says nothing")
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(again).to_contain_text("It says nothing")

    kept = estate.get(where)
    assert kept["title"] == "Two things"
    assert [turn["turn"] for turn in kept["items"]] == [1, 3]
    assert kept["items"][1]["rating"]["rating"] == "down"


def test_an_answer_that_needs_the_prompts_values_again_is_asked_for_with_them(
    page_as: OpensWindows, estate: Estate
) -> None:
    owner = estate.owner
    owner.must("PUT", "/api/v1/prompts/greets-by-name", {"template": "Greet {customer}."})
    owner.must(
        "PUT",
        "/api/v1/bots/greets-by-name",
        {"llm": {"model": "gpt-4o"}, "prompt": {"name": "greets-by-name"}},
    )
    body = {"message": "Hello", "conversation_id": "greeted", "variables": {"customer": "Ada"}}
    owner.must("POST", "/api/v1/bots/greets-by-name/chat", body)
    window = page_as("tenant_admin")
    window.visit("/bots/greets-by-name/conversations/greeted")
    page = window.page

    page.get_by_role("button", name="Answer again, turn 1").click()
    page.get_by_role("dialog").get_by_label("customer").fill("Grace")
    page.get_by_role("dialog").get_by_role("button", name="Answer again").click()

    expect(page.get_by_role("group", name="Turn 2")).to_contain_text("Hello")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_model_call_is_found_by_a_filter_and_its_way_is_shown(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("tenant_admin")
    window.visit(f"/calls?bot_id={estate.names['bot_id']}")
    page = window.page

    page.get_by_role("table", name="Model calls").locator("tbody tr td:first-child a").first.click()
    expect(page.get_by_role("heading", level=1, name="The way of a request")).to_be_visible()

    expect(page.locator(".waterfall li")).not_to_have_count(0)
    expect(page.get_by_role("table", name="Steps")).to_contain_text("Model call")


def test_what_a_call_said_is_read_when_somebody_asks_for_it(
    page_as: OpensWindows, estate: Estate, platform: Platform
) -> None:
    keep = "/api/v1/settings/logs.keep_content"
    estate.owner.must("PUT", keep, {"value": True})

    def ask_until_it_is_kept() -> str | None:
        body = {"message": "Where is my parcel?"}
        talk_path = f"/api/v1/bots/{estate.names['bot_id']}/chat"
        asked = str(estate.owner.send("POST", talk_path, body).headers["x-request-id"])
        return asked if estate.owner.send("GET", f"/api/v1/calls/{asked}/content").is_success else None

    request_id = wait_for(ask_until_it_is_kept, bool)
    estate.owner.send("DELETE", keep)
    platform.client.post("/admin/functions/ship_logs", json={"input": ""}).raise_for_status()
    wait_for(lambda: estate.owner.send("GET", f"/api/v1/calls/{request_id}").is_success, bool)
    window = page_as("tenant_admin")
    window.visit(f"/calls/{request_id}")

    expect(window.page.get_by_text("Where is my parcel?")).to_have_count(0)
    window.page.get_by_role("button", name="Read it").click()
    expect(window.page.get_by_role("region", name="What was said")).to_contain_text("Where is my parcel?")
    expect(window.page.get_by_role("region", name="What was said")).to_contain_text("Assistant")


def test_usage_is_shown_by_app_and_downloaded_as_csv(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")
    window.visit("/usage")
    page = window.page

    page.get_by_role("combobox", name="By", exact=True).select_option(label="App")
    window.settle()
    expect(page.get_by_role("table", name="Sums by app")).to_contain_text(f"bot:{estate.names['bot_id']}")
    rows = list(csv.DictReader(io.StringIO(download(page, "Download CSV"))))

    stored = estate.get("/usage?group_by=day,app_id")
    assert sum(int(row["total_tokens"]) for row in rows) == stored["total"]["total_tokens"]
    assert {row["app_id"] for row in rows} == {item["app_id"] for item in stored["items"]}


def test_a_job_is_submitted_followed_approved_and_its_result_shown(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("user")
    window.visit("/jobs-new")
    page = window.page

    page.get_by_label("Text", exact=True).fill("Is a bot on Sundays cheaper than a second shift?")
    page.get_by_label("Ask a person before it goes on").check()
    page.get_by_role("button", name="Submit job").click()
    page.get_by_label("Comment").fill("Go on")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("region", name="Result")).to_be_visible()

    job = estate.get(f"/reasoning/jobs/{page.get_by_role('heading', level=1).inner_text()}")
    assert (job["status"], job["approvals"][0]["comment"]) == ("succeeded", "Go on")


def test_feedback_is_written_and_found_by_its_hashtag_in_the_charts(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("tenant_admin")
    window.visit("/feedback")
    page = window.page

    page.get_by_role("button", name="New feedback").click()
    page.get_by_role("dialog").get_by_label("Text", exact=True).fill("The new search is quick, thank you.")
    page.get_by_role("dialog").get_by_label("Your own name for it").fill("of-the-browser")
    page.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Feedback")
    feedback_id = page.get_by_role("heading", level=1).inner_text()
    written = wait_for(
        lambda: estate.get(f"/feedback/{feedback_id}"), lambda one: one["status"] == "succeeded"
    )
    window.visit("/feedback")
    hashtag = written["analysis"]["hashtag"]
    expect(page.get_by_role("figure").first).to_contain_text("Feedback by day")
    page.get_by_role("list", name="Feedback by hashtag").get_by_role("link", name=hashtag).click()

    rows = page.get_by_role("table", name="List of feedback").locator("tbody tr")
    expect(rows.filter(has_text="of-the-browser")).to_contain_text(hashtag)
    expect(page.get_by_label("Hashtag")).to_have_value(hashtag)


def test_an_import_shows_how_far_it_is_and_what_is_wrong_with_a_row(
    page_as: OpensWindows,
) -> None:
    window = page_as("tenant_admin")
    window.visit("/feedback-import")
    page = window.page

    content = b"language,text\nen,The search is quick\nno language,Hello\n"
    page.get_by_label("CSV file").set_input_files(
        {"name": "rows.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("2 of 2 rows have ended")).to_be_visible()
    rows = page.get_by_role("table", name="Rows of the import").locator("tbody tr")

    expect(rows.nth(0)).to_contain_text("Succeeded")
    expect(rows.nth(0).locator("td", has_text="#")).to_be_visible()
    expect(rows.nth(1)).to_contain_text("Refused")
    expect(rows.nth(1)).to_contain_text("language")
