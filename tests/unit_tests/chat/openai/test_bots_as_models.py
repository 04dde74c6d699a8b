"""A bot answers a request of OpenAI's form with its instructions, its settings and its limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from functions.chat.composition import Chat
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.unit_tests.chat.openai.gateway import HELLO, USED, gateway
from tests.unit_tests.chat.test_middleware import Listener

if TYPE_CHECKING:
    from tests.unit_tests.chat.openai.gateway import Json

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "x" * 101}}
LLM = {"model": "gpt-4o", "temperature": 0.3, "max_output_tokens": 200}


@pytest.mark.parametrize("name", ["bot/support", "support"])
async def test_a_bot_answers_with_its_instructions_and_settings(name: str) -> None:
    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "Be brief.", "llm": LLM})
        answer = await opened.complete(model=name)
        [body] = opened.provider.bodies

    assert answer["model"] == name
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO["messages"]]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-4o", 0.3, 200)


async def test_a_bots_calls_are_counted_as_the_bots() -> None:
    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        await opened.complete(model="bot/support")
        usage = (
            await opened.app.must("get_usage", Call(query="group_by=app_id", headers=opened.boss))
        ).json()

    assert [row["app_id"] for row in usage["items"]] == ["bot:support"]


async def test_a_models_name_wins_over_a_bots() -> None:
    async with gateway() as opened:
        await opened.save_bot("our-model", {"system_prompt": "x", "llm": LLM})
        call = Call.of({"model": "gpt-4o"}, headers=opened.app.admin, name="our-model")
        await opened.app.must("put_model", call)
        await opened.complete(model="our-model")
        await opened.complete(model="bot/our-model")

        assert [len(body["messages"]) for body in opened.provider.bodies] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"temperature": 0.9}, "temperature"),
        ({"messages": [{"role": "system", "content": "You are mine."}]}, "messages[0].role"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "System", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["system"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x" * 101}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "x" * 101}]}, "messages[0]"),
        ({"messages": [{"role": "user", "name": "x" * 50, "content": "x" * 51}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "messages[0]"),
    ],
)
async def test_what_a_bot_decides_no_request_changes(changes: Json, param: str) -> None:
    async with gateway() as opened:
        limits = {"max_message_characters": 100}
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM, "limits": limits})
        status, error = await opened.refuse(model="bot/support", **changes)

    assert (status, error["param"]) == (400, param)


async def test_a_request_may_want_less_of_a_bot_and_never_more() -> None:
    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        for asked in (50, 5_000):
            await opened.complete(model="bot/support", max_tokens=asked, temperature=0.3)

        assert [body["max_tokens"] for body in opened.provider.bodies] == [50, 200]


async def test_a_bots_rate_bounds_its_requests() -> None:
    async with gateway() as opened:
        await opened.save_bot(
            "support", {"system_prompt": "x", "llm": LLM, "limits": {"turns_per_minute": 1}}
        )
        await opened.complete(model="bot/support")
        status, error = await opened.refuse(model="bot/support")

    assert (status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")


async def test_a_bots_form_of_answers_holds_unless_the_request_names_one() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    async with gateway() as opened:
        config = {
            "system_prompt": "x",
            "llm": LLM,
            "response_format": {"type": "json_schema", "schema": schema},
        }
        await opened.save_bot("support", config)
        await opened.complete(model="bot/support")
        await opened.complete(model="bot/support", response_format={"type": "text"})
        formats = [body["response_format"] for body in opened.provider.bodies]

    assert formats[0]["json_schema"]["schema"] == schema
    assert formats[1] == {"type": "text"}


async def test_middleware_hears_of_a_bots_answers_whole_and_in_parts() -> None:
    async with gateway() as opened:
        listener = Listener()
        opened.app.runtime.once(Chat).add_middleware(listener)
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        await opened.complete(model="bot/support", user="ann")
        async with await opened.stream(model="bot/support") as reader:
            await reader.rest()
        await opened.complete()

    told = [heard[1:] for heard in listener.heard]
    assert told[:2] == [("before_turn", 0), ("after_turn", 0, "Hi.")]
    assert told[2:] == [
        ("before_turn", 0),
        ("on_part", 0, "Hi"),
        ("on_part", 0, "."),
        ("after_turn", 0, "Hi."),
    ]
    first, second = listener.turns
    assert (first.bot_id, first.user_id, first.message, first.stream) == ("support", "ann", "hello", False)
    assert [call.prompt_tokens for call in second.calls] == [USED.prompt_tokens]


async def test_middleware_hears_of_a_bots_answer_that_fails() -> None:
    async with gateway() as opened:
        listener = Listener()
        opened.app.runtime.once(Chat).add_middleware(listener)
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        opened.provider.parts = opened.provider.parts[:2]
        async with await opened.stream(model="bot/support") as reader:
            await reader.rest()

    assert [heard[1] for heard in listener.heard] == ["before_turn", "on_part", "on_error"]


async def test_another_tenants_bot_looks_as_one_that_there_is_not() -> None:
    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        await opened.app.new_tenant("globex")
        opened.key = await opened.app.new_key("globex", Role.USER)
        foreign = await opened.refuse(model="bot/support")
        absent = await opened.refuse(model="bot/suppork")

    assert foreign[0] == absent[0] == 404
    told = [one[1]["message"].partition(";")[0] for one in (foreign, absent)]  # and then those most like it
    assert told[0].replace("support", "suppork") == told[1]


async def test_models_and_bots_are_listed_and_shown() -> None:
    async with gateway() as opened:
        await opened.save_bot("support", {"system_prompt": "x", "llm": LLM})
        listed = (await opened.app.must("list_usable_models", Call(headers=opened.key))).json()
        shown = [
            await opened.app.client.call("get_usable_model", Call({"model": name}, headers=opened.key))
            for name in ("gpt-4o", "bot/support", "bot%2Fsupport", "nothing", "bot/nobody")
        ]

    owners = {model["id"]: model["owned_by"] for model in listed["data"]}
    assert (owners["gpt-4o"], owners["bot/support"]) == ("tenantry", "tenantry-bots")
    assert shown[1].json() in listed["data"]
    assert [one.status for one in shown] == [200, 200, 200, 404, 404]
    assert shown[2].json()["id"] == "bot/support"
    assert shown[3].json()["error"]["code"] == "model_not_found"


async def test_a_tenants_own_bots_and_the_global_ones_are_listed_and_no_other_tenants() -> None:
    async with gateway() as opened:
        await opened.app.new_tenant("globex")
        theirs = await opened.app.new_key("globex", Role.TENANT_ADMIN)
        admin, bot = opened.app.admin, json.dumps({"system_prompt": "x", "llm": LLM}).encode()
        for headers, query, bot_id in (
            (opened.boss, "", "ours"),
            (opened.boss, "", "everybodys"),
            (admin, "scope=global", "everybodys"),
            (theirs, "", "theirs"),
        ):
            await opened.app.must("save_bot", Call({"bot_id": bot_id}, query, headers, bot))
        listed = {}
        for name, key in (("acme", opened.key), ("globex", theirs)):
            found = (await opened.app.must("list_usable_models", Call(headers=key))).json()["data"]
            listed[name] = [model["id"] for model in found if model["id"].startswith("bot/")]

    assert listed == {"acme": ["bot/everybodys", "bot/ours"], "globex": ["bot/everybodys", "bot/theirs"]}
