"""Middleware hears of each turn, and whatever it does, no turn is lost to it and no error hidden by it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.bots.manager import BotContext, BotManager
from functions.chat.conversations.middleware import MiddlewareChain, TurnContext, TurnMiddleware
from shared.llm.chat_model import ModelOutageError
from shared.telemetry.spans import start_telemetry, stop_telemetry
from shared.tenancy.context import Role, acting_for
from tests.support.fakes import Call, StillClock
from tests.support.log_lines import kept_lines
from tests.support.whole_app import whole_app
from tests.unit_tests.chat.app import ACME
from tests.unit_tests.llm.test_recorded_model import Exporter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from functions.chat.conversations.models import ChatReply
    from tests.support.whole_app import WholeApp
    from tests.unit_tests.chat.app import App

HOOKS = ("before_turn", "on_part", "after_turn", "on_error")
MIDDLEWARE = "functions.chat.conversations.middleware"


@dataclass
class Listener(TurnMiddleware):
    """Keeps what it hears; does something of its own in its hooks."""

    name: str = "one"
    heard: list[tuple[object, ...]] = field(default_factory=list)
    turns: list[TurnContext] = field(default_factory=list)
    act: Callable[[str], Awaitable[None]] | None = None

    async def before_turn(self, turn: TurnContext) -> None:
        self.turns.append(turn)
        await self._hear("before_turn", turn.turn)

    async def on_part(self, turn: TurnContext, text: str) -> None:
        await self._hear("on_part", turn.turn, text)

    async def after_turn(self, turn: TurnContext, reply: ChatReply) -> None:
        await self._hear("after_turn", turn.turn, reply.response)

    async def on_error(self, turn: TurnContext, error: BaseException) -> None:
        await self._hear("on_error", turn.turn, type(error).__name__)

    async def _hear(self, hook: str, *facts: object) -> None:
        self.heard.append((self.name, hook, *facts))
        if self.act is not None:
            await self.act(hook)


def listen(app: App, act: Callable[[str], Awaitable[None]] | None = None) -> Listener:
    listener = Listener(act=act)
    app.composition.add_middleware(listener)
    return listener


async def stream(app: App, **headers: str) -> bytes:
    sent = {"message": "hi", "conversation_id": "c", "stream": True}
    call = Call.of(sent, headers=app.user | headers, bot_id="b")
    return (await app.client.call("chat", call)).body


async def test_a_turn_is_told_of_before_and_after_it(app: App) -> None:
    listener = listen(app)
    await app.chat("hello", user_id="u1")

    assert listener.heard == [("one", "before_turn", 1), ("one", "after_turn", 1, "answer 1")]
    (turn,) = listener.turns
    assert (turn.tenant.tenant_id, turn.bot_id, turn.conversation_id) == ("acme", "b", "c")
    assert (turn.turn, turn.user_id, turn.message, turn.stream) == (1, "u1", "hello", False)


async def test_a_streamed_turn_is_told_of_part_by_part(app: App) -> None:
    listener = listen(app)
    await stream(app)

    assert [one[1:] for one in listener.heard] == [
        ("before_turn", 1),
        ("on_part", 1, "answer "),
        ("on_part", 1, "1"),
        ("after_turn", 1, "answer 1"),
    ]
    assert listener.turns[0].stream


async def test_a_regenerated_turn_is_one_of_its_own(app: App) -> None:
    listener = listen(app)
    await app.chat("hello")
    again = Call.of({}, headers=app.user, bot_id="b", conversation_id="c")
    await app.client.call("regenerate_answer", again)

    assert [turn.turn for turn in listener.turns] == [1, 2]
    assert listener.turns[1].message == "hello"


async def test_the_first_hears_of_a_beginning_first_and_of_an_end_last(app: App) -> None:
    first = listen(app)
    app.composition.add_middleware(Listener("two", first.heard))
    await app.chat()
    app.model.failure = ModelOutageError("The model")
    await app.chat()

    assert [one[:2] for one in first.heard] == [
        ("one", "before_turn"),
        ("two", "before_turn"),
        ("two", "after_turn"),
        ("one", "after_turn"),
        ("one", "before_turn"),
        ("two", "before_turn"),
        ("two", "on_error"),
        ("one", "on_error"),
    ]


async def test_a_turn_that_fails_is_told_of_when_its_conversation_is_free_again(app: App) -> None:
    async def look(hook: str) -> None:
        if hook == "on_error":
            states.append([state for _, state, _, _ in await app.turns()])

    states: list[list[str]] = []
    listener = listen(app, look)
    app.model.failure = ModelOutageError("The model")
    refused = await app.chat()

    assert refused.status == 503
    assert listener.heard[-1] == ("one", "on_error", 1, "ModelOutageError")
    assert states == [["failed"]]


async def test_an_answer_that_cannot_be_stored_is_an_error(app: App) -> None:
    listener = listen(app)

    async def lose() -> None:
        app.trouble.at(1, requests=20)

    app.model.before_answering = lose
    assert (await app.chat()).status == 503
    assert listener.heard[-1] == ("one", "on_error", 1, "ConversationUnavailableError")


async def test_a_client_that_leaves_its_stream_is_an_error_once(app: App) -> None:
    listener = listen(app)
    app.model.before_ending = asyncio.Event().wait
    sent = {"message": "hi", "conversation_id": "c", "stream": True}
    async with await app.client.stream("chat", Call.of(sent, headers=app.user, bot_id="b")) as reader:
        await reader.piece()

    assert [one[1] for one in listener.heard if one[1] != "on_part"] == ["before_turn", "on_error"]
    assert listener.heard[-1][-1] == "CancelledError"


async def test_a_client_that_leaves_when_its_turn_is_stored_makes_no_error_of_it(app: App) -> None:
    async def leave(hook: str) -> None:
        if hook == "after_turn":
            call.cancel()
            await asyncio.sleep(0)

    listener = listen(app, leave)
    other = Listener("two", listener.heard)
    app.composition.add_middleware(other)
    call = asyncio.create_task(app.chat())
    with pytest.raises(asyncio.CancelledError):
        await call

    assert [one[:2] for one in listener.heard] == [
        ("one", "before_turn"),
        ("two", "before_turn"),
        ("two", "after_turn"),
        ("one", "after_turn"),
    ]
    assert [state for _, state, _, _ in await app.turns()] == ["done"]


async def test_a_turn_that_is_answered_from_before_is_not_told_of_again(app: App) -> None:
    listener = listen(app)
    for _ in range(2):
        await stream(app, **{"idempotency-key": "k"})

    assert [one[1] for one in listener.heard].count("before_turn") == 1


@pytest.mark.parametrize("failing", HOOKS)
@pytest.mark.parametrize(
    "failure", [RuntimeError("quotes what ann@example.com said"), asyncio.CancelledError()]
)
async def test_a_hook_that_fails_loses_no_turn(app: App, failing: str, failure: BaseException) -> None:
    async def fail(hook: str) -> None:
        if hook == failing:
            raise failure

    listen(app, fail)
    other = Listener("two")
    app.composition.add_middleware(other)
    with kept_lines(MIDDLEWARE) as lines:
        streamed = await stream(app)
        app.model.failure = ModelOutageError("The model")
        refused = await app.chat()

    assert b"event: done" in streamed
    assert refused.json()["error"] == "ModelOutageError"
    assert [state for _, state, _, _ in await app.turns()] == ["done", "failed"]
    assert [one[1] for one in other.heard] == [
        "before_turn",
        "on_part",
        "on_part",
        "after_turn",
        "before_turn",
        "on_error",
    ]
    told = [line["extra"] for line in lines if "hook" in line.get("extra", {})]
    assert {one["hook"] for one in told} == {failing}
    assert {(one["middleware"], one["error"]) for one in told} == {("Listener", type(failure).__name__)}
    assert told[0]["place"].partition(":")[0].endswith("fail")
    assert "quotes" not in json.dumps(lines)


async def test_a_hook_that_fails_for_a_part_is_not_told_of_the_next(app: App) -> None:
    async def fail(hook: str) -> None:
        if hook == "on_part":
            raise RuntimeError

    listener = listen(app, fail)
    await stream(app)

    assert [one[1] for one in listener.heard] == ["before_turn", "on_part", "after_turn"]


async def test_a_hook_that_hangs_is_ended() -> None:
    async def hang(hook: str) -> None:
        assert hook
        await asyncio.Event().wait()

    listener, other = Listener(act=hang), Listener("two")
    chain = MiddlewareChain((listener, other), hook_seconds=0.01)
    async with chain.around(context()) as hooks:
        await hooks.tell_beginning()
        await hooks.tell_part("one")
        await hooks.tell_part("two")

    assert [one[1:] for one in listener.heard] == [("before_turn", 1), ("on_part", 1, "one")]
    assert [one[1] for one in other.heard] == ["before_turn", "on_part", "on_part"]


async def test_a_turn_that_ends_within_a_hook_ends_and_is_told_of() -> None:
    reached = asyncio.Event()

    async def hang(hook: str) -> None:
        if hook == "before_turn":
            reached.set()
            await asyncio.Event().wait()

    listener = Listener(act=hang)

    async def work() -> None:
        async with MiddlewareChain((listener,), hook_seconds=60).around(context()) as hooks:
            await hooks.tell_beginning()

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert listener.heard[-1] == ("one", "on_error", 1, "CancelledError")


def context() -> TurnContext:
    return TurnContext(
        tenant=ACME,
        bot_id="b",
        conversation_id="c",
        turn=1,
        user_id=None,
        message="hi",
        stream=False,
        began_at=0.0,
    )


async def test_a_managers_middleware_hears_of_its_own_bots_alone(app: App) -> None:
    listener = Listener()
    config = {"system_prompt": "You help."}
    with acting_for(ACME):
        manager = BotManager(lambda _: config, runtime=app.runtime, middleware=[listener])
        other = BotManager(lambda _: config, runtime=app.runtime)
        for each, conversation in ((manager, "mine"), (other, "others")):
            bot = await each.get_or_create("helper")
            await bot.chat("hi", BotContext(conversation_id=conversation, client_id="acme"))
    await app.chat()

    assert [turn.conversation_id for turn in listener.turns] == ["mine"]


@asynccontextmanager
async def priced() -> AsyncIterator[tuple[WholeApp, dict[str, str]]]:
    """Open the app with a bot of a model that costs 2 and 10 for a million tokens."""
    catalogue = {"ours": {"price": {"prompt": "2", "completion": "10"}}}
    async with whole_app(StillClock(), MODEL_CATALOGUE=json.dumps(catalogue)) as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        bot = {"system_prompt": "Be brief.", "llm": {"model": "ours"}}
        await app.must("save_bot", Call.of(bot, headers=boss, bot_id="b"))
        yield app, boss


@pytest.mark.parametrize("streams", [False, True])
async def test_each_turn_is_one_line_with_its_cost_and_nothing_that_was_said(*, streams: bool) -> None:
    async with priced() as (app, boss):
        with kept_lines(MIDDLEWARE) as lines, kept_lines("shared.llm.call_recorder") as calls:
            said = {"message": "my secret", "conversation_id": "c", "stream": streams}
            await app.must("chat", Call.of(said, headers=boss, bot_id="b"))

    (line,) = lines
    assert line["tenant_id"] == "acme"
    assert line["extra"] == {
        "event": "turn",
        "bot_id": "b",
        "conversation_id": "c",
        "turn": 1,
        "stream": streams,
        "model_calls": 1,
        "total_tokens": 10,
        "cost": "0.000044",
        "duration_ms": 0.0,
        "finish_reason": "stop",
    }
    (call,) = calls
    expected = {"bot_id": "b", "conversation_id": "c", "turn": 1, "stream": streams, "cost": "0.000044"}
    assert {name: call["extra"][name] for name in expected} == expected
    assert "secret" not in json.dumps([*lines, *calls])


async def test_what_turns_cost_is_counted_by_model() -> None:
    counted: dict[str, Any] = {}

    class Counter(Exporter):
        def add(self, name: str, amount: float, attributes: object) -> None:
            if name == "tenantry.cost":
                counted[str(attributes)] = counted.get(str(attributes), 0.0) + amount

    async with priced() as (app, boss):
        start_telemetry(Counter)
        for _ in range(2):
            await app.must("chat", Call.of({"message": "hi"}, headers=boss, bot_id="b"))
        await stop_telemetry()

    assert counted == {"{'model': 'ours', 'currency': 'USD'}": pytest.approx(0.000088)}
