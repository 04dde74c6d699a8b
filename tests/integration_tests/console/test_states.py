"""What is on a page only sometimes: dialogs, refusals, work in its midst. None of it breaks WCAG 2.2 AA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import DESKTOP, PHONE
from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate

pytestmark = pytest.mark.timeout(180)

CALL = {
    "time": "2026-01-31T10:30:00Z",
    "model": "gpt-4o",
    "step": None,
    "bot_id": "support",
    "status": "succeeded",
    "messages_left_out": 3,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}],
    "answers": [{"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function"}]}],
}


class States:
    """States of a window, and what is wrong with each."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._found: dict[str, list[str]] = {}

    @property
    def page(self) -> Page:
        """The window's page."""
        return self._window.page

    @property
    def dialog(self) -> Locator:
        """What is open over the page."""
        return self.page.get_by_role("dialog")

    def visit(self, address: str) -> Page:
        """Go to a page of the console."""
        self._window.visit(address)
        return self.page

    def look(self, name: str, shown: Locator) -> None:
        """Check what is shown now, once a thing of it is there."""
        expect(shown.first).to_be_visible()
        self._found[name] = self._window.check_access()

    def close(self) -> None:
        """Close what is open over the page."""
        self.page.keyboard.press("Escape")
        expect(self.dialog).to_have_count(0)

    def problems(self) -> dict[str, list[str]]:
        """Return what was found, by state."""
        return {name: found for name, found in self._found.items() if found}


