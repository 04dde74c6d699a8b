"""A fork is a conversation of its own with the turns of another one; none is left half made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.fork import ConversationFork
from functions.chat.conversations.reservation import RESERVATION_SECONDS, NewTurn
from shared.errors import ConflictError
from tests.support.fakes import Call, user_context
from tests.unit_tests.chat.test_conversations import seed

if TYPE_CHECKING:
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App


async def fork(app: App, body: object = None, headers: dict[str, str] | None = None, **more: str) -> Answer:
    path = {"bot_id": "b", "conversation_id": "c"}
    return await app.client.call(
        "fork_conversation", Call.of(body or {}, headers=(headers or app.user) | more, **path)
    )


async def texts(app: App, conversation_id: str, headers: dict[str, str] | None = None) -> list[str]:
    shown = await app.on_conversation(query="limit=100", conversation_id=conversation_id, headers=headers)
    return [turn["message"] for turn in shown.json()["items"]]


async def test_a_fork_has_the_visible_turns_and_goes_its_own_way(app: App) -> None:
    for message in ("one", "two", "three"):
        await app.chat(message, user_id="ann")
    await app.client.call("undo_turn", Call(path={"bot_id": "b", "conversation_id": "c"}, headers=app.user))
    await app.chat("four")
    forked = await fork(app)
    copy = forked.json()

    assert (forked.status, copy["turns"], copy["user_id"]) == (201, 3, "ann")
    assert copy["forked_from"] == {"conversation_id": "c", "turn": 4, "is_whole": True}
    assert await texts(app, copy["conversation_id"]) == ["one", "two", "four"]
    await app.chat("five", conversation_id=copy["conversation_id"])
    assert [text for role, text in app.model.said if role == "user"] == ["one", "two", "four", "five"]
    await app.on_conversation("delete_conversation")
    assert await texts(app, copy["conversation_id"]) == ["one", "two", "four", "five"]


async def test_a_fork_may_end_at_any_visible_turn_and_at_no_other(app: App) -> None:
    for message in ("one", "two", "three"):
        await app.chat(message)
    copy = (await fork(app, {"turn": 2})).json()

    assert await texts(app, copy["conversation_id"]) == ["one", "two"]
    assert (await fork(app, {"turn": 4})).json()["error"] == "TurnNotFoundError"


async def test_a_users_fork_is_the_users(app: App) -> None:
    alice = app.authenticator.add("alice", user_context("alice"))
    bob = app.authenticator.add("bob", user_context("bob"))
    await app.chat("mine", headers=alice)
    copy = (await fork(app, headers=alice)).json()

    assert (await fork(app, headers=bob)).status == 404
    assert copy["user_id"] == "alice"
    assert await texts(app, copy["conversation_id"], alice) == ["mine"]
    foreign = await app.on_conversation(headers=bob, conversation_id=copy["conversation_id"])
    assert foreign.status == 404


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["requests", "answers"])
async def test_a_copy_that_broke_off_is_gone_on_with(
    app: App, cosmos: MemoryCosmos, clock: FakeClock, lost: str
) -> None:
    container = cosmos.container("conversations")
    await seed(container, clock, 200)
    for nth in range(1, 13):
        source, target = app.conversation().place, app.conversation(f"copy{nth}").place
        app.trouble.at(nth, **{lost: 100})
        broken = False
        try:
            await ConversationFork(source, target, clock).copy(None)
        except Exception:  # noqa: BLE001  # whatever the store's death looks like here
            broken = True
        cosmos.transport.lose_requests = cosmos.transport.lose_answers = 0
        cosmos.transport.watch = lambda _: None
        clock.advance(RESERVATION_SECONDS + 30)
        copy = await ConversationFork(
            app.conversation().place, app.conversation(f"copy{nth}").place, clock
        ).copy(None)
        assert (copy.turns, copy.forked_from is not None and copy.forked_from.is_whole) == (200, True)
        page = await app.on_conversation(query="limit=100&cursor=150", conversation_id=f"copy{nth}")
        assert [turn["message"] for turn in page.json()["items"]] == [f"m{n}" for n in range(151, 201)]
        if not broken:
            break
    assert nth > 6


async def test_a_copy_that_was_gone_on_with_is_not_copied_further(
    app: App, cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    await seed(cosmos.container("conversations"), clock, 200)
    app.trouble.at(7, requests=100)
    with pytest.raises(Exception, match="Cosmos"):
        await ConversationFork(app.conversation().place, app.conversation("copy").place, clock).copy(None)
    cosmos.transport.lose_requests = 0
    clock.advance(RESERVATION_SECONDS + 30)
    turn = await app.conversation("copy").reserve(NewTurn("on"))
    await app.conversation("copy").fail(turn)

    with pytest.raises(ConflictError, match="gone on with"):
        await ConversationFork(app.conversation().place, app.conversation("copy").place, clock).copy(None)
    shown = (await app.on_conversation(conversation_id="copy")).json()
    assert shown["forked_from"]["is_whole"] is False


async def test_a_conversation_that_is_no_fork_of_this_one_is_not_copied_into(
    app: App, clock: FakeClock
) -> None:
    await app.chat()
    await app.chat(conversation_id="d")

    with pytest.raises(ConflictError, match="is there already"):
        await ConversationFork(app.conversation().place, app.conversation("d").place, clock).copy(None)
