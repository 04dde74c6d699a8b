"""No turn is lost, overwritten or mixed up: not by others at work, by a dead worker or by a failing store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.errors import ConversationNotFoundError
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.reservation import RESERVATION_SECONDS, NewTurn, Reservation
from functions.chat.conversations.stored_models import HeadItem, RecentTurn, TurnItem, TurnStatus
from functions.chat.conversations.turns import VisibleTurns
from shared.contracts import Usage
from shared.cosmos.container import BatchFailedError, BatchFailure, Patch, PatchOperation
from shared.cosmos.partition import Partition
from shared.errors import ConflictError
from shared.logging.formatter import describe
from tests.support.fakes import every_page
from tests.unit_tests.chat.app import ACME, USAGE
from tests.unit_tests.prompts.interrupted import Interrupted, Refusing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.core.pipeline.transport import HttpRequest

    from shared.cosmos.container import BatchOperation, Container, Json, Key
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

FIRST_TURN = 4
"""Requests of the first turn: the bot; the head, which is not there; the reservation; the answer."""

TEN_TURNS = 100
"""Tokens of which ten turns are known to be enough."""

LATER_TURN = 2
"""A later one takes the head and its history at once."""


@pytest.fixture
def container(cosmos: MemoryCosmos) -> Container:
    return cosmos.container("conversations")


def opened(container: Container, clock: FakeClock) -> ConversationRepository:
    return ConversationRepository(ACME, container, clock, bot_id="b", conversation_id="c")


async def seed(container: Container, clock: FakeClock, turns: int, conversation_id: str = "c") -> None:
    """Store a conversation of many turns, all done, as they would be."""
    own = Partition.of(ACME, container, "b", conversation_id)
    of = {"bot_id": "b", "conversation_id": conversation_id, "holder": "h", "created_at": clock.now()}
    head = HeadItem.model_validate(
        of | {"turns": turns, "busy_until": 0, "updated_at": clock.now(), "recent": range(1, turns + 1)[-50:]}
    )
    await own.create(head)
    for start in range(1, turns + 1, 100):
        numbers = range(start, min(start + 100, turns + 1))
        items = [
            TurnItem.model_validate(
                of
                | {"id": f"{n:09d}", "number": n, "status": "done", "message": f"m{n}", "response": f"r{n}"}
            )
            for n in numbers
        ]
        await own.batch([own.creating(item) for item in items])


async def history(conversation: ConversationRepository, turn: Reservation) -> tuple[RecentTurn, ...]:
    """Return what the bot may be reminded of."""
    await conversation.load_history(turn)
    return turn.recent


async def items(container: Container, conversation_id: str = "c") -> list[Json]:
    own = Partition.of(ACME, container, "b", conversation_id)
    found = [await own.read(TurnItem, f"{number:09d}") for number in range(1, 300)]
    return [item.model_dump() for item in found if item is not None]


# Others at work


async def test_a_second_message_waits_briefly_and_is_then_told_to_come_back(
    app: App, clock: FakeClock
) -> None:
    second = []

    async def ask_meanwhile() -> None:
        app.model.before_answering = None
        second.append(await app.chat("two"))

    app.model.before_answering = ask_meanwhile
    first = await app.chat("one")

    assert (first.status, second[0].status, second[0].json()["error"]) == (200, 409, "ConflictError")
    assert "is answering another message" in second[0].json()["message"]
    assert second[0].headers["retry-after"] == "1"
    assert sum(clock.slept) == 2.0
    assert await app.turns() == [(1, "done", "one", "answer 1")]
    assert len(app.model.prompts) == 1


async def test_a_second_message_gets_the_next_turn_when_the_first_is_answered_meanwhile(
    app: App, clock: FakeClock
) -> None:
    second: list[asyncio.Task[Answer]] = []

    async def ask_and_wait_until_it_waits() -> None:
        app.model.before_answering = None
        second.append(asyncio.create_task(app.chat("two")))
        while not clock.slept:  # noqa: ASYNC110  # the clock is a fake: there is no event to wait for
            await asyncio.sleep(0)

    app.model.before_answering = ask_and_wait_until_it_waits
    first = await app.chat("one")

    assert (first.json()["turn"], (await second[0]).json()["turn"]) == (1, 2)
    assert app.model.said[1:] == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]


@pytest.mark.slow
async def test_of_two_that_reserve_at_once_each_gets_its_own_turn(
    container: Container, clock: FakeClock
) -> None:
    theirs = opened(container, clock)

    async def overtake() -> None:
        turn = await theirs.reserve(NewTurn("theirs"))
        await theirs.complete(turn, "answered", USAGE)

    async def nothing() -> None:
        pass

    mine = await opened(Interrupted(container, batches=[nothing, overtake, overtake]), clock).reserve(
        NewTurn("mine")
    )

    assert mine.number == 3
    head = await theirs.read()
    shown = await VisibleTurns(theirs.place.own, head).read_after(0, 10)
    assert [(item.message, item.status) for item in shown.turns] == [
        ("theirs", TurnStatus.DONE),
        ("theirs", TurnStatus.DONE),
        ("mine", TurnStatus.PENDING),
    ]
    assert [turn.number for turn in await history(theirs, mine)] == [1, 2]


# A worker that died


@pytest.mark.parametrize("turns_before", [0, 1])
async def test_a_caller_who_leaves_while_a_turn_is_taken_leaves_the_conversation_free(
    cosmos: MemoryCosmos, container: Container, clock: FakeClock, turns_before: int
) -> None:
    conversation = opened(container, clock)
    for _ in range(turns_before):
        await conversation.complete(await conversation.reserve(NewTurn("hi")), "yes", USAGE)
    calling = asyncio.ensure_future(conversation.reserve(NewTurn("bye")))

    def leave(request: HttpRequest) -> None:
        if request.method == "POST":
            calling.cancel()

    cosmos.transport.watch_done = leave
    with pytest.raises(asyncio.CancelledError):
        await calling

    cosmos.transport.watch_done = lambda _: None
    again = await conversation.reserve(NewTurn("again"))
    assert again.number == turns_before + 2


async def test_a_dead_workers_turn_is_passed_over_when_its_time_is_up(app: App, clock: FakeClock) -> None:
    await app.chat("one")
    dead = await app.conversation().reserve(NewTurn("two"))
    clock.advance(RESERVATION_SECONDS - 3)
    assert (await app.chat("three")).status == 409

    clock.advance(1)
    assert (await app.chat("three")).json()["turn"] == 3
    assert dead.number == 2
    assert [(number, status) for number, status, _, _ in await app.turns()] == [
        (1, "done"),
        (2, "pending"),
        (3, "done"),
    ]
    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "three"]


async def test_a_worker_that_comes_back_late_answers_its_own_turn_and_no_other(
    app: App, clock: FakeClock
) -> None:
    late = await app.conversation().reserve(NewTurn("one"))
    clock.advance(RESERVATION_SECONDS)
    running = await app.conversation().reserve(NewTurn("two"))
    await app.conversation().complete(late, "late", USAGE)

    assert await app.turns() == [(1, "done", "one", "late"), (2, "pending", "two", None)]
    assert (await app.chat("three")).status == 409  # the late answer has not freed the turn in work
    await app.conversation().complete(running, "in time", USAGE)
    await app.chat("three")
    assert app.model.said[1:] == [
        ("user", "one"),
        ("assistant", "late"),
        ("user", "two"),
        ("assistant", "in time"),
        ("user", "three"),
    ]


async def test_a_late_answer_that_comes_while_a_turn_begins_is_not_forgotten(
    app: App, container: Container, clock: FakeClock
) -> None:
    late = await app.conversation().reserve(NewTurn("one"))
    clock.advance(RESERVATION_SECONDS)
    answered = Interrupted(container, batches=[lambda: app.conversation().complete(late, "late", USAGE)])
    turn = await opened(answered, clock).reserve(NewTurn("two"))

    assert [item.response for item in await history(app.conversation(), turn)] == ["late"]


async def test_turns_answered_out_of_order_are_remembered_in_their_order(app: App, clock: FakeClock) -> None:
    late = await app.conversation().reserve(NewTurn("one"))
    clock.advance(RESERVATION_SECONDS)
    quick = await app.conversation().reserve(NewTurn("two"))
    await app.conversation().complete(quick, "in time", USAGE)
    await app.conversation().complete(late, "late", USAGE)
    turn = await app.conversation().reserve(NewTurn("three"))

    assert [one.response for one in await history(app.conversation(), turn)] == ["late", "in time"]


async def test_a_worker_that_fails_late_frees_nothing_that_is_not_its_own(app: App, clock: FakeClock) -> None:
    late = await app.conversation().reserve(NewTurn("one"))
    clock.advance(RESERVATION_SECONDS)
    await app.conversation().reserve(NewTurn("two"))
    await app.conversation().fail(late)

    assert [(number, status) for number, status, _, _ in await app.turns()] == [(1, "failed"), (2, "pending")]
    assert (await app.chat("three")).status == 409


async def test_an_answer_for_a_deleted_conversation_does_not_reach_the_next_of_its_name(app: App) -> None:
    old = await app.conversation().reserve(NewTurn("old"))
    await app.conversation().delete()
    with pytest.raises(ConversationNotFoundError):
        await app.conversation().complete(old, "old answer", USAGE)

    new = await app.conversation().reserve(NewTurn("new"))
    for ending in (app.conversation().complete(old, "old answer", USAGE), app.conversation().fail(old)):
        with pytest.raises(ConversationNotFoundError):
            await ending
    assert await app.turns() == [(1, "pending", "new", None)]
    await app.conversation().complete(new, "new answer", USAGE)
    assert await app.turns() == [(1, "done", "new", "new answer")]


async def test_an_answer_stays_what_it_was_first(app: App) -> None:
    turn = await app.conversation().reserve(NewTurn("one"))
    await app.conversation().complete(turn, "first", USAGE)
    await app.conversation().complete(turn, "second", Usage())
    await app.conversation().fail(turn)

    assert await app.turns() == [(1, "done", "one", "first")]


# A failing store


@pytest.mark.parametrize("nth", range(1, LATER_TURN + 1))
async def test_a_store_that_is_down_is_a_503_and_the_history_is_untouched(
    app: App, clock: FakeClock, nth: int
) -> None:
    await app.chat("one")
    before = await app.turns()
    app.trouble.at(nth, requests=100)
    refused = await app.chat("two")
    app.cosmos.transport.lose_requests = 0
    clock.advance(RESERVATION_SECONDS + 10)

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"] == "ConversationUnavailableError"
    assert "history is untouched" in refused.json()["message"]
    assert (await app.turns())[:1] == before
    again = await app.chat("three")
    assert (again.status, again.json()["turn"]) == (200, 2 if nth < LATER_TURN else 3)
    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "three"]


async def test_a_history_that_cannot_be_read_is_never_taken_for_an_empty_one(app: App) -> None:
    await app.chat("one")
    forgotten = Patch((PatchOperation("incr", "/late", 1),))
    await app.cosmos.container("conversations").patch(("acme", "b", "c"), "head", forgotten)
    app.trouble.at(2, requests=3)
    refused = await app.chat("two")

    assert refused.status == 503
    assert len(app.model.prompts) == 1
    assert [(number, status) for number, status, _, _ in await app.turns()] == [(1, "done"), (2, "failed")]


@pytest.mark.parametrize("nth", range(1, LATER_TURN + 1))
@pytest.mark.parametrize("turns_before", [0, 1])
async def test_a_lost_answer_of_the_store_makes_no_second_turn(app: App, nth: int, turns_before: int) -> None:
    for _ in range(turns_before):
        await app.chat("before")
    app.trouble.at(nth, answers=1)
    answer = await app.chat("one")

    assert (answer.status, answer.json().get("turn")) == (200, turns_before + 1)
    turns = await app.turns()
    assert [status for _, status, _, _ in turns] == ["done"] * (turns_before + 1)
    assert (await app.chat("two")).json()["turn"] == turns_before + 2
    assert [text for role, text in app.model.said if role == "user"][-2:] == ["one", "two"]


async def test_a_turn_costs_these_requests(app: App, cosmos: MemoryCosmos) -> None:
    counts = []
    for _ in range(3):
        before = cosmos.transport.requests
        await app.chat()
        counts.append(cosmos.transport.requests - before)

    assert counts == [FIRST_TURN, LATER_TURN, LATER_TURN]


async def test_a_refusal_that_is_nobody_elses_doing_is_not_taken_for_a_conversation_at_work(
    container: Container, clock: FakeClock
) -> None:
    with pytest.raises(BatchFailedError, match="refused"):
        await opened(Refusing(container), clock).reserve(NewTurn("hi"))


async def test_what_a_newer_release_put_on_the_head_survives_the_next_turn(
    app: App, container: Container
) -> None:
    await app.chat()
    newer = Patch((PatchOperation("set", "/title", "kept"),))
    await Partition.of(ACME, container, "b", "c").patch(HeadItem, "head", newer)
    await app.chat()

    assert (await container.read(("acme", "b", "c"), "head") or {})["title"] == "kept"


# Size


@pytest.mark.slow
async def test_a_conversation_of_10000_turns_costs_the_same_as_one_of_10(
    app: App, cosmos: MemoryCosmos, container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 10, "small")
    await seed(container, clock, 10_000, "large")
    costs = []
    for conversation_id in ("small", "large"):
        for _ in range(2):  # the first turn after an older release finds nothing at hand
            before, units = cosmos.transport.requests, cosmos.transport.charge
            conversation = app.conversation(conversation_id)
            turn = await conversation.reserve(NewTurn("next", memory_tokens=TEN_TURNS))
            assert len(await history(conversation, turn)) >= 10
            await conversation.complete(turn, "answer", USAGE)
        costs.append((cosmos.transport.requests - before, cosmos.transport.charge - units))

    assert [requests for requests, _ in costs] == [2, 2]
    assert costs[1] == pytest.approx(costs[0], rel=0.02)  # their texts differ by some digits
    assert turn.number == 10_002


@pytest.mark.slow
async def test_failed_turns_do_not_push_the_history_out_of_sight(app: App) -> None:
    await app.chat("one")
    for _ in range(70):
        turn = await app.conversation().reserve(NewTurn("fails"))
        await app.conversation().fail(turn)
    await app.chat("next")

    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "next"]


@pytest.mark.slow
async def test_as_many_turns_are_at_hand_as_a_bot_may_be_reminded_of(app: App, container: Container) -> None:
    for _ in range(60):
        conversation = app.conversation()
        await conversation.complete(await conversation.reserve(NewTurn("m")), "r", USAGE)
    turn = await app.conversation().reserve(NewTurn("m"))

    assert [one.number for one in turn.recent] == list(range(11, 61))


# Showing and removing


async def test_turns_are_shown_in_pages_and_in_their_order(
    app: App, container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 12)
    pages, query = [], "limit=5"
    while query:
        page = (await app.on_conversation(query=query)).json()
        pages.append([turn["turn"] for turn in page["items"]])
        query = f"limit=5&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert pages == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12]]
    beyond = (await app.on_conversation(query="cursor=999999999")).json()
    assert (beyond["items"], beyond["next_cursor"]) == ([], None)
    for cursor in ("x", "-1", "1234567890", "٣"):
        assert (await app.on_conversation(query=f"cursor={cursor}")).status == 422


@pytest.mark.parametrize(("limit", "pages"), [(2, [2, 2, 2]), (3, [3, 3]), (5, [5, 1]), (6, [6]), (7, [6])])
async def test_no_cursor_leads_to_an_empty_page(
    app: App, container: Container, clock: FakeClock, limit: int, pages: list[int]
) -> None:
    await seed(container, clock, 6)
    for number in range(5):
        await seed(container, clock, 1, f"d{number}")

    turns = await every_page(lambda query: app.on_conversation(query=query), limit)
    conversations = await every_page(lambda query: app.on_bot("list_conversations", query), limit)

    assert [len(page.json()["items"]) for page in turns] == pages
    assert [len(page.json()["items"]) for page in conversations] == pages


async def test_a_bots_conversations_are_listed_by_id_in_pages(app: App) -> None:
    for conversation_id in ("z", "x", "y"):
        await app.chat(conversation_id=conversation_id, user_id="u")
    await app.save_bot("other")

    first = (await app.on_bot("list_conversations", "limit=2")).json()
    second = (await app.on_bot("list_conversations", f"limit=2&cursor={first['next_cursor']}")).json()
    assert [item["conversation_id"] for item in first["items"]] == ["x", "y"]
    assert [item["conversation_id"] for item in second["items"]] == ["z"]
    assert second["next_cursor"] is None
    assert first["items"][0]["turns"] == 1
    assert first["items"][0]["user_id"] == "u"


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 30])
@pytest.mark.slow
async def test_conversations_in_several_physical_partitions_are_each_listed_once_in_order(
    app: App, limit: int
) -> None:
    names = [f"c{number:02}" for number in range(24)]
    for name in names:
        await app.chat(conversation_id=name)
    app.cosmos.split("conversations", [("acme", "b", name) for name in names], parts=3)

    pages = await every_page(lambda query: app.on_bot("list_conversations", query), limit)

    assert [item["conversation_id"] for page in pages for item in page.json()["items"]] == names


async def test_a_removed_bots_conversations_can_be_read_but_not_continued(app: App) -> None:
    await app.chat()
    await app.on_bot("delete_bot", headers=app.editor)

    assert (await app.on_conversation()).status == 200
    assert len((await app.on_bot("list_conversations")).json()["items"]) == 1
    assert (await app.chat()).status == 404


async def test_a_bot_without_conversations_lists_none_and_no_bot_is_a_404(app: App) -> None:
    listed = await app.on_bot("list_conversations")
    await app.on_bot("delete_bot", headers=app.editor)
    absent = await app.on_bot("list_conversations")

    assert (listed.status, listed.json()["items"]) == (200, [])
    assert (absent.status, absent.json()["error"]) == (404, "BotNotFoundError")


@pytest.mark.slow
async def test_a_removed_conversation_leaves_nothing_and_its_id_is_free(
    app: App, container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 250)
    await app.chat(conversation_id="d")

    assert (await app.on_conversation("delete_conversation")).status == 204
    assert await items(container) == []
    assert await container.read(("acme", "b", "c"), "head") is None
    assert len(await items(container, "d")) == 1
    gone = await app.on_conversation("delete_conversation")
    assert (gone.status, gone.json()["error"]) == (404, "ConversationNotFoundError")
    assert (await app.chat()).json()["turn"] == 1


@pytest.mark.slow
async def test_a_removal_that_was_interrupted_can_be_asked_for_again(
    app: App, container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 150)
    app.trouble.at(4, requests=100)
    assert (await app.on_conversation("delete_conversation")).status == 503
    app.cosmos.transport.lose_requests = 0
    clock.advance(10)

    shown = (await app.on_conversation(query="limit=100")).json()
    assert (shown["turns"], len(shown["items"])) == (150, 50)
    assert (await app.on_conversation("delete_conversation")).status == 204
    assert await items(container) == []


@pytest.mark.slow
async def test_a_turn_that_begins_during_a_removal_is_removed_too(
    container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 3)
    user = opened(container, clock)
    begun = []

    async def nothing() -> None:
        pass

    async def begin() -> None:
        begun.append(await user.reserve(NewTurn("meanwhile")))

    await opened(Interrupted(container, batches=[nothing, begin]), clock).delete()

    assert begun[0].number == 4
    assert await items(container) == []
    with pytest.raises(ConversationNotFoundError):
        await user.complete(begun[0], "too late", USAGE)


@pytest.mark.slow
async def test_two_who_remove_at_once_both_succeed(container: Container, clock: FakeClock) -> None:
    await seed(container, clock, 3)
    other = opened(container, clock)

    await opened(Interrupted(container, batches=[other.delete]), clock).delete()

    assert await items(container) == []
    await seed(container, clock, 3)

    async def nothing() -> None:
        pass

    await opened(Interrupted(container, batches=[nothing, other.delete]), clock).delete()


@pytest.mark.slow
async def test_a_conversation_that_is_continued_all_the_while_is_not_removed(
    container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 1)
    user = opened(container, clock)

    async def continue_it() -> None:
        await user.complete(await user.reserve(NewTurn("again")), "answer", USAGE)

    with pytest.raises(ConflictError, match="being continued"):
        await opened(Interrupted(container, batches=[continue_it] * 40), clock).delete()


async def test_a_turn_that_cannot_be_read_is_logged_without_what_was_said_in_it(
    app: App, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    await app.save_bot()
    await app.chat()
    in_parts = Patch((PatchOperation("set", "/message", [{"text": "my rash"}]),))  # of a newer release
    await container.patch(("acme", "b", "c"), "000000001", in_parts)

    with caplog.at_level(logging.INFO):
        answer = await app.on_conversation()

    told = [describe(record, "app") for record in caplog.records]
    assert answer.status == 500
    assert [line["exception"]["type"] for line in told if "exception" in line] == ["ValidationError"]
    assert "rash" not in str(told)


async def test_a_removal_that_new_turns_always_overtake_is_given_up_after_ten_tries(
    container: Container, clock: FakeClock
) -> None:
    await seed(container, clock, 1)
    tries: list[str] = []

    class Overtaken(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            if [operation.item_id for operation in operations] == ["head"]:
                tries.append("head")
                raise BatchFailedError(0, BatchFailure.CHANGED)
            return await super().batch(key, operations, minimal=minimal)

    with pytest.raises(ConflictError):
        await opened(Overtaken(container), clock).delete()

    assert len(tries) == 10


async def test_turns_are_removed_a_hundred_at_once(container: Container, clock: FakeClock) -> None:
    await seed(container, clock, 201)
    sizes: list[int] = []

    class Counting(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            sizes.append(len(operations))
            return await super().batch(key, operations, minimal=minimal)

    await opened(Counting(container), clock).delete()

    assert sizes == [100, 100, 1, 1]
