"""Signing in at a provider: authorization code with PKCE, from a browser to the app, also amid an edit."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from shared.clock import SystemClock
from tests.integration_tests.console.browser import KEY, Session, open_window
from tests.integration_tests.platform import Caller, running_platform
from tests.support.identity_provider import AUDIENCE, IdentityProvider
from tests.support.sign_in_server import CLIENT_ID, SignInServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Route

    from tests.integration_tests.console.browser import Window
    from tests.integration_tests.platform import Platform

pytestmark = [pytest.mark.timeout(180), pytest.mark.local_endpoints]

PLANTED = '<img src=x onerror="window.planted += 1"> You may not'


@dataclass(frozen=True)
class House:
    """An app whose people sign in at a provider, and one tenant of it.

    Attributes:
        owner: The tenant's administrator, with a key.
    """

    browser: Browser
    origin: str
    server: SignInServer
    tenant_id: str
    owner: Caller

    @contextmanager
    def window(self) -> Iterator[Window]:
        """Open a window that may ask the provider, too; nothing in it breaks the policy."""
        context, window = open_window(self.browser, self.origin, Session())
        window.watch.beside = self.server.provider.issuer
        yield window
        broken = window.violations()
        context.close()
        assert not any((broken, window.watch.foreign, window.watch.failures)), (broken, window.watch)


@pytest.fixture(scope="module")
def app(
    browser: Browser, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, SignInServer]]:
    """Another host on the platform's store, which knows a provider."""
    assert browser.is_connected()
    server = SignInServer(IdentityProvider(clock=SystemClock()))
    with serving(server):
        addresses = platform.addresses
        settings = {
            "OIDC_ISSUER": server.provider.issuer,
            "OIDC_AUDIENCE": AUDIENCE,
            "OIDC_ALLOW_HTTP": "true",
            "OIDC_CONSOLE_CLIENT_ID": CLIENT_ID,
            "COSMOS_ENDPOINT": addresses["cosmos"],
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": servicebus_connection_string(int(addresses["servicebus"].rsplit(":", 1)[1])),
            "AZURE_OPENAI_ENDPOINT": addresses["llm"],
        }
        folder = tmp_path_factory.mktemp("provider") / "host"
        with running_platform(folder, "--only", "host", settings=settings) as there:
            yield there, server


@pytest.fixture
def house(browser: Browser, platform: Platform, app: tuple[Platform, SignInServer]) -> House:
    there, server = app
    tenant_id = platform.new_tenant()
    server.claims = {"tid": tenant_id, "roles": ["tenant_admin"], "sub": "ada"}
    server.answer = {}
    server.forms.clear()
    owner = Caller(there.client, platform.caller(tenant_id).key)
    owner.must("PUT", "/api/v1/prompts/greeting", {"template": "The first words"})
    return House(browser, there.addresses["app"], server, tenant_id, owner)


def sign_in(page: Page | Locator) -> None:
    page.get_by_role("button", name="Sign in with your organisation").click()


def stored(window: Window) -> dict[str, str]:
    kept: dict[str, str] = window.page.evaluate("({ ...sessionStorage })")
    return kept


def test_people_sign_in_at_their_provider_and_arrive_where_they_wanted_to(house: House) -> None:
    with house.window() as window:
        window.visit("/prompts?prefix=gre")
        sign_in(window.page)

        expect(window.page.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
        expect(window.page.get_by_role("link", name="greeting")).to_be_visible()
        expect(window.page.locator("header.top")).to_contain_text(house.tenant_id)
        assert window.page.url == f"{house.origin}/api/console#/prompts?prefix=gre"
        [form] = house.server.forms
        assert form["code"] in house.server.redeemed
        assert set(stored(window)) == {KEY}
        assert form["code_verifier"] not in json.dumps(stored(window))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"state": "of-somebody-else", "code": "theirs"}, "begun elsewhere"),
        ({"error": "access_denied", "error_description": PLANTED}, "You may not"),
        ({"error": "server_error"}, "The provider refused to sign you in"),
        ({"code": "made-up"}, "The code was used, or is not yours"),
    ],
    ids=["another state", "a refusal", "a refusal without words", "a code that is none"],
)
def test_an_answer_that_is_not_right_signs_nobody_in(house: House, answer: dict[str, str], told: str) -> None:
    house.server.answer = answer
    with house.window() as window:
        window.visit("/prompts")
        sign_in(window.page)

        expect(window.page.get_by_role("alert")).to_contain_text(told)
        expect(window.page.get_by_label("API key")).to_be_visible()
        assert window.page.evaluate("window.planted") == 0
        assert stored(window) == {}
        assert [form["code"] for form in house.server.forms] == (
            ["made-up"] if "made-up" in answer.values() else []
        )


def test_a_code_is_good_for_one_sign_in(house: House) -> None:
    with house.window() as window:
        window.visit("/prompts")
        sign_in(window.page)
        expect(window.page.get_by_role("heading", level=1, name="Prompts")).to_be_visible()
        window.page.get_by_role("button", name="Sign out").click()
        house.server.answer = {"code": house.server.forms[0]["code"]}
        sign_in(window.page)

        expect(window.page.get_by_role("alert")).to_contain_text("The code was used, or is not yours")
        assert KEY not in stored(window)
        assert len(house.server.forms) == 2


def test_a_user_of_no_tenant_is_told_so(house: House) -> None:
    house.server.claims |= {"tid": "nobody"}
    with house.window() as window:
        window.visit()
        sign_in(window.page)

        expect(window.page.get_by_role("alert")).to_contain_text("not valid here")
        assert KEY not in stored(window)


def test_a_token_that_ends_in_the_middle_of_an_edit_loses_nothing(house: House) -> None:
    past = int(house.server.provider.claims()["iat"]) - 3600
    ended = house.server.provider.token(**house.server.claims, exp=past, iat=past - 60, nbf=past - 60)
    with house.window() as window:
        page = window.page
        window.visit("/prompts/greeting")
        sign_in(page)
        editor = page.get_by_role("textbox", name="Text", exact=True)
        editor.fill("Words that took an hour")

        def send_the_one_that_ended(route: Route) -> None:
            headers = {**route.request.headers, "authorization": f"Bearer {ended}"}
            route.continue_(headers=headers)

        page.route("**/api/v1/prompts/greeting*", send_the_one_that_ended, times=1)
        page.get_by_role("button", name="Save as a new version").click()
        dialog = page.get_by_role("dialog", name="Sign in again")
        house.server.claims |= {"sub": "bob"}
        sign_in(dialog)
        expect(dialog.get_by_role("alert")).to_contain_text("another user's")
        expect(editor).to_have_value("Words that took an hour")
        house.server.claims |= {"sub": "ada"}
        sign_in(dialog)

        expect(dialog).to_have_count(0)
        expect(page.get_by_text("is saved")).to_be_visible()
        expect(page.get_by_role("heading", level=1, name="greeting")).to_be_visible()
        assert len(page.context.pages) == 1
        kept: Any = house.owner.must("GET", "/api/v1/prompts/greeting?fresh=true")
        assert kept["template"] == "Words that took an hour"