def test_what_opens_over_a_page_breaks_no_rule(page_as: OpensWindows, estate: Estate) -> None:
    states = States(page_as("admin"))
    page = states.visit("/prompts")

    page.keyboard.press("Control+k")
    expect(states.dialog.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("pro")
    states.look("palette", states.dialog.get_by_role("option", name="Prompts"))
    page.keyboard.type("%%%")
    states.look("palette that finds nothing", page.get_by_text("Nothing found"))
    states.close()
    page.keyboard.press("?")
    states.look("keys", page.get_by_role("dialog", name="Keys"))
    states.close()
    page.get_by_role("banner").get_by_role("button", name="Tenant:").click()
    states.look("choice of a tenant", states.dialog.get_by_role("option"))
    states.close()
    states.visit(f"/tenants/{estate.tenant_id}?tab=about")
    page.get_by_role("button", name="Suspend…").click()
    states.look("suspend", states.dialog)
    states.close()
    page.get_by_role("button", name="Purge…").click()
    states.look("purge", states.dialog)
    states.close()
    states.visit("/dead-letters")
    page.get_by_role("button", name="Replay all of these").click()
    states.dialog.get_by_role("button", name="Replay all", exact=True).click()
    states.look("replay that is refused", states.dialog.get_by_text("1 stay"))

    assert not states.problems()


def test_forms_that_are_refused_break_no_rule(page_as: OpensWindows, estate: Estate) -> None:
    states = States(page_as("admin"))
    page = states.visit("/keys")

    page.get_by_role("button", name="New key").click()
    states.dialog.get_by_label("Name").fill("of a state")
    states.dialog.get_by_label("User (optional)").fill("no user at all!")
    states.dialog.get_by_role("button", name="Create key").click()
    states.look("new key", states.dialog.get_by_role("alert"))
    states.dialog.get_by_label("User (optional)").fill("")
    states.dialog.get_by_role("button", name="Create key").click()
    states.look("key that is shown once", page.get_by_role("dialog", name="Copy the key now"))
    page.get_by_role("button", name="I have it").click()
    states.visit("/webhooks")
    page.get_by_role("button", name="New webhook").click()
    states.dialog.get_by_label("URL").fill("ftp://hooks.example.com")
    states.dialog.get_by_role("button", name="Add webhook").click()
    states.look("new webhook", states.dialog.get_by_role("alert"))
    states.close()
    states.visit("/limits")
    page.get_by_role("button", name="Give it limits of its own").click()
    states.dialog.get_by_label("Tokens per lock").fill("0")
    states.look("limits", states.dialog.get_by_text("must be at least"))
    states.close()
    states.visit("/models?prefix=gpt-4o")
    page.get_by_role("button", name="Edit gpt-4o", exact=True).click()
    states.dialog.get_by_label("Max output tokens").fill("0")
    states.look("model", states.dialog.get_by_text("must be at least"))
    states.close()
    states.visit("/prompts-new")
    page.get_by_label("Name", exact=True).fill("no name!")
    page.get_by_role("textbox", name="Text", exact=True).fill("A brace { alone")
    page.get_by_role("button", name="Save prompt").click()
    states.look("new prompt", page.get_by_role("alert"))
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Bots").click()
    states.look("question before it is left", page.get_by_role("dialog", name="Leave without saving?"))
    states.dialog.get_by_role("button", name="Leave").click()
    states.visit(f"/bots/{estate.names['bot_id']}")
    page.get_by_label("Temperature").fill("9")
    states.look("bot", page.get_by_text("Not valid yet"))

    assert not states.problems()


def test_what_is_asked_in_the_middle_of_an_edit_breaks_no_rule(page_as: OpensWindows, estate: Estate) -> None:
    where = "/api/v1/prompts/of-states"
    keys = f"/api/v1/tenants/{estate.tenant_id}/keys"
    estate.owner.must("PUT", where, {"template": "The first words"})
    mine = estate.owner.must("POST", keys, {"name": "of states", "role": "tenant_admin"})
    states = States(page_as("tenant_admin", key=mine["key"]))
    page = states.visit("/prompts/of-states")

    page.get_by_role("textbox", name="Text", exact=True).fill("My words")
    estate.owner.must("PUT", where, {"template": "The words of another"})
    page.get_by_role("button", name="Save as a new version").click()
    states.look("choice between two states", states.dialog)
    states.close()
    estate.owner.send("DELETE", f"{keys}/{mine['key_id']}")
    page.get_by_role("button", name="Save as a new version").click()
    states.look("signing in again", page.get_by_role("dialog", name="Sign in again"))
    states.dialog.get_by_label("API key").fill("hello")
    states.dialog.get_by_role("button", name="Sign in", exact=True).click()
    states.look("signing in again with a wrong key", states.dialog.get_by_role("alert"))

    assert not states.problems()


def test_pages_in_the_midst_of_work_break_no_rule(page_as: OpensWindows, estate: Estate) -> None:
    states = States(page_as("tenant_admin"))
    page = states.page
    job = {"id": "to-be-approved", "model": "gpt-4o", "text": "May it?", "needs_approval": True}
    estate.owner.must("POST", "/api/v1/reasoning/jobs", job)

    def answer_with_content(route: Route) -> None:
        route.fulfill(json={"items": [CALL], "next_cursor": None})

    def answer_nothing(route: Route) -> None:
        route.fulfill(status=503, json={"error": "DependencyUnavailableError", "message": "It is down"})

    page.route("**/api/v1/calls/*/content*", answer_with_content)
    states.visit(f"/calls/{estate.get('/calls?limit=1')['items'][0]['request_id']}")
    page.get_by_role("button", name="Read it").click()
    states.look("content of a call", page.get_by_text("Where is it?"))
    page.route("**/api/v1/webhooks*", answer_nothing)
    states.visit("/webhooks")
    states.look("list that cannot be loaded", page.get_by_role("alert"))
    states.visit("/feedback-import")
    page.get_by_label("Or its text").fill("language,text\nen,It is quick\nno language,Hello\n")
    page.get_by_role("button", name="Import", exact=True).click()
    states.look("import", page.get_by_text("2 of 2 rows have ended"))
    states.visit(f"/playground?bot={estate.names['bot_id']}&compare=1")
    for model in page.get_by_label("Model", exact=True).all():
        model.select_option("gpt-4o")
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    states.look("answers side by side", page.get_by_role("main").get_by_role("status").nth(1))
    states.visit("/logs?event=model_call")
    page.get_by_text("Fields").first.click()
    states.look("fields of a line", page.locator("details[open] pre"))
    wait_for(lambda: estate.get("/reasoning/jobs/to-be-approved"), lambda one: one["waiting_step"])
    states.visit("/jobs/to-be-approved")
    states.look("job that waits for somebody", page.get_by_role("region", name="It waits for your approval"))
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    page.get_by_role("button", name="Menu").click()
    states.look("menu of a phone", page.get_by_role("navigation", name="Pages"))
    page.set_viewport_size({"width": DESKTOP["width"], "height": DESKTOP["height"]})

    assert not states.problems()


def test_a_refused_sign_in_breaks_no_rule(page_as: OpensWindows) -> None:
    window = page_as(None)
    window.visit()
    window.page.get_by_label("API key").fill("hello")
    window.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(window.page.get_by_role("alert")).to_be_visible()

    assert window.check_access() == []
