"""Contents of model calls through their route: on and off, whose they are, for how long, and that they go."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import EPOCH, Call, StillClock
from tests.support.whole_app import MemoryBlobs, app_of
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from tests.support.whole_app import WholeApp

ASKED = "What is the number of my locker?"


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme", "globex", tier="free", clock=StillClock()) as app:
        await app.load_tokenizer()
        yield app


@pytest.fixture
async def boss(app: WholeApp) -> dict[str, str]:
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await app.must("save_bot", Call.of({"system_prompt": "Be brief."}, headers=key, bot_id="b"))
    return key


def contents_of(app: WholeApp) -> dict[str, bytes]:
    blobs: MemoryBlobs = app.runtime.__dict__["content_blobs"]
    return blobs.blobs


async def switch(
    app: WholeApp, key: Mapping[str, str], name: str = "logs.keep_content", *, value: object = True
) -> None:
    await app.must("put_setting", Call.of({"value": value}, headers=dict(key), key=name))


async def ask(app: WholeApp, key: Mapping[str, str], request_id: str, message: str = ASKED) -> None:
    headers = {**key, "x-request-id": request_id}
    await app.must("chat", Call.of({"message": message}, headers=headers, bot_id="b"))
    await settle(app)


async def settle(app: WholeApp) -> None:
    """Let everything be kept that is in work."""
    await app.runtime.content_keeper.close()


async def show(app: WholeApp, key: Mapping[str, str], request_id: str, query: str = "") -> Any:  # noqa: ANN401  # asserted by the test
    call = Call({"request_id": request_id}, query, dict(key))
    answer = await app.client.call("get_call_content", call)
    return answer.json() if answer.status == 200 else (answer.status, answer.json()["error"])


async def test_nothing_is_kept_unless_the_tenant_asks_for_it(app: WholeApp, boss: dict[str, str]) -> None:
    await ask(app, boss, "r-1")

    assert contents_of(app) == {}
    assert await show(app, boss, "r-1") == (404, "ContentNotKeptError")


async def test_what_was_sent_and_answered_is_shown_by_its_request(
    app: WholeApp, boss: dict[str, str]
) -> None:
    await switch(app, boss)
    await ask(app, boss, "r-1")

    shown = await show(app, boss, "r-1")

    assert shown["next_cursor"] is None
    [call] = shown["items"]
    assert call["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED},
    ]
    assert call["answers"] == [{"role": "assistant", "content": f"You said: {ASKED}"}]
    assert (call["bot_id"], call["turn"], call["status"]) == ("b", 1, "succeeded")
    assert await show(app, boss, "r-2") == (404, "ContentNotKeptError")
    await switch(app, boss, value=False)
    await ask(app, boss, "r-3")
    assert await show(app, boss, "r-3") == (404, "ContentNotKeptError")


async def test_calls_of_each_interface_are_kept(app: WholeApp, boss: dict[str, str]) -> None:
    await switch(app, boss)
    said = [{"role": "user", "content": ASKED}]
    bodies: Mapping[str, tuple[str, dict[str, Any]]] = {
        "completion": ("create_chat_completion", {"model": "gpt-4o", "messages": said}),
        "stream": ("create_chat_completion", {"model": "gpt-4o", "messages": said, "stream": True}),
        "response": ("create_response", {"model": "bot/b", "input": ASKED}),
    }
    for request_id, (name, body) in bodies.items():
        await app.must(name, Call.of(body, headers=boss | {"x-request-id": request_id}))
    await app.must("accept_job", Call.of({"id": "j", "text": ASKED}, headers=boss))
    ((_, _, message),) = app.runtime.sender.sent  # type: ignore[attr-defined]  # the one in memory
    await app.functions["run_job"](FakeDelivery(message.body))
    await settle(app)

    for request_id in bodies:
        [call] = (await show(app, boss, request_id))["items"]
        assert call["messages"][-1]["content"] == ASKED
        assert call["answers"][0]["content"] == f"You said: {ASKED}"
    kept = [json.loads(content) for content in contents_of(app).values()]
    steps = {one["step"]: one for one in kept if one["job_id"] == "j"}
    assert set(steps) == {"reason", "summarise"}
    assert ASKED in steps["reason"]["messages"][-1]["content"]


async def test_nobody_but_the_tenants_administrators_reads_it(app: WholeApp, boss: dict[str, str]) -> None:
    await switch(app, boss)
    await ask(app, boss, "r-1")
    stranger = await app.new_key("globex", Role.TENANT_ADMIN)
    user = await app.new_key("acme", Role.USER)

    assert await show(app, stranger, "r-1") == (404, "ContentNotKeptError")
    assert (await show(app, user, "r-1"))[0] == 403
    assert (await show(app, {}, "r-1"))[0] == 401


async def test_each_reading_is_in_the_audit_trail_and_none_is_without_it(
    app: WholeApp, boss: dict[str, str]
) -> None:
    await switch(app, boss)
    await ask(app, boss, "r-1")
    for request_id in ("r-1", "r-2", "2620:4222222222222"):
        await show(app, boss, request_id)

    entries = (await app.must("list_audit", Call(query="action=content.read", headers=boss))).json()["items"]

    assert {(entry["subject"], entry["outcome"]) for entry in entries} == {
        ("2620:[card]", "done"),
        ("r-2", "done"),
        ("r-1", "done"),
    }
    assert {entry["actor"]["kind"] for entry in entries} == {"key"}


async def test_the_calls_of_a_request_are_paged_in_their_order(app: WholeApp, boss: dict[str, str]) -> None:
    await switch(app, boss)
    for number in range(5):
        await ask(app, boss, "r-1", f"{number}")
        app.clock.advance(86_400 if number == 2 else 1)

    pages: list[list[str]] = []
    query = "limit=2"
    while query:
        page = await show(app, boss, "r-1", query)
        pages.append([call["messages"][-1]["content"] for call in page["items"]])
        query = f"limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert pages == [["0", "1"], ["2", "3"], ["4"]]


async def test_a_content_that_cannot_be_read_hides_no_other(app: WholeApp, boss: dict[str, str]) -> None:
    await switch(app, boss)
    await ask(app, boss, "r-1", "first")
    [broken] = contents_of(app)
    contents_of(app)[broken] = b"{"
    app.clock.advance(1)
    await ask(app, boss, "r-1", "second")

    [call] = (await show(app, boss, "r-1"))["items"]

    assert call["messages"][-1]["content"] == "second"


def days_of(names: Iterable[str]) -> list[str]:
    return sorted(name.split("/")[1] for name in names)


@pytest.mark.parametrize(("of_chat", "kept"), [(None, 8), (0, 8), (3, 3), (3_000, 8)])
@pytest.mark.slow
async def test_contents_go_when_lines_do_or_conversations_where_these_go_first(
    app: WholeApp, boss: dict[str, str], of_chat: int | None, kept: int
) -> None:
    if of_chat is not None:
        await switch(app, boss, "chat.retention_days", value=of_chat)
    days = [(EPOCH.date() - timedelta(days=back)).isoformat() for back in range(12)]
    for day in days:
        contents_of(app)[f"acme/{day}/{0:032x}-103000000000-0.json"] = b"{}"
    await app.tick("tidy_logs")

    assert days_of(contents_of(app)) == sorted(days)[-kept:]


async def test_contents_are_part_of_export_and_purge_and_of_its_proof(
    app: WholeApp, boss: dict[str, str]
) -> None:
    await switch(app, boss)
    await ask(app, boss, "r-1")
    [name] = contents_of(app)
    contents_of(app)["globex/2026-01-31/x.json"] = b"{}"
    export = Call(query="limit=100", headers=boss, path={"tenant_id": "acme"})
    things = (await app.must("export_tenant", export)).json()["items"]
    asked = Call({"tenant_id": "acme"}, f"container=content&name={name}", boss)
    part = (await app.must("export_blob", asked)).json()

    await app.must("purge_tenant", Call(headers=app.admin, path={"tenant_id": "acme"}))
    app.clock.advance(700)
    await app.tick("go_on_purging")
    app.clock.advance(700)
    await app.tick("go_on_purging")
    proof = (await app.must("purge_tenant", Call(headers=app.admin, path={"tenant_id": "acme"}))).json()[
        "purge"
    ]

    assert [one["blob"]["name"] for one in things if one["container"] == "blobs:content"] == [name]
    assert part["size"] > len(ASKED)
    assert list(contents_of(app)) == ["globex/2026-01-31/x.json"]
    assert (proof["removed"]["blobs:content"], proof["counts"]["blobs:content"]) == (1, 0)
    assert proof["finished_at"] is not None
