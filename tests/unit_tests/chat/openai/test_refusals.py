"""Refusals have OpenAI's form wherever they come from: its clients raise what their callers expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from functions.chat.openai.dialect import OPENAI, SERVED, OpenAIErrorReply
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.unit_tests.chat.openai.gateway import CREATE, HELLO, gateway

if TYPE_CHECKING:
    from tests.unit_tests.chat.openai.gateway import Json

USER = {"role": "user", "content": "x"}
IMAGE = {"type": "image_url"}
ODD_TYPES: tuple[object, ...] = ([], {}, None, 1)
ODD_DETAILS: tuple[object, ...] = ([], {}, 1)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "x"}, "messages", "invalid_type"),
        ({"audio": {"voice": "alloy"}}, "audio", "unknown_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "invalid_value"),
        ({"store": True}, "store", "invalid_value"),
        ({"service_tier": "priority"}, "service_tier", "invalid_value"),
        ({"n": 129}, "n", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": ["function"]}]}, "tools[0].type", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_value"),
        ({"max_tokens": 999_999}, "max_tokens", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        (
            {"messages": [USER, {"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[1].content[0].type",
            "invalid_value",
        ),
        *(
            (
                {"messages": [{"role": "user", "content": [{"type": odd}]}]},
                "messages[0].content[0].type",
                "invalid_value",
            )
            for odd in ODD_TYPES
        ),
        *(
            (
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [IMAGE | {"image_url": {"url": "https://a.example/b", "detail": odd}}],
                        }
                    ]
                },
                "messages[0].content[0].image_url.detail",
                "invalid_value",
            )
            for odd in ODD_DETAILS
        ),
    ],
)
async def test_a_parameter_that_is_not_taken_is_named(changes: Json, param: str, code: str) -> None:
    async with gateway() as opened:
        status, error = await opened.refuse(**changes)

        assert not opened.provider.bodies
    assert status == 400
    assert (error["param"] or "").startswith(param)
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


async def test_a_missing_parameter_is_named() -> None:
    async with gateway() as opened:
        answer = await opened.send({"model": "gpt-4o"})

    assert answer.status == 400
    assert answer.json()["error"]["param"] == "messages"
    assert answer.json()["error"]["code"] == "missing_required_parameter"


@pytest.mark.parametrize("model", ["gpt-17", "bot/nobody", "no such model", "../x", "bot/"])
async def test_a_model_that_there_is_not_is_a_404(model: str) -> None:
    async with gateway() as opened:
        status, error = await opened.refuse(model=model)

    assert status == 404
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")


async def test_a_model_that_the_tenant_may_not_use_looks_as_one_that_there_is_not() -> None:
    async with gateway() as opened:
        call = Call.of(
            {"value": ["gpt-4.1"]}, headers=opened.app.admin | {"x-tenant-id": "acme"}, key="models.allowed"
        )
        await opened.app.must("put_setting", call)

        foreign = await opened.refuse(model="gpt-4o")
        absent = await opened.refuse(model="gpt-4u")

    assert foreign[0] == absent[0] == 404
    assert foreign[1] | {"message": ""} == absent[1] | {"message": ""}
    assert foreign[1]["message"].replace("gpt-4o", "gpt-4u") == absent[1]["message"]


async def test_a_wrong_key_is_refused_as_openai_does() -> None:
    async with gateway() as opened:
        call = Call.of(HELLO, headers={"authorization": "Bearer nonsense"})
        answer = await opened.app.client.call(CREATE, call)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_a_body_that_is_no_json_or_too_large_is_refused_so() -> None:
    async with gateway() as opened:
        garbled = await opened.app.client.call(CREATE, Call(headers=opened.key, body=b"{"))
        large = await opened.app.client.call(CREATE, Call(headers=opened.key, body=b" " * 2_000_000))

    assert [garbled.status, large.status] == [400, 413]
    assert garbled.json()["error"]["type"] == "invalid_request_error"
    assert large.json()["error"]["code"] == "request_too_large"


async def test_another_method_is_refused_so() -> None:
    async with gateway() as opened:
        call = Call({"rest": "v1/chat/completions"}, method="PUT")
        wrong = await opened.app.client.call("unknown_route", call)

    assert wrong.status == 405
    assert wrong.headers["allow"] == "POST"
    assert wrong.json()["error"]["code"] == "method_not_supported"


@pytest.mark.parametrize(
    "path",
    ["audio/speech", "files", "files/f1/content", "completions", "chat/nothing", "responses/r1/nothing"],
)
async def test_a_path_of_openais_without_a_route_is_refused_so_and_what_there_is_is_named(path: str) -> None:
    async with gateway() as opened:
        call = Call({"rest": f"v1/{path}"}, method="PATCH")
        unknown = await opened.app.client.call("unknown_route", call)

    error = unknown.json()["error"]
    assert (unknown.status, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
    assert f"/api/v1/{path}" in error["message"]
    assert "POST /chat/completions" in error["message"]


@pytest.mark.parametrize("path", ["v1/nothing", "v2/files", "files", "v1/filesystem", "v1", ""])
async def test_any_other_unknown_path_is_refused_in_the_apps_own_form(path: str) -> None:
    async with gateway() as opened:
        unknown = await opened.app.client.call("unknown_route", Call({"rest": path}))

    assert (unknown.status, unknown.json()["error"]) == (404, "RouteNotFoundError")


async def test_what_is_told_to_be_there_of_openais_interface_is_what_has_a_route() -> None:
    async with gateway() as opened:
        routes = opened.app.runtime.routes
    served = {
        f"{one.method} {one.path.removeprefix('v1').replace('{*', '{')}"
        for one in routes
        if one.dialect.refusal is OpenAIErrorReply
    }

    assert served == set(SERVED)
    own = [one.path for one in routes if one.dialect.refusal is not OpenAIErrorReply]
    assert [path for path in own if OPENAI.has_path(path)] == []


async def test_a_budget_that_is_used_up_for_long_is_not_to_be_tried_again() -> None:
    async with gateway(tier="free") as opened:
        limits = Call.of({"tokens_per_day": 5_000}, headers=opened.app.admin, tenant_id="acme")
        await opened.app.must("put_limits", limits)
        await opened.complete(max_tokens=4_900)
        answer = await opened.send(HELLO | {"max_tokens": 4_980})

    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 60
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "insufficient_quota"


async def test_a_rate_that_is_free_again_soon_is_to_be_tried_again() -> None:
    async with gateway() as opened:
        limits = Call.of({"tokens_per_minute": 5_000}, headers=opened.app.admin, tenant_id="acme")
        await opened.app.must("put_limits", limits)
        await opened.complete(max_tokens=4_900)
        opened.app.clock.advance(30)
        answer = await opened.send(HELLO | {"max_tokens": 4_980})

    assert answer.status == 429
    assert int(answer.headers["retry-after"]) <= 60
    assert "x-should-retry" not in answer.headers
    assert (answer.json()["error"]["type"], answer.json()["error"]["code"]) == (
        "tokens",
        "rate_limit_exceeded",
    )


async def test_a_lock_that_no_limit_ever_admits_is_a_bad_request() -> None:
    async with gateway() as opened:
        limits = Call.of({"tokens_per_minute": 1_000}, headers=opened.app.admin, tenant_id="acme")
        await opened.app.must("put_limits", limits)
        status, error = await opened.refuse(max_tokens=500, n=4)

    assert (status, error["code"]) == (400, "context_length_exceeded")


async def test_a_key_that_is_bound_to_a_user_speaks_for_nobody_else() -> None:
    async with gateway() as opened:
        body = {"name": "ann's", "role": Role.USER, "user_id": "ann"}
        made = await opened.app.must("create_key", Call.of(body, headers=opened.boss, tenant_id="acme"))
        opened.key = {"authorization": f"Bearer {made.json()['key']}"}
        status, error = await opened.refuse(user="bob")
        await opened.complete(user="ann")
        await opened.complete()

        told = [one["safety_identifier"] for one in opened.provider.bodies]
    assert (status, error["code"]) == (403, "insufficient_permissions")
    assert told[0] == told[1]


async def test_a_reused_idempotency_key_is_a_bad_request() -> None:
    async with gateway() as opened:
        await opened.send(HELLO, idempotency_key="k1")
        answer = await opened.send(HELLO | {"seed": 1}, idempotency_key="k1")

    assert answer.status == 400
    assert answer.json()["error"]["param"] == "idempotency-key"


@pytest.mark.parametrize(
    ("theirs", "asked", "of_a_model", "of_a_bot"),
    [
        ("messages[1].content", {}, "messages[1].content", "messages[0].content"),
        ("messages[0].role", {}, "messages[0].role", None),
        ("max_tokens", {"max_completion_tokens": 9}, "max_completion_tokens", "max_completion_tokens"),
        ("max_completion_tokens", {"max_tokens": 9}, "max_tokens", "max_tokens"),
        ("tools[0].function.name", {}, "tools[0].function.name", "tools[0].function.name"),
        ("not a name: sk-1234", {}, None, None),
        ("x" * 2_000, {}, None, None),
    ],
)
async def test_the_parameter_that_the_provider_names_is_told_by_the_name_that_the_caller_knows(
    theirs: str, asked: Json, of_a_model: str | None, of_a_bot: str | None
) -> None:
    async def refuse(_: Json) -> httpx2.Response:
        told = {"code": "invalid_value", "message": "no", "param": theirs}
        return httpx2.Response(400, json={"error": told})

    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "x", "llm": {"model": "gpt-4o"}})
        opened.provider.respond = refuse
        plain = await opened.refuse(**asked)
        streamed = await opened.refuse(stream=True, **asked)
        bot = await opened.refuse(model="bot/support", **asked)

    assert plain == streamed
    assert (plain[0], plain[1]["param"], plain[1]["code"]) == (400, of_a_model, "invalid_value")
    assert bot[1]["param"] == of_a_bot
