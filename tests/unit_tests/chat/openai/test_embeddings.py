"""Embeddings are passed on as they came, metered as their own application's, and passed back untouched."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx2
import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.log_lines import kept_lines
from tests.support.openai_answers import embeddings_json
from tests.unit_tests.chat.openai.gateway import gateway

if TYPE_CHECKING:
    from tests.support.fakes import Answer
    from tests.unit_tests.chat.openai.gateway import Gateway, Json

SMALL = "text-embedding-3-small"


async def respond(body: Json) -> httpx2.Response:
    """Answer as OpenAI does: a vector for each input, and the tokens as they are."""
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    inputs = [inputs] if isinstance(inputs[0], int) else inputs
    tokens = sum(len(one) if isinstance(one, list) else 2 for one in inputs)
    return httpx2.Response(200, json=embeddings_json(len(inputs), tokens) | {"extra": "kept"})


async def embed(opened: Gateway, **changes: object) -> Answer:
    opened.provider.respond = opened.provider.respond or respond
    return await opened.send({"model": SMALL, "input": "hello world"} | changes, "create_embeddings")


async def refusal(opened: Gateway, **changes: object) -> tuple[int, str, str]:
    answer = await embed(opened, **changes)
    error = answer.json()["error"]
    return answer.status, error["param"], error["code"]


async def limit(opened: Gateway, **changes: int) -> None:
    pool = {"tokens_per_minute": 1_000, "requests_per_minute": 10} | changes
    limits = Call.of({"embeddings": pool}, headers=opened.app.admin, tenant_id="acme")
    await opened.app.must("put_limits", limits)


async def used(opened: Gateway) -> tuple[int, int]:
    call = Call(query="app_id=openai-embeddings", headers=opened.key)
    status = (await opened.app.must("get_token_status", call)).json()
    return status["used_tokens"], status["locked_tokens"]


@pytest.mark.parametrize(
    "asked",
    [
        {"input": "hello world"},
        {"input": ["hello", "world"], "dimensions": 2, "encoding_format": "float"},
        {"input": [15339, 1917], "encoding_format": "base64"},
        {"input": [[15339, 1917], [15339]]},
    ],
)
async def test_a_batch_of_each_form_is_passed_on_as_it_came(asked: Json) -> None:
    async with gateway() as opened:
        answer = await embed(opened, **asked)
        [body] = opened.provider.bodies

    assert answer.status == 200, answer.body
    assert body == asked | {"model": SMALL}


async def test_the_answer_is_passed_back_with_what_is_not_known_here_and_under_the_name_that_was_asked() -> (
    None
):
    async with gateway() as opened:
        body = {"model": SMALL, "deployment": "theirs"}
        call = Call.of(body, headers=opened.app.admin, name="our-embeddings")
        await opened.app.must("put_model", call)
        answer = await embed(opened, model="our-embeddings", input=["a", "b"])
        [sent] = opened.provider.bodies

    told = answer.json()
    assert (told["model"], told["extra"], sent["model"]) == ("our-embeddings", "kept", "theirs")
    assert [one["index"] for one in told["data"]] == [0, 1]
    assert float(answer.headers["x-tenantry-overhead-ms"]) >= 0
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) > 0


async def test_its_tokens_are_those_of_an_application_of_their_own() -> None:
    async with gateway() as opened:
        await embed(opened, input=["hello world"])
        await embed(opened, input=[[15339, 1917], [15339]])

        assert await used(opened) == (5, 0)
        call = Call(query="group_by=model,app_id", headers=opened.boss)
        [row] = (await opened.app.must("get_usage", call)).json()["items"]

    assert (row["model"], row["app_id"], row["total_tokens"]) == (SMALL, "openai-embeddings", 5)
    assert row["cost"]


async def test_a_call_that_certainly_used_nothing_gives_its_tokens_back() -> None:
    async def refuse(_: Json) -> httpx2.Response:
        return httpx2.Response(400, json={"error": {"code": "invalid_input", "message": "no"}})

    async with gateway() as opened:
        opened.provider.respond = refuse
        answer = await embed(opened)

        assert await used(opened) == (0, 0)
    assert answer.status == 400


async def test_an_answer_that_has_not_a_vector_for_each_input_is_none() -> None:
    async def forget(_: Json) -> httpx2.Response:
        return httpx2.Response(200, json=embeddings_json(1, 4))

    async with gateway() as opened:
        opened.provider.respond = forget
        answer = await embed(opened, input=["a", "b"])

        assert await used(opened) == (4, 0)
    assert answer.status == 503
    assert answer.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"input": ""}, (400, "input", "invalid_value")),
        ({"input": []}, (400, "input", "invalid_value")),
        ({"input": ["a", ""]}, (400, "input", "invalid_value")),
        ({"input": ["a"] * 2_049}, (400, "input", "invalid_value")),
        ({"input": 5}, (400, "input", "invalid_value")),
        ({"input": [[1], "a"]}, (400, "input", "invalid_value")),
        ({"input": [True]}, (400, "input", "invalid_value")),
        ({"input": [-1]}, (400, "input", "invalid_value")),
        ({"input": [[]]}, (400, "input", "invalid_value")),
        ({"input": [[1] * 150_001] * 2}, (400, "input", "invalid_value")),
        ({"dimensions": 0}, (400, "dimensions", "invalid_value")),
        ({"encoding_format": "hex"}, (400, "encoding_format", "invalid_value")),
        ({"nothing": 1}, (400, "nothing", "unknown_parameter")),
        ({"model": "gpt-4o"}, (404, "model", "model_not_found")),
        ({"model": "text-embedding-4"}, (404, "model", "model_not_found")),
    ],
)
async def test_what_is_not_taken_is_refused_by_name_and_asks_nobody(
    changes: Json, expected: tuple[int, str, str]
) -> None:
    async with gateway() as opened:
        assert await refusal(opened, **changes) == expected
        assert not opened.provider.bodies


@pytest.mark.parametrize(
    ("model", "changes", "most"),
    [
        ("text-embedding-3-large", {}, 1_167),
        ("text-embedding-3-large", {"encoding_format": "float"}, 1_167),
        ("text-embedding-3-large", {"encoding_format": "base64"}, 2_048),
        ("text-embedding-3-large", {"dimensions": 1_536}, 2_048),
        (SMALL, {}, 2_048),
        (SMALL, {"dimensions": 4_096}, 876),
    ],
)
async def test_a_batch_whose_vectors_are_too_large_to_pass_on_is_refused_before_it_is_paid(
    model: str, changes: Json, most: int
) -> None:
    async with gateway() as opened:
        largest = await embed(opened, model=model, input=["a"] * most, **changes)
        if most < 2_048:
            assert await refusal(opened, model=model, input=["a"] * (most + 1), **changes) == (
                400,
                "input",
                "invalid_value",
            )
        asked = len(opened.provider.bodies)

    assert (largest.status, asked) == (200, 1)


async def test_a_model_that_the_tenant_may_not_use_looks_like_one_that_there_is_not() -> None:
    async with gateway() as opened:
        headers = opened.app.admin | {"x-tenant-id": "acme"}
        allowed = Call.of({"value": ["gpt-4o"]}, headers=headers, key="models.allowed")
        await opened.app.must("put_setting", allowed)

        assert await refusal(opened) == (404, "model", "model_not_found")


async def test_a_budget_that_is_used_up_refuses_the_batch_before_it_is_sent() -> None:
    async with gateway() as opened:
        await limit(opened, tokens_per_minute=10)
        await embed(opened, input=[[1] * 8])
        answer = await embed(opened, input=[[1] * 8])

        assert len(opened.provider.bodies) == 1
    assert (answer.status, answer.json()["error"]["type"]) == (429, "tokens")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_pool_that_is_used_up_leaves_chats_and_other_tenants_theirs() -> None:
    async with gateway() as opened:
        await limit(opened, tokens_per_minute=10)
        await embed(opened, input=[[1] * 10])
        refused = await embed(opened, input=[[1]])
        opened.provider.respond = None
        chat = await opened.send({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]})
        own = (
            await opened.app.must("get_token_status", Call(query="app_id=openai", headers=opened.key))
        ).json()
        await opened.app.new_tenant("globex")
        opened.key = await opened.app.new_key("globex", Role.USER)
        theirs = await embed(opened, input=[[1] * 10])

    assert (refused.status, chat.status, theirs.status) == (429, 200, 200)
    assert own["used_tokens"] == 25


async def test_the_provider_is_told_a_hash_of_the_user_alone() -> None:
    async with gateway() as opened:
        await embed(opened, user="ann@example.com")
        [body] = opened.provider.bodies

    assert len(body["user"]) == 40
    assert "ann" not in json.dumps(body)


async def test_another_deployment_answers_only_where_it_serves_the_same_model() -> None:
    async def limited(body: Json) -> httpx2.Response:
        if body["model"] == "first":
            return httpx2.Response(429, headers={"retry-after": "60"}, json={"error": {"code": "slow"}})
        return await respond(body)

    async with gateway() as opened:
        entries: dict[str, Json] = {
            "large": {"model": "text-embedding-3-large"},
            "second": {"model": SMALL, "deployment": "second"},
            "first": {"model": SMALL, "deployment": "first", "fallbacks": ["large", "second"]},
        }
        for name, entry in entries.items():
            await opened.app.must("put_model", Call.of(entry, headers=opened.app.admin, name=name))
        opened.provider.respond = limited
        answer = await embed(opened, model="first")

    assert answer.status == 200, answer.body
    assert [body["model"] for body in opened.provider.bodies] == ["first", "second"]


async def test_large_batches_of_a_tenant_wait_for_each_other_and_small_ones_do_not() -> None:
    begun: list[int] = []
    go = asyncio.Event()

    async def wait(body: Json) -> httpx2.Response:
        begun.append(len(body["input"]))
        await go.wait()
        return await respond(body)

    async with gateway() as opened:
        opened.provider.respond = wait
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(embed(opened, input=["a"] * 128))
            group.create_task(embed(opened, input=["a"] * 127))
            while sorted(begun) != [127, 128]:  # noqa: ASYNC110  # nothing else tells that a request has come
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            waiting = list(begun)
            go.set()

    assert sorted(waiting) == [127, 128]
    assert sorted(begun) == [127, 128, 128]


async def test_a_key_that_is_bound_to_a_user_names_no_other() -> None:
    async with gateway() as opened:
        bound = {"name": "ann's", "role": Role.USER, "user_id": "ann"}
        made = await opened.app.must("create_key", Call.of(bound, headers=opened.app.admin, tenant_id="acme"))
        opened.key = {"authorization": f"Bearer {made.json()['key']}"}
        answer = await embed(opened, user="bob")

    assert answer.status == 403


async def test_each_call_is_recorded_without_a_word_of_it() -> None:
    async with gateway() as opened:
        with kept_lines("shared.llm.call_recorder") as lines:
            await embed(opened, input=["secret words"], user="ann")

    (line,) = lines
    told = {name: line["extra"][name] for name in ("model", "app_id", "user_id", "status", "attempts")}
    assert told == {
        "model": SMALL,
        "app_id": "openai-embeddings",
        "user_id": "ann",
        "status": "succeeded",
        "attempts": 1,
    }
    assert (line["extra"]["prompt_tokens"], line["extra"]["completion_tokens"]) == (2, 0)
    assert "secret" not in json.dumps(line)
