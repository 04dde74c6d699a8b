"""Responses through their routes and their queue, on the app in memory."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import DependencyUnavailableError
from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.whole_app import app_of
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp


class Desk:
    """A tenant's responses, asked for by its key."""

    def __init__(self, app: WholeApp, key: dict[str, str], clock: StillClock) -> None:
        self.app, self.key, self.clock = app, key, clock

    async def ask(self, operation: str, query: str = "", **path: str) -> Answer:
        return await self.app.client.call(operation, Call(path, query, self.key))

    async def create(self, headers: dict[str, str] | None = None, **body: object) -> Answer:
        sent = {"model": "gpt-4o", "input": "hello"} | body
        return await self.app.client.call(
            "create_response", Call.of(sent, headers=self.key | (headers or {}))
        )

    async def deliver(self, function: str = "make_response") -> None:
        """Hand over, once each, all messages that were sent to the queue."""
        sender = self.app.runtime.__dict__["sender"]
        waiting = [message for _, queue, message in sender.sent if queue == "responses-in"]
        sender.sent.clear()
        for message in waiting:
            await self.app.functions[function](FakeDelivery(message.body, message.message_id))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = StillClock()
    async with app_of("acme", clock=clock) as app:
        yield Desk(app, await app.new_key("acme", Role.USER), clock)


def events_of(answer: Answer) -> list[tuple[str, Any]]:
    """Read a stream's events."""
    blocks = [block.split("\n") for block in answer.body.decode().split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("include[]=message.output_text.logprobs", 200),
        ("include[]=message.output_text.logprobs&include%5B%5D=reasoning.encrypted_content", 200),
        ("include[]=a&include=b", 400),
        ("include=a&include=b", 400),
        ("limit[]=1&limit[]=2", 400),
        ("other[]=1", 400),
    ],
)
async def test_a_list_in_a_query_is_taken_as_openais_clients_write_it(
    desk: Desk, query: str, status: int
) -> None:
    made = (await desk.create()).json()

    for operation in ("get_response", "list_response_input_items"):
        assert (await desk.ask(operation, query, response_id=made["id"])).status == status


@pytest.mark.parametrize("model", ["text-embedding-3-small", "gpt-17", "bot/nobody"])
@pytest.mark.parametrize("background", [False, True])
async def test_what_gives_no_responses_is_refused_at_once(
    desk: Desk, model: str, *, background: bool
) -> None:
    refused = await desk.create(model=model, background=background)

    assert (refused.status, refused.json()["error"]["code"]) == (404, "model_not_found")


async def test_an_answer_tells_what_it_cost_and_what_is_left(desk: Desk) -> None:
    answer = await desk.create()

    assert answer.status == 200
    assert {
        "x-tenantry-overhead-ms",
        "x-tenantry-queue-ms",
        "x-ratelimit-remaining-tokens",
    } <= answer.headers.keys()
    assert answer.json()["output"][0]["content"][0]["text"] == "You said: hello"


async def test_a_stream_is_openais_and_ends_without_more(desk: Desk) -> None:
    answer = await desk.create(stream=True)

    events = events_of(answer)
    assert [name for name, _ in events] == [event["type"] for _, event in events]
    assert events[-1][0] == "response.completed"


async def test_a_repeated_stream_comes_again_in_short(desk: Desk) -> None:
    key = {"idempotency-key": "k"}
    first = events_of(await desk.create(key, stream=True))

    again = events_of(await desk.create(key, stream=True))

    assert [name for name, _ in again] == ["response.created", "response.completed"]
    assert again[-1][1]["response"] == first[-1][1]["response"]
    assert len(desk.app.runtime.__dict__["chat_model"].prompts) == 1


