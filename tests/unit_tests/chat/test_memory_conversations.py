"""Conversations in the process's memory: apart, one turn at a time, bounded, and never in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.memory import (
    MAX_CHARACTERS,
    REMEMBERED,
    MemoryConversation,
    RememberedConversation,
)
from functions.chat.conversations.reservation import RESERVATION_SECONDS, NewTurn
from shared.caching.region import Cache
from shared.contracts import Usage
from shared.errors import ConflictError, PermissionDeniedError
from tests.support.fakes import tenant_context, user_context
from tests.unit_tests.chat.app import ACME

if TYPE_CHECKING:
    from shared.caching.region import Region
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

IN_MEMORY = {"backend": "memory"}


@pytest.fixture
def region(clock: FakeClock) -> Region[RememberedConversation]:
    return Cache(clock).region("remembered", REMEMBERED, 8)


class Conversations:
    def __init__(self, region: Region[RememberedConversation], clock: FakeClock) -> None:
        self.region, self.clock = region, clock

    def open(self, name: str = "c", tenant: TenantContext = ACME, bot_id: str = "b") -> MemoryConversation:
        return MemoryConversation(tenant, self.region, self.clock, bot_id=bot_id, conversation_id=name)

    async def say(
        self, text: str, name: str = "c", tenant: TenantContext = ACME, bot_id: str = "b"
    ) -> list[str]:
        """Answer a message with itself, and return the messages before it."""
        opened = self.open(name, tenant, bot_id)
        turn = await opened.reserve(NewTurn(text))
        await opened.load_history(turn)
        await opened.complete(turn, text, Usage())
        return [one.message for one in turn.recent]


@pytest.fixture
def conversations(region: Region[RememberedConversation], clock: FakeClock) -> Conversations:
    return Conversations(region, clock)


async def test_a_bot_remembers_in_this_process_and_stores_nothing(app: App, cosmos: MemoryCosmos) -> None:
    await app.save_bot(system_prompt="x", conversation_storage=IN_MEMORY)
    first, second = [(await app.chat(text)).json() for text in ("one", "two")]

    assert [(one["turn"], one["conversation_storage"]) for one in (first, second)] == [
        (1, "memory"),
        (2, "memory"),
    ]
    assert app.model.said[1:] == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]
    assert (await app.on_conversation()).status == 404
    assert (await app.on_bot("list_conversations")).json()["items"] == []
    before = cosmos.transport.requests
    await app.chat("three")
    assert cosmos.transport.requests == before


async def test_a_stored_conversation_says_so_too(app: App) -> None:
    assert (await app.chat()).json()["conversation_storage"] == "cosmos"


async def test_a_failed_turn_lets_the_next_one_begin_and_is_no_history(app: App) -> None:
    await app.save_bot(system_prompt="x", conversation_storage=IN_MEMORY)
    app.model.failure = ConflictError("no")
    await app.chat("one")
    app.model.failure = None

    assert (await app.chat("two")).json()["turn"] == 2
    assert app.model.said[1:] == [("user", "two")]


async def test_conversations_are_apart_by_tenant_bot_name_and_user(conversations: Conversations) -> None:
    await conversations.say("mine")

    assert await conversations.say("theirs", tenant=tenant_context("globex")) == []
    assert await conversations.say("other bot's", bot_id="b2") == []
    assert await conversations.say("other", "c2") == []
    assert await conversations.say("ann's", tenant=user_context("ann")) == []
    assert await conversations.say("bob's", tenant=user_context("bob")) == []
    assert await conversations.say("mine again") == ["mine"]


async def test_a_user_speaks_for_nobody_else(conversations: Conversations) -> None:
    with pytest.raises(PermissionDeniedError):
        await conversations.open(tenant=user_context("ann")).reserve(NewTurn("hi", "bob"))


async def test_one_message_is_answered_at_a_time(conversations: Conversations, clock: FakeClock) -> None:
    opened = conversations.open()
    held = await opened.reserve(NewTurn("one"))
    with pytest.raises(ConflictError):
        await opened.reserve(NewTurn("two"))
    waiting = asyncio.create_task(opened.reserve(NewTurn("two")))
    await asyncio.sleep(0)
    await opened.complete(held, "first", Usage())

    turn = await waiting
    assert (turn.number, [one.number for one in turn.recent]) == (2, [1])
    clock.advance(RESERVATION_SECONDS + 1)
    late, last = turn, await opened.reserve(NewTurn("three"))
    await opened.complete(late, "too late", Usage())
    await opened.fail(late)
    assert last.number == 3
    assert [one.response for one in last.recent] == ["first"]


async def test_an_answered_operation_is_found_again(conversations: Conversations) -> None:
    opened = conversations.open()
    turn = await opened.reserve(NewTurn("one", operation_id="op"))
    assert await opened.answered("op") is None
    await opened.complete(turn, "first", Usage(prompt_tokens=1))

    found = await opened.answered("op")
    assert found is not None
    assert (found.number, found.response, found.usage.prompt_tokens) == (1, "first", 1)


async def test_what_is_remembered_of_a_conversation_is_bounded(conversations: Conversations) -> None:
    half = "x" * (MAX_CHARACTERS // 4)
    for _ in range(3):
        await conversations.say(half)
    assert len(await conversations.say("short")) == 2
    await conversations.say("x" * MAX_CHARACTERS)
    assert await conversations.say("after") == []

    for number in range(60):
        await conversations.say(str(number), "many")
    assert await conversations.say("last", "many") == [str(number) for number in range(10, 60)]


async def test_what_is_idle_for_an_hour_or_has_no_room_is_forgotten(
    conversations: Conversations, clock: FakeClock
) -> None:
    await conversations.say("one")
    clock.advance(REMEMBERED.ttl_seconds)
    assert await conversations.say("two") == []

    for number in range(8):
        await conversations.say("hi", f"c{number}")
    assert await conversations.say("three") == []


async def test_an_answer_to_what_was_forgotten_meanwhile_is_not_kept(
    conversations: Conversations, clock: FakeClock
) -> None:
    opened = conversations.open()
    turn = await opened.reserve(NewTurn("one"))
    clock.advance(REMEMBERED.ttl_seconds)
    await opened.complete(turn, "first", Usage())

    assert await conversations.say("two") == []
