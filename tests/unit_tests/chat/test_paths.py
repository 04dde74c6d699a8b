"""Turns undone, rewound and regenerated are hidden, never lost; their numbers are not given again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.path import RANGES_IN_HEAD, RANGES_IN_SEGMENT, VisiblePath
from functions.chat.conversations.reservation import RESERVATION_SECONDS, NewTurn
from functions.chat.conversations.turns import VisibleTurns
from tests.support.fakes import Call
from tests.unit_tests.chat.app import USAGE

if TYPE_CHECKING:
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App


async def change(app: App, route: str, body: object = None, **headers: str) -> Answer:
    """Call a route of conversation `c`."""
    path = {"bot_id": "b", "conversation_id": "c"}
    return await app.client.call(route, Call.of(body or {}, headers=app.user | headers, **path))


async def shown(app: App, conversation_id: str = "c") -> list[int]:
    """Read the numbers of all visible turns, page by page."""
    numbers: list[int] = []
    query = "limit=7"
    while query:
        page = (await app.on_conversation(query=query, conversation_id=conversation_id)).json()
        numbers += [turn["turn"] for turn in page["items"]]
        query = f"limit=7&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    return numbers


def reminded(app: App) -> list[str]:
    """Return the answers that the model was reminded of last."""
    return [text for role, text in app.model.said if role == "assistant"]


async def test_an_undone_turn_is_neither_shown_nor_remembered_and_its_number_is_not_given_again(
    app: App,
) -> None:
    for message in ("one", "two", "three"):
        await app.chat(message)
    undone = await change(app, "undo_turn")
    assert (undone.status, undone.headers["etag"]) == (200, undone.json()["etag"])
    assert await shown(app) == [1, 2]
    await app.chat("four")

    assert await shown(app) == [1, 2, 4]
    assert reminded(app) == ["answer 1", "answer 2"]


async def test_undoing_all_leaves_nothing_to_undo(app: App) -> None:
    await app.chat()
    assert (await change(app, "undo_turn")).status == 200
    refused = await change(app, "undo_turn")

    assert (refused.status, await shown(app)) == (409, [])
    assert (await app.chat()).json()["turn"] == 2
    assert reminded(app) == []


async def test_undo_passes_over_what_has_no_answer(app: App) -> None:
    await app.chat()
    failed = await app.conversation().reserve(NewTurn("fails"))
    await app.conversation().fail(failed)
    await change(app, "undo_turn")

    assert await shown(app) == []


async def test_rewinding_goes_back_to_a_visible_turn_only(app: App) -> None:
    for _ in range(5):
        await app.chat()
    assert (await change(app, "rewind_conversation", {"turn": 3})).status == 200
    assert await shown(app) == [1, 2, 3]
    for turn, status in ((4, 404), (6, 404), (-1, 422), (3, 200)):
        assert (await change(app, "rewind_conversation", {"turn": turn})).status == status
    await app.chat()
    assert await shown(app) == [1, 2, 3, 6]
    assert (await change(app, "rewind_conversation", {"turn": 0})).status == 200
    assert await shown(app) == []


async def test_a_regenerated_answer_takes_the_place_of_the_one_before(app: App) -> None:
    await app.chat("one", user_id="ann")
    await app.chat("two")
    again = await change(app, "regenerate_answer")

    assert (again.status, again.json()["turn"], again.json()["response"]) == (200, 3, "answer 3")
    assert app.model.said[1:] == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]
    assert app.model.prompts[-1].user == "ann"
    assert await app.turns() == [(1, "done", "one", "answer 1"), (3, "done", "two", "answer 3")]
    await app.chat("four")
    assert reminded(app) == ["answer 1", "answer 3"]


async def test_an_answer_stays_visible_while_asking_for_it_again_fails(app: App) -> None:
    await app.chat("one")
    app.model.failure = RuntimeError("no answer")
    with pytest.raises(RuntimeError):
        await app.model.complete(app.model.prompts[-1])
    assert (await change(app, "regenerate_answer")).status == 500
    app.model.failure = None

    assert [turn[:2] for turn in await app.turns()] == [(1, "done"), (2, "failed")]
    assert (await change(app, "regenerate_answer")).json()["turn"] == 3
    assert [turn[:2] for turn in await app.turns()] == [(3, "done")]


async def test_nothing_to_regenerate_is_a_conflict(app: App) -> None:
    assert (await change(app, "regenerate_answer")).status == 404
    await app.chat()
    await change(app, "undo_turn")
    assert (await change(app, "regenerate_answer")).status == 409


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("undo_turn", None),
        ("rewind_conversation", {"turn": 1}),
        ("regenerate_answer", None),
        ("fork_conversation", None),
    ],
)
async def test_a_conversation_with_a_turn_in_work_is_not_changed(
    app: App, clock: FakeClock, route: str, body: object
) -> None:
    await app.chat()
    turn = await app.conversation().reserve(NewTurn("in work"))
    refused = await change(app, route, body)
    assert (refused.status, refused.headers["retry-after"]) == (409, "1")
    await app.conversation().complete(turn, "answer", USAGE)
    assert [one[:2] for one in await app.turns()] == [(1, "done"), (2, "done")]

    await app.conversation().reserve(NewTurn("of one who dies"))
    clock.advance(RESERVATION_SECONDS)
    assert (await change(app, route, body)).status in {200, 201}


async def test_a_dead_workers_turn_is_kept_by_a_change_and_answers_itself_late(
    app: App, clock: FakeClock
) -> None:
    await app.chat("one")
    late = await app.conversation().reserve(NewTurn("two"))
    clock.advance(RESERVATION_SECONDS)
    await change(app, "rewind_conversation", {"turn": 1})
    await app.conversation().complete(late, "late", USAGE)

    assert await shown(app) == [1]
    exported = (await app.on_conversation("export_conversation")).json()["items"]
    assert [(one["turn"], one["response"], one["is_visible"]) for one in exported] == [
        (1, "answer 1", True),
        (2, "late", False),
    ]
    await app.chat("three")
    assert reminded(app) == ["answer 1"]


async def test_a_change_takes_effect_on_the_state_that_was_seen_alone(app: App) -> None:
    await app.chat("one")
    seen = (await app.on_conversation()).headers["etag"]
    await app.chat("two")
    for route, body in (
        ("undo_turn", None),
        ("rewind_conversation", {"turn": 1}),
        ("regenerate_answer", None),
        ("rename_conversation", {"title": "t"}),
        ("fork_conversation", None),
        ("delete_conversation", None),
    ):
        assert (await change(app, route, body, **{"if-match": seen})).status == 412, route
    assert await shown(app) == [1, 2]
    seen = (await app.on_conversation()).headers["etag"]
    renamed = await change(app, "rename_conversation", {"title": "Printers"}, **{"if-match": seen})
    assert (renamed.status, renamed.json()["title"]) == (200, "Printers")
    undone = await change(app, "undo_turn", **{"if-match": renamed.headers["etag"]})
    assert (undone.status, await shown(app)) == (200, [1])


async def test_a_title_is_shown_until_it_is_taken_away(app: App) -> None:
    await app.chat()
    await change(app, "rename_conversation", {"title": "Printers"})
    listed = (await app.on_bot("list_conversations")).json()["items"]
    assert [one["title"] for one in listed] == ["Printers"]
    await change(app, "rename_conversation", {"title": None})
    assert (await app.on_conversation()).json()["title"] is None
    assert (await change(app, "rename_conversation", {"title": ""})).status == 422


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("route", ["undo_turn", "rename_conversation", "regenerate_answer"])
async def test_a_lost_answer_of_the_store_makes_no_second_change(app: App, route: str, nth: int) -> None:
    for _ in range(3):
        await app.chat()
    app.trouble.at(nth, answers=1)
    answer = await change(app, route, {"title": "t"} if route == "rename_conversation" else None)
    app.cosmos.transport.lose_answers = 0

    assert answer.status == 200
    left = {"undo_turn": [1, 2], "rename_conversation": [1, 2, 3], "regenerate_answer": [1, 2, 4]}
    assert await shown(app) == left[route]


async def test_a_turn_is_rated_and_rated_anew(app: App) -> None:
    await app.chat()
    path = {"bot_id": "b", "conversation_id": "c", "turn": "1"}

    async def rate(body: object, **more: str) -> Answer:
        return await app.client.call("rate_turn", Call.of(body, headers=app.user | more, **path))

    shown = (await app.on_conversation()).json()["items"][0]["etag"]
    first = await rate({"rating": "down", "comment": "wrong"}, **{"if-match": shown})
    assert first.json()["etag"] == first.headers["etag"]
    assert (await rate({"rating": "up"}, **{"if-match": shown})).status == 412
    assert first.json()["rating"] | {"rated_at": None} == {
        "rating": "down",
        "comment": "wrong",
        "rated_at": None,
    }
    assert (await rate({"rating": "up"}, **{"if-match": '"another"'})).status == 412
    assert (await rate({"rating": "up"}, **{"if-match": first.headers["etag"]})).status == 200
    kept = (await app.on_conversation()).json()["items"][0]
    assert kept["rating"]["rating"] == "up"
    assert kept["etag"] not in {shown, first.headers["etag"]}
    assert (await rate({"rating": "fine"})).status == 422
    path["turn"] = "2"
    assert (await rate({"rating": "up"})).json()["error"] == "TurnNotFoundError"
    turn = await app.conversation().reserve(NewTurn("fails"))
    assert (await rate({"rating": "up"})).status == 404
    await app.conversation().fail(turn)
    assert (await rate({"rating": "up"})).status == 409


async def test_conversations_are_listed_by_recency_and_no_page_repeats_another(
    app: App, clock: FakeClock
) -> None:
    for name in ("a", "b", "c", "d"):
        await app.chat(conversation_id=name)
        clock.advance(1)
    await app.chat(conversation_id="b")
    first = (await app.on_bot("list_conversations", "limit=2")).json()
    clock.advance(1)
    await app.chat(conversation_id="d")
    second = (await app.on_bot("list_conversations", f"limit=2&cursor={first['next_cursor']}")).json()

    assert [one["conversation_id"] for one in first["items"]] == ["b", "d"]
    assert [one["conversation_id"] for one in second["items"]] == ["c", "a"]
    assert second["next_cursor"] is None


# Random histories


@dataclass
class Model:
    """What a conversation ought to be: numbers and messages that are visible, in order."""

    begun: int = 0
    visible: list[tuple[int, str]] = field(default_factory=list)

    def cut(self, last: int) -> None:
        self.visible = [one for one in self.visible if one[0] <= last]


async def act(app: App, model: Model, rng: random.Random) -> None:
    """Do one random thing, and expect of it what the model says."""
    kind = rng.choice(["chat"] * 4 + ["undo"] * 2 + ["rewind", "regenerate"] * 1)
    if kind == "chat":
        message = f"m{rng.random()}"
        answer = await app.chat(message)
        model.begun += 1
        assert answer.json()["turn"] == model.begun
        assert [text for role, text in app.model.said if role == "user"] == [
            *(text for _, text in model.visible),
            message,
        ][-51:]
        model.visible.append((model.begun, message))
    elif not model.begun:
        assert (await change(app, f"{kind}_turn" if kind == "undo" else "undo_turn")).status == 404
    elif kind == "undo":
        assert (await change(app, "undo_turn")).status == (200 if model.visible else 409)
        model.visible = model.visible[:-1]
    elif kind == "rewind":
        last = rng.choice([0, *(number for number, _ in model.visible)])
        assert (await change(app, "rewind_conversation", {"turn": last})).status == 200
        model.cut(last)
    elif not model.visible:
        assert (await change(app, "regenerate_answer")).status == 409
    else:
        model.begun += 1
        assert (await change(app, "regenerate_answer")).json()["turn"] == model.begun
        model.visible[-1] = (model.begun, model.visible[-1][1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
async def test_random_histories_are_as_a_simple_model_has_them(app: App, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # a seeded history
    model = Model()
    for step in range(60):
        await act(app, model, rng)
        if step % 10 == 0 and model.begun:
            assert await shown(app) == [number for number, _ in model.visible]
    assert await shown(app) == [number for number, _ in model.visible]
    exported = (await app.on_conversation("export_conversation")).json()["items"]
    assert [one["turn"] for one in exported] == list(range(1, model.begun + 1))
    assert [one["turn"] for one in exported if one["is_visible"]] == [number for number, _ in model.visible]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
async def test_a_store_that_dies_at_any_request_leaves_the_history_before_or_after(
    app: App, clock: FakeClock, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311  # a seeded history
    for _ in range(4):
        await app.chat()
    given = {1, 2, 3, 4}
    for _ in range(25):
        before = await shown(app)
        route = rng.choice(["undo_turn", "rewind_conversation", "regenerate_answer", "chat"])
        last = rng.choice([0, *before])
        app.trouble.at(rng.randint(1, 5), **{rng.choice(["requests", "answers"]): 100})
        if route == "chat":
            answer = await app.chat()
        else:
            answer = await change(app, route, {"turn": last} if route == "rewind_conversation" else None)
        app.cosmos.transport.lose_requests = app.cosmos.transport.lose_answers = 0
        app.cosmos.transport.watch = lambda _: None
        clock.advance(RESERVATION_SECONDS + 30)
        after = await shown(app)
        new = set(after) - set(before)
        assert answer.status in {200, 409, 503}
        assert len(new) <= 1
        assert not new & given, "a number was given twice"
        given |= new
        kept = [number for number in after if number not in new]
        assert kept == before[: len(kept)], "what is kept is where the path before began"
        if answer.status == 200 and route in {"chat", "regenerate_answer"}:
            assert after[-1] == answer.json()["turn"]
        if route == "chat":
            assert kept == before
    assert (await app.chat()).status == 200


# Size


def test_a_path_of_many_changes_takes_bounded_room_in_the_head() -> None:
    path = VisiblePath(0, (), 1, 0)
    spilled: list[tuple[int, int]] = []
    for number in range(1, 10_001):
        path = VisiblePath(path.segments, path.ended, path.open_from, number)
        if number % 2 == 0:
            path, spill = path.cut(number - 1, number + 1).spill()
            if spill is not None:
                assert spill.segment == len(spilled) // RANGES_IN_SEGMENT
                spilled += spill.ranges
        assert len(path.ended) <= RANGES_IN_HEAD

    assert [*spilled, *path.ranges] == [(number, number) for number in range(1, 10_001, 2)]


@pytest.mark.slow
async def test_a_path_that_was_changed_often_is_walked_in_pieces_and_costs_the_same_to_continue(
    app: App, cosmos: MemoryCosmos
) -> None:
    expected: list[int] = []
    costs = []
    conversation = app.conversation()
    for number in range(1, 231):
        before, units = cosmos.transport.requests, cosmos.transport.charge
        turn = await conversation.reserve(NewTurn("m", memory_tokens=100))
        await conversation.load_history(turn)
        await conversation.complete(turn, "r", USAGE)
        costs.append((cosmos.transport.requests - before, cosmos.transport.charge - units))
        expected.append(number)
        if number % 2 == 0:
            assert (await change(app, "undo_turn")).status == 200
            expected.pop()
    head = await conversation.read()

    assert head.segments == 1 + (115 - RANGES_IN_HEAD - 1) // RANGES_IN_SEGMENT
    assert await shown(app) == expected
    assert {requests for requests, _ in costs[1:]} == {2}
    assert costs[-1][1] < 1.5 * costs[30][1]
    visible = VisibleTurns(conversation.place.own, head)
    assert [turn.number for turn in await visible.read_last_done(100)] == expected[-100:]
    for turn_number in (expected[5], expected[2]):  # into the first segment
        assert (await change(app, "rewind_conversation", {"turn": turn_number})).status == 200
        assert await shown(app) == [number for number in expected if number <= turn_number]
    assert (await app.chat()).json()["turn"] == 231
    assert await shown(app) == [*expected[:3], 231]
