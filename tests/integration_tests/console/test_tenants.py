"""Two tenants: what is shown is one's own, an administrator picks, nothing of the other is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import Session, open_window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

    from tests.integration_tests.console.conftest import OpensWindows
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform


@pytest.fixture(scope="module", autouse=True)
def leaving(browser: Browser, platform: Platform, estate: Estate) -> str:
    """A tenant whose purge was asked for on its page: it takes some seconds, in which the other tests run."""
    tenant_id = platform.new_tenant()
    platform.caller(tenant_id).must("PUT", "/api/v1/prompts/to-be-removed", {"template": "Soon gone"})
    context, window = open_window(browser, estate.origin, Session(estate.keys["admin"]))
    window.visit(f"/tenants/{tenant_id}?tab=about")
    window.page.get_by_role("button", name="Purge…").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Purge for ever")).to_be_disabled()
    dialog.get_by_label("to confirm").fill(tenant_id)
    dialog.get_by_role("button", name="Purge for ever").click()
    expect(window.page.get_by_role("region", name="Being purged")).to_be_visible()
    context.close()
    return tenant_id


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


def test_a_tenant_that_was_purged_is_shown_with_the_proof(
    page_as: OpensWindows, estate: Estate, leaving: str
) -> None:
    window = page_as("admin")
    window.visit(f"/tenants/{leaving}")
    page = window.page

    expect(page.get_by_role("region", name="Purged")).to_be_visible(timeout=60_000)
    proof = page.get_by_role("table", name="Proof of the purge").locator("tbody tr")
    prompts = proof.filter(has_text="Prompts")
    expect(prompts.locator("td").nth(2)).to_have_text("0")
    shown = {row.split("\t")[0] for row in proof.all_inner_texts()}
    told = estate.platform.admin.must("GET", f"/api/v1/tenants/{leaving}")["purge"]

    assert int(prompts.locator("td").nth(1).inner_text()) > 0
    assert len(shown) == len(told["counts"])
    assert not any(told["counts"].values())
