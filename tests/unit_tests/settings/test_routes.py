"""Settings over HTTP: a tenant's own, the platform's for all, and what a form has to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from shared.caching.region import Cache
from shared.runtime import SETTINGS
from shared.tenancy.context import Role
from shared.tenancy.settings import About, SettingRegistry, SettingScope, TenantSettings, text
from tests.support.fakes import Answer, Call
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "chat.default_model"


@dataclass
class Caller:
    """Somebody with a credential."""

    app: WholeApp
    headers: dict[str, str]

    async def call(
        self, route: str, key: str = KEY, *, body: object = None, query: str = "", if_match: str = ""
    ) -> Answer:
        headers = self.headers | ({"if-match": if_match} if if_match else {})
        sent = Call.of(body, headers=headers, key=key)
        return await self.app.client.call(route, Call(sent.path, query, headers, sent.body))

    async def put(self, value: object, **how: Any) -> Answer:  # noqa: ANN401  # handed on to `call`
        return await self.call("put_setting", body={"value": value}, **how)

    async def shown(self, query: str = "") -> dict[str, Any]:
        answer = await self.call("get_setting", query=query)
        assert answer.status == 200
        found: dict[str, Any] = answer.json()
        return found


@dataclass
class World:
    """Two tenants and the administrator."""

    app: WholeApp
    boss: Caller
    user: Caller
    other: Caller
    admin: Caller
    admin_for_acme: Caller


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with app_of("acme", "globex") as app:
        yield World(
            app,
            Caller(app, await app.new_key("acme", Role.TENANT_ADMIN)),
            Caller(app, await app.new_key("acme", Role.USER)),
            Caller(app, await app.new_key("globex", Role.TENANT_ADMIN)),
            Caller(app, app.admin),
            Caller(app, app.admin | {"x-tenant-id": "acme"}),
        )


async def test_each_value_says_whether_it_is_the_tenants_the_platforms_or_the_default(world: World) -> None:
    default = await world.boss.shown()
    await world.admin.put("everybodys", query="scope=global")
    inherited = await world.boss.shown()
    put = await world.boss.put("ours")
    own = await world.boss.shown()
    removed = await world.boss.call("delete_setting")

    assert (default["value"], default["source"]) == ("", "default")
    assert (inherited["value"], inherited["source"], inherited["updated_by"]) == (
        "everybodys",
        "global",
        None,
    )
    assert put.json() == own
    assert put.headers["etag"] == own["etag"]
    assert (own["value"], own["source"]) == ("ours", "tenant")
    assert (removed.status, removed.json()) == (200, inherited)
    assert (await world.other.shown())["value"] == "everybodys"


async def test_a_tenants_value_is_used_by_its_bots(world: World) -> None:
    app = world.app
    await world.boss.put("gpt-4.1")
    await app.must("save_bot", Call.of({"system_prompt": "x"}, headers=world.boss.headers, bot_id="b"))

    await app.must("chat", Call.of({"message": "hi"}, headers=world.boss.headers, bot_id="b"))

    asked: list[str] = [prompt.model for prompt in app.runtime.chat_model.prompts]  # type: ignore[attr-defined]  # the fake's
    assert asked == ["gpt-4.1"]


async def test_an_etag_guards_against_overwriting_what_was_not_seen(world: World) -> None:
    unset = (await world.boss.shown())["etag"]
    first = await world.boss.put("one", if_match=unset)
    again = await world.boss.put("two", if_match=unset)
    stale = await world.boss.call("delete_setting", if_match=unset)
    gone = await world.boss.call("delete_setting", if_match=first.headers["etag"])

    assert [first.status, again.status, stale.status, gone.status] == [200, 412, 412, 200]
    assert gone.json()["source"] == "default"
    assert (await world.boss.shown())["etag"] == unset


@pytest.mark.parametrize("value", [1, None, True, ["a"], {"a": 1}, "x" * 129, "no spaces"])
async def test_a_value_of_another_type_is_refused_by_the_fields_name(world: World, value: object) -> None:
    answer = await world.boss.put(value)

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.value"])
    assert (await world.boss.shown())["source"] == "default"


@pytest.mark.parametrize("key", ["no.such", "settings", "tenant_id", ""])
@pytest.mark.parametrize("route", ["get_setting", "put_setting", "delete_setting"])
async def test_an_unknown_setting_is_a_404(world: World, route: str, key: str) -> None:
    answer = await world.boss.call(route, key, body={"value": "x"})

    assert (answer.status, answer.json()["error"]) == (404, "SettingNotFoundError")


@pytest.mark.parametrize("route", ["get_setting", "put_setting", "delete_setting", "list_settings"])
async def test_the_global_scope_is_the_administrators_alone(world: World, route: str) -> None:
    body = {"value": "x"} if route == "put_setting" else None
    answers = [
        (await caller.call(route, body=body, query="scope=global")).status
        for caller in (world.boss, world.user, world.admin_for_acme, world.admin)
    ]

    assert answers == [403, 403, 200, 200]


async def test_a_setting_of_the_platform_alone_is_shown_to_tenants_and_not_theirs_to_set(
    world: World,
) -> None:
    about = About(key="tests.alone", label="Alone", description="Alone.", scope=SettingScope.GLOBAL)
    runtime = world.app.runtime
    runtime.__dict__["tenant_settings"] = TenantSettings(
        SettingRegistry([text(about, default="", max_length=9)]),
        runtime.container("tenants"),
        world.app.clock,
        Cache(world.app.clock),
    )
    tried = [
        await world.boss.put("x", key=about.key),
        await world.admin_for_acme.put("x", key=about.key),
        await world.boss.call("delete_setting", about.key),
    ]
    done = await world.admin.put("x", key=about.key, query="scope=global")

    assert ([answer.status for answer in tried], done.status) == ([403] * 3, 200)
    assert (await world.boss.call("get_setting", about.key)).json()["source"] == "global"


async def test_which_models_a_tenant_may_use_is_the_administrators_to_set(world: World) -> None:
    key = "models.allowed"
    allowed = await world.admin_for_acme.put(["gpt-4o"], key=key)
    widened = [await world.boss.put([], key=key), await world.boss.call("delete_setting", key)]

    assert allowed.status == 200
    assert [answer.status for answer in widened] == [403, 403]
    assert (await world.boss.call("get_setting", key)).json()["value"] == ["gpt-4o"]


async def test_the_administrator_names_the_tenant_whose_value_is_meant(world: World) -> None:
    unnamed = await world.admin.put("x")
    await world.admin_for_acme.put("set-for-them")

    assert (unnamed.status, list(unnamed.json()["detail"]["fields"])) == (422, ["header.x-tenant-id"])
    shown = await world.boss.shown()
    assert (shown["value"], shown["source"], shown["updated_by"]) == ("set-for-them", "tenant", "admin")
    assert (await world.other.shown())["source"] == "default"


async def test_users_have_nothing_to_do_with_settings(world: World) -> None:
    for route in ("list_settings", "describe_setting_forms", "get_setting"):
        assert (await world.user.call(route)).status == 403
    assert (await world.user.put("x")).status == 403


async def test_settings_are_found_by_the_beginning_of_their_key(world: World) -> None:
    first = next(iter(SETTINGS)).key
    page = (await world.boss.call("list_settings", query=f"limit=100&prefix={first[:-1]}")).json()
    none = (await world.boss.call("list_settings", query="prefix=no.such")).json()

    wanted = [setting.key for setting in SETTINGS if setting.key.startswith(first[:-1])]
    assert [item["key"] for item in page["items"]] == wanted
    assert 0 < len(wanted) < len(list(SETTINGS))
    assert none == {"items": [], "next_cursor": None}


async def test_settings_are_listed_a_page_at_a_time(world: World) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await world.boss.call("list_settings", query=f"limit=1{cursor}")).json()
        seen += [item["key"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == [setting.key for setting in SETTINGS]


async def test_a_form_is_told_type_label_default_and_bounds_of_each_setting(world: World) -> None:
    forms = {form["key"]: form for form in (await world.boss.call("describe_setting_forms")).json()["items"]}

    assert list(forms) == [setting.key for setting in SETTINGS]
    form = forms[KEY]
    assert (form["type"], form["label"], form["default"]) == ("text", "Default model", "")
    assert (form["max_length"], form["choices"], form["scope"]) == (128, None, "tenant")


async def test_each_change_is_in_the_audit_trail_of_whose_value_it_is(world: World) -> None:
    await world.boss.put("ours")
    await world.boss.call("delete_setting")
    await world.boss.put("late", if_match='"no-such-state"')
    await world.admin.put("everybodys", query="scope=global")
    await world.admin_for_acme.put("everybodys-too", query="scope=global")

    async def trail(caller: Caller, route: str) -> list[tuple[str, str, str, str]]:
        entries = (await caller.call(route, query="limit=100")).json()["items"]
        return sorted(  # they are all of one moment
            (entry["action"], entry["subject"], entry["outcome"], entry["detail"].get("scope", ""))
            for entry in entries
            if entry["action"].startswith("setting")
        )

    assert await trail(world.boss, "list_audit") == [
        ("setting.delete", KEY, "done", "tenant"),
        ("setting.put", KEY, "done", "tenant"),
        ("setting.put", KEY, "refused", "tenant"),
    ]
    assert await trail(world.admin, "list_platform_audit") == [("setting.put", KEY, "done", "global")] * 2
