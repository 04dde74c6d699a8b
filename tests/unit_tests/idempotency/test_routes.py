"""Idempotency-Key over the routes: one effect on two instances, and the same answer ever after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.cosmos.container import Query
from shared.http.idempotency import LEASE_SECONDS
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, whole_app
from tests.unit_tests.idempotency.work import KilledError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.core.pipeline.transport import HttpRequest

    from tests.support.fakes import Answer

AT_ONCE = 50
KEY = {"idempotency-key": "order 66"}


@dataclass
class Instances:
    """Two instances of the app over one store, and the keys of one tenant."""

    first: WholeApp
    second: WholeApp
    boss: dict[str, str]

    async def at_once(self, route: str, call: Call) -> list[Answer]:
        apps = (self.first, self.second)
        return await asyncio.gather(*(apps[turn % 2].client.call(route, call) for turn in range(AT_ONCE)))

    async def must(self, route: str, call: Call) -> Any:  # noqa: ANN401  # JSON of any shape
        return (await self.first.must(route, call)).json()


@pytest.fixture
async def app() -> AsyncIterator[Instances]:
    async with whole_app() as first:
        await first.new_tenant("acme")
        boss = await first.new_key("acme", Role.TENANT_ADMIN)
        await first.must("save_bot", Call.of({"system_prompt": "Be brief."}, headers=boss, bot_id="b"))
        prompt = Call.of({"template": "Hello {who}"}, headers=boss, name="greeting")
        await first.must("save_prompt", prompt)
        yield Instances(first, first.another_instance(), boss)


@pytest.mark.slow
async def test_most_of_those_that_come_at_once_meet_the_first_at_work(app: Instances) -> None:
    async def let_others_run() -> None:
        for _ in range(3):  # as often as a request over a network
            await asyncio.sleep(0)

    app.first.cosmos.transport.fault = let_others_run
    call = Call.of({"message": "hi"}, headers=app.boss | KEY, bot_id="b")

    answers = await app.at_once("chat", call)

    assert sum(answer.status == 409 for answer in answers) > AT_ONCE / 2


@pytest.mark.parametrize(
    ("route", "one", "other"),
    [
        ("chat", {"message": "hi"}, {"message": "ho"}),
        ("accept_job", {"text": "think"}, {"text": "think again"}),
        ("accept_job", {"text": "think", "id": "j1"}, {"text": "think", "id": "j2"}),
        ("create_tenant", {"tenant_id": "globex", "name": "x"}, {"tenant_id": "initech", "name": "x"}),
    ],
)
async def test_the_same_key_with_another_body_is_422_and_names_the_header(
    app: Instances, route: str, one: object, other: object
) -> None:
    caller = app.first.admin if route == "create_tenant" else app.boss
    path = {"bot_id": "b"} if route == "chat" else {}
    await app.first.must(route, replace(Call.of(one, headers=caller | KEY), path=path))

    refused = await app.second.client.call(route, replace(Call.of(other, headers=caller | KEY), path=path))

    assert (refused.status, refused.json()["error"]) == (422, "IdempotencyKeyReusedError")
    assert list(refused.json()["detail"]["fields"]) == ["header.idempotency-key"]


async def test_the_same_key_on_another_path_or_with_another_query_is_another_request(app: Instances) -> None:
    await app.must("save_bot", Call.of({"system_prompt": "x"}, headers=app.boss, bot_id="other"))
    said = Call.of({"message": "hi"}, headers=app.boss | KEY, bot_id="b")
    lock = Call.of({"app_id": "a", "token_count": 5}, headers=app.boss | KEY)
    await app.must("chat", said)
    await app.must("lock_tokens", lock)

    elsewhere = await app.first.client.call("chat", replace(said, path={"bot_id": "other"}))
    strictly = await app.first.client.call("lock_tokens", replace(lock, query="strict=true"))

    assert (elsewhere.status, strictly.status) == (422, 422)


@pytest.mark.parametrize("key", ["", "x" * 256, "nöt ascii", "tab\there", "a\x00b"])
async def test_a_key_that_is_none_is_422_and_nothing_is_done(app: Instances, key: str) -> None:
    call = Call.of({"text": "think"}, headers=app.boss | {"idempotency-key": key})

    refused = await app.first.client.call("accept_job", call)

    assert refused.status == 422
    assert list(refused.json()["detail"]["fields"]) == ["header.idempotency-key"]
    assert (await app.must("list_jobs", Call(headers=app.boss)))["items"] == []


async def test_tenants_share_no_keys(app: Instances) -> None:
    await app.first.new_tenant("globex")
    stranger = await app.first.new_key("globex", Role.TENANT_ADMIN)
    ours = await app.must("accept_job", Call.of({"text": "ours"}, headers=app.boss | KEY))

    theirs = await app.must("accept_job", Call.of({"text": "theirs"}, headers=stranger | KEY))

    assert theirs["job_id"] != ours["job_id"]


async def test_what_was_refused_before_it_was_begun_leaves_the_key_free(app: Instances) -> None:
    invalid = await app.first.client.call(
        "chat", Call.of({"message": ""}, headers=app.boss | KEY, bot_id="b")
    )
    valid = await app.first.client.call("chat", Call.of({"message": "x"}, headers=app.boss | KEY, bot_id="b"))

    assert (invalid.status, valid.status) == (422, 200)


async def test_a_refusal_by_the_service_is_given_again_byte_for_byte(app: Instances) -> None:
    call = Call.of({"message": "x"}, headers=app.boss | KEY, bot_id="nobody")

    first = await app.first.client.call("chat", call)
    app.first.clock.advance(60)
    again = await app.second.client.call(
        "chat", replace(call, headers={**call.headers, "x-request-id": "mine"})
    )

    assert first.status == 404
    assert again.body == first.body
    assert again.headers["x-request-id"] == "mine"


async def test_key_creation_is_exempt_and_its_secret_is_stored_nowhere(app: Instances) -> None:
    call = Call.of({"name": "x"}, headers=app.boss | KEY, tenant_id="acme")

    keys = [(await app.must("create_key", call))["key"] for _ in range(2)]

    assert keys[0] != keys[1]
    claims = app.first.cosmos.container("idempotency")
    found = await claims.query(("acme",), Query("SELECT c.id, c.answer FROM c"))
    assert found == []


async def test_without_a_key_each_request_is_its_own(app: Instances) -> None:
    call = Call.of({"text": "think"}, headers=app.boss)

    jobs = {(await app.must("accept_job", call))["job_id"] for _ in range(3)}

    assert len(jobs) == 3


async def test_a_job_that_its_key_names_costs_the_store_nothing_more(app: Instances) -> None:
    transport = app.first.cosmos.transport

    async def requests(**headers: str) -> int:
        before = transport.requests
        await app.must("accept_job", Call.of({"text": "think"}, headers=app.boss | headers))
        return transport.requests - before

    await requests()  # warm
    assert await requests() == await requests(**KEY)


async def test_a_store_that_is_down_is_503_and_nothing_is_done(app: Instances) -> None:
    call = Call.of({"message": "hi", "conversation_id": "c"}, headers=app.boss | KEY, bot_id="b")
    app.first.cosmos.transport.watch = lambda request: (
        setattr(app.first.cosmos.transport, "lose_requests", 1) if "/idempotency/" in request.url else None
    )

    refused = await app.first.client.call("chat", call)
    app.first.cosmos.transport.watch = lambda _: None

    assert refused.status == 503
    shown = await app.first.client.call(
        "get_conversation", Call({"bot_id": "b", "conversation_id": "c"}, headers=app.boss)
    )
    assert shown.status == 404


@pytest.mark.parametrize("conversation", [{}, {"conversation_id": "c"}], ids=["new", "named"])
async def test_a_turn_that_a_crash_kept_from_its_caller_is_neither_repeated_nor_paid_again(
    app: Instances, conversation: dict[str, str]
) -> None:
    call = Call.of({"message": "hi"} | conversation, headers=app.boss | KEY, bot_id="b")
    transport = app.first.cosmos.transport

    def die_before_the_answer_is_kept(request: HttpRequest) -> None:
        if "/idempotency/" in request.url and request.method == "PATCH":
            raise KilledError

    transport.watch = die_before_the_answer_is_kept
    assert (await app.first.client.call("chat", call)).status == 500
    transport.watch = lambda _: None
    waiting = await app.second.client.call("chat", call)
    app.first.clock.advance(LEASE_SECONDS)
    later = Call.of({"message": "meanwhile"} | conversation, headers=app.boss, bot_id="b")
    await app.must("chat", later)

    again = await app.second.client.call("chat", call)

    assert (waiting.status, again.status) == (409, 200)
    assert (again.json()["response"], again.json()["turn"]) == ("You said: hi", 1)
    told = Call({"bot_id": "b", "conversation_id": again.json()["conversation_id"]}, headers=app.boss)
    turns = (await app.must("get_conversation", told))["items"]
    assert [turn["message"] for turn in turns] == ["hi"] + ["meanwhile"] * len(conversation)
    assert (await app.second.client.call("chat", call)).body == again.body


async def test_a_turn_that_died_with_its_model_call_is_asked_once_more(app: Instances) -> None:
    call = Call.of({"message": "hi", "conversation_id": "c"}, headers=app.boss | KEY, bot_id="b")
    transport = app.first.cosmos.transport

    def die_before_the_turn_is_answered(request: HttpRequest) -> None:
        if "/conversations/" in request.url and "You said" in str(request.data):
            transport.lose_requests = 99  # the dead clean nothing up
            raise KilledError

    transport.watch = die_before_the_turn_is_answered
    assert (await app.first.client.call("chat", call)).status == 500
    transport.watch, transport.lose_requests = lambda _: None, 0
    app.first.clock.advance(LEASE_SECONDS)

    again = await app.second.client.call("chat", call)

    assert (again.status, again.json()["turn"]) == (200, 2)
    shown = await app.must(
        "get_conversation", Call({"bot_id": "b", "conversation_id": "c"}, headers=app.boss)
    )
    assert [turn["status"] for turn in shown["items"]] == ["pending", "done"]


async def test_an_administrators_answer_is_no_tenants(app: Instances) -> None:
    body = {"prompts": [{"name": "everybodys", "template": "x"}]}
    call = Call.of(body, headers=app.first.admin | {"x-tenant-id": "acme"} | KEY)
    call = replace(call, query="scope=global")

    allowed = await app.first.client.call("batch_save_prompts", call)
    refused = await app.second.client.call("batch_save_prompts", replace(call, headers=app.boss | KEY))

    assert (allowed.status, allowed.json()["succeeded"]) == (200, 1)
    assert refused.status == 403
