"""Chat over the whole app: what the model's provider answers, and what that does to the tenant's budget."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import httpx2
import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.log_lines import kept_lines
from tests.support.models import open_model
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer

USAGE = {"prompt_tokens": 400, "completion_tokens": 300, "total_tokens": 700}
PLAIN = {"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}


class Provider:
    """A provider of models: those that it has answer with what it is told."""

    def __init__(self) -> None:
        self.answer: dict[str, object] = {"model": "gpt-4o", "choices": [PLAIN], "usage": USAGE}
        self.calls = 0
        self.asked: list[dict[str, object]] = []
        self.models = {"gpt-4o"}
        self.wait: int | None = None

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        self.asked.append(json.loads(request.content))
        if self.wait is not None:
            return httpx2.Response(429, headers={"retry-after": str(self.wait)})
        if self.asked[-1]["model"] not in self.models:
            return httpx2.Response(404, json={"error": {"code": "DeploymentNotFound", "message": "no"}})
        return httpx2.Response(200, json=self.answer)


class Chat:
    """Acme's bots, with a provider under control."""

    def __init__(self, app: WholeApp, provider: Provider, key: dict[str, str]) -> None:
        self.app, self.provider, self.key = app, provider, key

    async def save(self, bot_id: str, model: str, **config: object) -> None:
        body = {"system_prompt": "Be brief.", "llm": {"model": model, "max_output_tokens": 300}} | config
        await self.app.must("save_bot", Call.of(body, headers=self.key, bot_id=bot_id))

    async def say(self, bot_id: str, message: str = "hi", **body: object) -> Answer:
        call = Call.of({"message": message} | body, headers=self.key, bot_id=bot_id)
        return await self.app.client.call("chat", call)

    async def limit(self, **limits: int) -> None:
        body = {"tokens_per_minute": 100_000, "requests_per_minute": 1_000} | limits
        call = Call.of(body, headers=self.app.admin, tenant_id="acme")
        await self.app.must("put_limits", call)
        self.app.clock.advance(61)  # limits are in force everywhere after a minute


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with app_of("acme") as app:
        provider = Provider()
        app.runtime.__dict__["chat_model"], _ = open_model(provider.handle, app.clock)
        yield Chat(app, provider, await app.new_key("acme", Role.TENANT_ADMIN))


async def test_a_model_that_there_is_not_is_refused_where_a_bot_names_it(chat: Chat) -> None:
    bot = {"system_prompt": "Be brief.", "llm": {"model": "gpt-4oo"}}
    refused = await chat.app.client.call("save_bot", Call.of(bot, headers=chat.key, bot_id="typo"))

    assert (refused.status, refused.json()["error"]) == (422, "ModelNotFoundError")
    assert list(refused.json()["detail"]["fields"]) == ["body.llm.model"]
    assert refused.json()["detail"]["available"][0] == "gpt-4o"


async def test_a_bot_without_an_output_limit_has_the_catalogues_default_for_its_model(chat: Chat) -> None:
    chat.provider.models = {"gpt-4o", "gpt-5"}
    for model in ("gpt-4o", "gpt-5"):
        await chat.save(f"on-{model}", model, llm={"model": model})
        assert (await chat.say(f"on-{model}")).status == 200

    plain, reasoning = chat.provider.asked
    assert (plain["max_tokens"], reasoning["max_completion_tokens"]) == (4_096, 8_192)


async def test_a_budget_that_has_no_room_for_the_default_refuses_the_turn_and_not_a_smaller_one(
    chat: Chat,
) -> None:
    await chat.limit(tokens_per_minute=4_000)
    await chat.save("default", "gpt-4o", llm={"model": "gpt-4o"})
    await chat.save("small", "gpt-4o")

    assert ((await chat.say("default")).status, (await chat.say("small")).status) == (422, 200)


async def test_a_turn_whose_model_asks_for_a_long_wait_is_told_so_at_once_and_holds_nothing(
    chat: Chat,
) -> None:
    await chat.limit(tokens_per_minute=1_000, concurrency=1)
    await chat.save("b", "gpt-4o")
    chat.provider.wait = 20
    refused = await chat.say("b", conversation_id="c")
    chat.provider.wait = None
    answered = await chat.say("b", conversation_id="c")

    assert (refused.status, refused.headers["retry-after"], answered.status) == (503, "20", 200)
    assert (chat.provider.calls, chat.app.clock.slept) == (2, [])


