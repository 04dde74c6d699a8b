"""The catalogue through its routes, on the app in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer

OURS = {
    "model": "gpt-4o",
    "base_url": "https://ours.openai.azure.com",
    "deployment": "gpt-4o-eu",
    "fallbacks": ["gpt-4.1"],
}


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme") as opened:
        yield opened


async def put(app: WholeApp, name: str, **entry: object) -> Answer:
    return await app.client.call("put_model", Call.of(dict(entry), headers=app.admin, name=name))


async def listed(app: WholeApp, headers: dict[str, str], query: str = "limit=100") -> dict[str, Any]:
    answer = (await app.must("list_models", Call(query=query, headers=headers))).json()
    return {item["name"]: item for item in answer["items"]}


async def allow(app: WholeApp, *names: str) -> None:
    headers = app.admin | {"x-tenant-id": "acme"}
    call = Call.of({"value": list(names)}, headers=headers, key="models.allowed")
    await app.must("put_setting", call)


async def test_the_administrator_sees_where_a_model_is_called_and_a_tenant_does_not(app: WholeApp) -> None:
    stored = await put(app, "ours", **OURS)
    user = await app.new_key("acme", Role.TENANT_ADMIN)

    assert stored.status == 200
    assert stored.json()["connection"] == {
        "model": "gpt-4o",
        "base_url": "https://ours.openai.azure.com",
        "api_version": None,
        "deployment": "gpt-4o-eu",
        "key_setting": None,
    }
    assert stored.headers["etag"] == stored.json()["etag"]
    assert (await listed(app, app.admin))["ours"] == stored.json()
    assert (await listed(app, user))["ours"] == stored.json() | {"connection": None}
    assert (await listed(app, app.admin | {"x-tenant-id": "acme"}))["ours"] == stored.json()


async def test_how_images_are_counted_and_how_long_vectors_are_is_shown(app: WholeApp) -> None:
    patches = {"patches": 1536, "factor": 1.62}
    drawn = (await put(app, "drawn", images=patches)).json()
    vectors = (await put(app, "vectors", kind="embeddings", dimensions=256)).json()
    shown = await listed(app, await app.new_key("acme", Role.USER))

    assert drawn["images"] == {"base": None, "tile": None} | patches
    assert (vectors["images"], vectors["dimensions"], vectors["connection"]["model"]) == (None, 256, None)
    assert shown["gpt-4o"]["images"] == {"base": 85, "tile": 170, "patches": None, "factor": None}
    assert (shown["gpt-4o"]["takes_images"], shown["gpt-4o"]["dimensions"]) == (True, None)


async def test_a_tenant_sees_what_it_may_use(app: WholeApp) -> None:
    await put(app, "ours", **OURS)
    await put(app, "off", model="gpt-4o", enabled=False)
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    assert {"ours", "gpt-4o"} <= set(await listed(app, boss))
    assert "off" not in await listed(app, boss)
    assert (await listed(app, app.admin))["off"]["enabled"] is False
    await allow(app, "ours", "off", "gone")
    assert set(await listed(app, boss)) == {"ours"}


async def test_pages_and_beginnings_of_names(app: WholeApp) -> None:
    for name in ("a1", "a2", "a3"):
        await put(app, name, model="gpt-4o")
    assert set(await listed(app, app.admin, "prefix=a&limit=100")) == {"a1", "a2", "a3"}
    first = (await app.must("list_models", Call(query="prefix=a&limit=2", headers=app.admin))).json()
    query = f"prefix=a&limit=2&cursor={first['next_cursor']}"
    second = (await app.must("list_models", Call(query=query, headers=app.admin))).json()
    assert [item["name"] for item in first["items"] + second["items"]] == ["a1", "a2", "a3"]
    assert second["next_cursor"] is None


async def test_only_the_administrator_changes_models(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    call = Call.of(OURS, headers=boss, name="ours")
    assert (await app.client.call("put_model", call)).status == 403
    assert (await app.client.call("delete_model", Call(headers=boss, path={"name": "gpt-4o"}))).status == 403


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"key_setting": "ADMIN_API_KEY", "base_url": "https://a.openai.azure.com"}, "body.key_setting"),
        ({"base_url": "http://a.openai.azure.com"}, "body.base_url"),
        ({"base_url": "https://evil.example"}, "body"),
        ({"model": "no-such-model"}, "body.model"),
        ({"unknown": 1}, "body.unknown"),
        ({"max_output_tokens": "5"}, "body.max_output_tokens"),
        ({"provider": "aws"}, "body.provider"),
        ({"retires_on": "soon"}, "body.retires_on"),
        ({"price": {"prompt": "1"}}, "body.price.completion"),
        ({"fallbacks": ["a", "b", "c", "d", "e", "f"]}, "body.fallbacks"),
    ],
)
async def test_a_malformed_entry_is_refused_by_its_field(
    app: WholeApp, entry: dict[str, object], field: str
) -> None:
    answer = await put(app, "ours", **entry)
    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, [field])
    assert "ours" not in await listed(app, app.admin)


async def test_an_entry_has_up_to_five_fallbacks(app: WholeApp) -> None:
    stored = await put(app, "ours", fallbacks=["a", "b", "c", "d", "e"])
    assert (stored.status, stored.json()["fallbacks"]) == (200, ["a", "b", "c", "d", "e"])


async def test_no_list_begins_with_what_no_name_does(app: WholeApp) -> None:
    refused = await app.client.call("list_models", Call(query="prefix=-a", headers=app.admin))
    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["query.prefix"])


@pytest.mark.parametrize("name", ["-a", "a b", "a" * 129, "a\n"])
async def test_a_malformed_name_is_refused(app: WholeApp, name: str) -> None:
    assert (await put(app, name, model="gpt-4o")).status in {404, 422}


async def test_a_change_keeps_two_administrators_apart_and_is_in_the_audit_trail(app: WholeApp) -> None:
    etag = (await put(app, "ours", **OURS)).json()["etag"]
    await put(app, "ours", model="o3")
    stale = Call.of(OURS, headers=app.admin | {"if-match": etag}, name="ours")
    assert (await app.client.call("put_model", stale)).status == 412

    await app.must("delete_model", Call(headers=app.admin, path={"name": "ours"}))
    again = await app.client.call("delete_model", Call(headers=app.admin, path={"name": "ours"}))
    assert (again.status, again.json()["error"]) == (404, "ModelEntryNotFoundError")
    trail = (await app.must("list_platform_audit", Call(headers=app.admin))).json()["items"]
    assert {("model.put", "ours"), ("model.delete", "ours")} <= {(e["action"], e["subject"]) for e in trail}


async def test_a_bot_or_a_job_names_only_what_the_tenant_may_use(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    await put(app, "secret", model="gpt-4o")
    await allow(app, "gpt-4o")
    told = set()
    for name in ("secret", "absent"):
        bot = {"system_prompt": "x", "llm": {"model": name}}
        saved = await app.client.call("save_bot", Call.of(bot, headers=boss, bot_id="b"))
        job = await app.client.call("accept_job", Call.of({"text": "x", "model": name}, headers=boss))
        for answer, field in ((saved, "body.llm.model"), (job, "body.model")):
            assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, [field])
        told.add(saved.json()["message"].replace(name, "it"))
    assert len(told) == 1


async def test_a_stored_bot_whose_model_is_gone_is_a_conflict_that_takes_nothing(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    await put(app, "ours", model="gpt-4o")
    bot = {"system_prompt": "x", "llm": {"model": "ours"}}
    await app.must("save_bot", Call.of(bot, headers=boss, bot_id="b"))
    await app.must("chat", Call.of({"message": "hi"}, headers=boss, bot_id="b"))
    await app.must("delete_model", Call(headers=app.admin, path={"name": "ours"}))

    answer = await app.client.call("chat", Call.of({"message": "hi"}, headers=boss, bot_id="b"))

    assert (answer.status, answer.json()["error"]) == (409, "ModelUnavailableError")
    assert answer.json()["detail"] == {"model": "ours"}
    status = (await app.must("get_token_status", Call(query="app_id=bot:b", headers=boss))).json()
    assert status["locked_tokens"] == 0


async def test_a_model_that_retires_soon_shows_it(app: WholeApp) -> None:
    await put(app, "old", model="gpt-4o", retires_on="2026-03-01")  # the clock's day is 31 January
    known = await listed(app, await app.new_key("acme", Role.USER))
    assert (known["old"]["retires_in_days"], known["old"]["retires_soon"]) == (29, True)
    assert (known["gpt-4o"]["retires_on"], known["gpt-4o"]["retires_soon"]) == ("2027-04-14", False)


async def test_the_timer_warns_of_models_in_use_that_retire_soon(
    app: WholeApp, caplog: pytest.LogCaptureFixture
) -> None:
    await put(app, "old", model="gpt-4o", retires_on="2026-03-01")
    await put(app, "new", model="gpt-4o", retires_on="2026-09-01", fallbacks=["gpt-5.1-chat"])
    app.clock.advance(120 * 24 * 3600)  # the packaged gpt-5.1-chat retires on 29 June; gpt-5-chat too

    with caplog.at_level("WARNING"):
        await app.tick("warn_of_model_retirements")

    warned = [record.__dict__["model"] for record in caplog.records if "retires soon" in record.message]
    assert warned == ["gpt-5.1-chat", "old"]


async def test_no_model_has_a_name_by_which_a_call_means_a_bot(app: WholeApp) -> None:
    refused = await put(app, "bot/support", model="gpt-4o")
    taken = [await put(app, name, model="gpt-4o") for name in ("bot", "bots/support", "a/bot/b")]

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["path.name"])
    assert [answer.status for answer in taken] == [200, 200, 200]


@pytest.mark.parametrize("written", ["vendor/model:8b", "vendor%2Fmodel:8b", "vendor%2fmodel:8b"])
async def test_a_slash_in_a_name_is_one_however_the_host_gives_it(app: WholeApp, written: str) -> None:
    stored = await put(app, written, model="gpt-4o")

    assert (stored.status, stored.json()["name"]) == (200, "vendor/model:8b")
    removed = await app.client.call("delete_model", Call({"name": written}, headers=app.admin))
    assert removed.status == 204


async def test_another_method_on_a_name_with_a_slash_is_not_allowed(app: WholeApp) -> None:
    call = Call({"rest": "v1/model-catalogue/vendor/model"}, headers=app.admin, method="GET")
    refused = await app.client.call("unknown_route", call)
    assert (refused.status, refused.json()["detail"]["allowed"]) == (405, ["DELETE", "PUT"])