async def test_a_bot_answers_with_its_instructions(desk: Desk) -> None:
    boss = await desk.app.new_key("acme", Role.TENANT_ADMIN)
    bot = {"system_prompt": "Be brief."}
    await desk.app.must("save_bot", Call.of(bot, headers=boss, bot_id="helper"))

    await desk.create(model="bot/helper")

    prompt = desk.app.runtime.__dict__["chat_model"].prompts[-1]
    assert [message["content"] for message in prompt.passed.fields["messages"]] == ["Be brief.", "hello"]


async def test_one_in_the_background_is_made_by_its_queue(desk: Desk) -> None:
    accepted = (await desk.create(background=True)).json()
    assert accepted["status"] == "queued"

    await desk.deliver()

    made = (await desk.ask("get_response", response_id=accepted["id"])).json()
    assert (made["status"], made["output"][0]["content"][0]["text"]) == ("completed", "You said: hello")


async def test_one_in_the_background_is_followed_from_a_number_on(desk: Desk) -> None:
    accepted = (await desk.create(background=True)).json()
    refused = await desk.ask("get_response", "stream=true", response_id=accepted["id"])
    assert (refused.status, refused.json()["error"]["param"]) == (400, "stream")

    desk.app.runtime.__dict__["sender"].sent.clear()
    key = {"idempotency-key": "k"}
    following = asyncio.create_task(desk.create(key, background=True, stream=True))
    while not desk.app.runtime.__dict__["sender"].sent:
        await desk.clock.move(0.001)
    await desk.deliver()
    while not following.done():
        await desk.clock.move(1.0)
    whole = events_of(await following)
    response_id = whole[0][1]["response"]["id"]
    rest = events_of(await desk.ask("get_response", "stream=true&starting_after=3", response_id=response_id))

    assert [event["sequence_number"] for _, event in whole] == list(range(len(whole)))
    assert rest == whole[4:]
    assert events_of(await desk.create(key, background=True, stream=True)) == [whole[0], whole[-1]]
    odd = await desk.ask("get_response", "starting_after=3", response_id=response_id)
    assert (odd.status, odd.json()["error"]["param"]) == (400, "starting_after")


async def test_one_whose_model_fails_is_put_off_and_fails_when_no_delivery_is_left(desk: Desk) -> None:
    accepted = (await desk.create(background=True)).json()
    model = desk.app.runtime.__dict__["chat_model"]

    async def fail(_: object) -> None:
        raise DependencyUnavailableError("The model")

    model.complete = fail
    for _ in range(5):
        await desk.deliver()
        desk.app.clock.advance(60)

    made = (await desk.ask("get_response", response_id=accepted["id"])).json()
    assert made["status"] == "failed"
    assert "The model" in made["error"]["message"]


async def test_the_sweeper_sends_what_a_broker_that_was_down_did_not_take(desk: Desk) -> None:
    sender = desk.app.runtime.__dict__["sender"]
    send = sender.send

    async def refuse(*_: object) -> None:
        raise DependencyUnavailableError("Service Bus")

    sender.send = refuse
    accepted = (await desk.create(background=True)).json()
    sender.send = send
    desk.app.clock.advance(60)

    await desk.app.tick("sweep_responses")
    await desk.deliver()

    made = (await desk.ask("get_response", response_id=accepted["id"])).json()
    assert made["status"] == "completed"


def _message(part: dict[str, str]) -> list[Any]:
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]", None),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            None,
        ),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", None),
        ({"truncation": "auto"}, "truncation", None),
        ({"what": 1}, "what", "unknown_parameter"),
        ({"max_output_tokens": 10**7}, "max_output_tokens", None),
        ({"model": "no-such"}, "model", "model_not_found"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
    ],
    ids=str,
)
async def test_a_refusal_names_the_parameter_as_openai_does(
    desk: Desk, body: dict[str, Any], param: str, code: str | None
) -> None:
    refused = await desk.create(**body)

    assert refused.status == (404 if param == "model" else 400)
    error = refused.json()["error"]
    assert error["param"] == param, error
    assert code in {None, error["code"]}