@pytest.mark.slow
async def test_a_deployment_that_is_gone_takes_nothing_of_the_budget(chat: Chat) -> None:
    await chat.limit(concurrency=2)
    await chat.save("old", "gpt-4o-mini")
    await chat.save("good", "gpt-4o")

    refused = [await chat.say("old") for _ in range(4)]
    answered = await chat.say("good")

    assert {(one.status, one.json()["error"]) for one in refused} == {(409, "ModelUnavailableError")}
    assert answered.status == 200


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [PLAIN | {"finish_reason": None}]},
        {"choices": [{"message": {"content": "hello"}}], "model": None},
        {"choices": [{"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "hello"}]}, "finish_reason": "odd"}]},
        {"choices": []},
        {"choices": None},
    ],
)
@pytest.mark.slow
async def test_no_odd_answer_gets_more_out_of_a_days_budget_than_it_holds(
    chat: Chat, odd: dict[str, object]
) -> None:
    await chat.limit(tokens_per_day=2_000)
    await chat.save("b", "gpt-4o")
    chat.provider.answer |= odd

    for _ in range(8):
        await chat.say("b")
        chat.app.clock.advance(70)  # a lock that was not settled has left its window

    assert chat.provider.calls == 3
    call = Call(query="app_id=bot:b", headers=chat.key)
    usage = (await chat.app.must("get_usage", Call(query="group_by=app_id", headers=chat.key))).json()
    assert sum(entry["total_tokens"] for entry in usage["items"]) == 2_100
    assert (await chat.app.must("get_token_status", call)).status == 200


async def test_a_message_that_no_minute_admits_is_refused_as_a_message(chat: Chat) -> None:
    await chat.limit(tokens_per_minute=2_000)
    await chat.save("b", "gpt-4o")

    refused = await chat.say("b", "word " * 5_000)

    answer = refused.json()
    assert (refused.status, list(answer["detail"]["fields"])) == (422, ["body.message"])
    assert "token_count" not in refused.body.decode()
    assert chat.provider.calls == 0


@pytest.mark.parametrize("filler", [" ", "\n", "a", "\u0301", "\t "])
@pytest.mark.slow
async def test_no_text_that_a_prompt_is_filled_with_ends_the_request(chat: Chat, filler: str) -> None:
    prompt = {"template": "{x}" * 100}
    await chat.app.must("save_prompt", Call.of(prompt, headers=chat.key, name="p"))
    body = {"prompt": {"name": "p"}, "llm": {"model": "gpt-4o"}}
    await chat.app.must("save_bot", Call.of(body, headers=chat.key, bot_id="b"))

    answer = await chat.say("b", variables={"x": filler * (10_000 // len(filler))})

    assert answer.status in {200, 422}
    assert answer.headers["x-request-id"]


@pytest.mark.slow
async def test_a_summary_is_metered_as_the_bots_own_call_of_the_model_that_makes_it(chat: Chat) -> None:
    chat.provider.models.add("gpt-4o-mini")
    memory = {"type": "summary", "max_tokens": 1_000, "summary_model": "gpt-4o-mini"}
    await chat.save("b", "gpt-4o", memory=memory)
    with kept_lines("shared.llm.call_recorder") as lines:
        for _ in range(14):
            assert (await chat.say("b", "word " * 64, conversation_id="c")).status == 200

    assert chat.provider.calls == 15
    told = [(one["extra"]["step"], one["extra"]["model"], one["extra"]["turn"]) for one in lines]
    assert told[11:13] == [("summary", "gpt-4o-mini", 12), (None, "gpt-4o", 12)]
    query = Call(query="group_by=model,app_id", headers=chat.key)
    usage = (await chat.app.must("get_usage", query)).json()["items"]
    assert {(one["model"], one["app_id"], one["total_tokens"]) for one in usage} == {
        ("gpt-4o", "bot:b", 14 * 700),
        ("gpt-4o-mini", "bot:b", 700),
    }


@pytest.mark.slow
async def test_a_turn_that_is_summarized_for_costs_one_call_more_and_no_request_for_its_conversation(
    chat: Chat,
) -> None:
    memory = {"type": "summary", "max_tokens": 1_000}
    await chat.save("b", "gpt-4o", memory=memory)
    asked: Counter[str] = Counter()
    chat.app.cosmos.transport.watch = lambda request: asked.update(
        [request.url.partition("/colls/")[2].partition("/")[0]]
    )
    costs: Counter[tuple[int, int, int]] = Counter()
    for _ in range(20):
        asked.clear()
        calls = chat.provider.calls
        await chat.say("b", "word " * 64, conversation_id="c")
        costs[chat.provider.calls - calls, asked["conversations"], asked["ledger"]] += 1

    assert costs[1, 2, 2] == 17
    assert costs[2, 2, 4] == 2


@pytest.mark.slow
async def test_a_summary_is_exported_with_its_tenant(chat: Chat) -> None:
    await chat.save("b", "gpt-4o", memory={"type": "summary", "max_tokens": 1_000})
    for _ in range(12):
        await chat.say("b", "word " * 64, conversation_id="c")

    page = Call({"tenant_id": "acme"}, "limit=100", chat.key)
    items = (await chat.app.must("export_tenant", page)).json()["items"]
    kept = [one["item"] for one in items if one["item"] and one["item"]["id"] == "recent"]
    assert [(one["summary"]["text"], one["summary"]["through"]) for one in kept] == [("hello", 6)]


async def test_a_model_that_there_is_not_is_refused_where_it_is_to_summarize(chat: Chat) -> None:
    bot = {"system_prompt": "Be brief.", "memory": {"type": "summary", "summary_model": "gpt-4oo"}}
    refused = await chat.app.client.call("save_bot", Call.of(bot, headers=chat.key, bot_id="typo"))

    assert (refused.status, refused.json()["error"]) == (422, "ModelNotFoundError")
    assert list(refused.json()["detail"]["fields"]) == ["body.memory.summary_model"]
