"""Two tenants: what is shown is one's own, an administrator picks, nothing of the other is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Request

    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate


def test_a_tenants_administrator_sees_its_own_prompts_and_not_the_others(
    page_as: OpensWindows, estate: Estate
) -> None:
    window = page_as("tenant_admin")
    asked: list[Request] = []
    window.page.on("request", lambda one: asked.append(one))  # noqa: PLW0108  # Playwright marks a handler

    window.visit("/prompts")

    expect(window.page.get_by_role("link", name=estate.names["name"])).to_be_visible()
    expect(window.page.get_by_text("of-the-other")).to_have_count(0)
    expect(window.page.locator("header.top")).to_contain_text(estate.tenant_id)
    assert not [one.url for one in asked if "x-tenant-id" in one.headers]


def test_the_others_prompt_is_not_there_by_its_address(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("tenant_admin")

    window.visit("/prompts/of-the-other")

    expect(window.page.get_by_role("alert").first).to_contain_text("not found")
    expect(window.page.get_by_text("Not yours")).to_have_count(0)


def test_an_administrator_picks_a_tenant_and_sees_that_one(page_as: OpensWindows, estate: Estate) -> None:
    window = page_as("admin")
    window.visit("/overview")

    window.page.get_by_role("banner").get_by_role("button", name="Tenant:").click()
    window.page.get_by_role("combobox", name="Find a tenant").fill(estate.other_id)
    window.page.get_by_role("option", name=estate.other_id).click()
    expect(window.page.get_by_role("banner").get_by_role("button", name="Tenant:")).to_contain_text(
        estate.other_id
    )
    window.visit("/prompts")

    expect(window.page.get_by_role("link", name="of-the-other")).to_be_visible()
    expect(window.page.get_by_text(estate.names["name"], exact=True)).to_have_count(0)
