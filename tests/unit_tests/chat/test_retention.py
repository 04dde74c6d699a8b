"""Turns end by their own time, the shorter one of bot and tenant; a head outlives its turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.retention import (
    FOR_EVER,
    SECONDS_PER_DAY,
    end_of,
    later,
    seconds_left,
    shortest_days,
)
from tests.support.fakes import EPOCH, Call, FakeClock

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App


async def numbers(app: App) -> list[int]:
    answer = await app.on_conversation(query="limit=100")
    return [] if answer.status == 404 else [turn["turn"] for turn in answer.json()["items"]]


def test_of_two_times_the_shorter_one_wins() -> None:
    assert (shortest_days(None, None), shortest_days(3, None), shortest_days(3, 2)) == (None, 3, 2)
    assert (later(1, 2), later(1, None), later(None, None)) == (2, None, None)
    clock = FakeClock()
    assert end_of(EPOCH, None) is None
    assert seconds_left(None, clock) == FOR_EVER
    end = end_of(clock.now(), 1)
    assert seconds_left(end, clock) == SECONDS_PER_DAY
    clock.advance(2 * SECONDS_PER_DAY)
    assert seconds_left(end, clock) == 1


@pytest.mark.parametrize(("bots", "tenants", "days"), [(2, 0, 2), (None, 3, 3), (2, 3, 2), (3, 2, 2)])
async def test_a_turn_is_removed_after_the_shorter_of_both_times(
    app: App, clock: FakeClock, bots: int | None, tenants: int, days: int
) -> None:
    await app.save_bot(system_prompt="Be brief.", retention_days=bots)
    app.settings.values["chat.retention_days"] = tenants
    await app.chat()
    shown = (await app.on_conversation()).json()["items"][0]
    assert shown["expires_at"] == f"2026-02-0{days}T10:30:00Z"

    clock.advance(days * SECONDS_PER_DAY - 1)
    assert await numbers(app) == [1]
    clock.advance(2)
    assert await numbers(app) == []
    clock.advance(3_600)
    assert (await app.on_conversation()).status == 404
    assert (await app.chat()).json()["turn"] == 1


async def test_without_a_time_nothing_is_removed(app: App, clock: FakeClock) -> None:
    await app.chat()
    clock.advance(5_000 * SECONDS_PER_DAY)

    assert await numbers(app) == [1]


async def test_each_turn_ends_by_itself_and_the_conversation_goes_on(app: App, clock: FakeClock) -> None:
    app.settings.values["chat.retention_days"] = 2
    await app.chat("one")
    clock.advance(SECONDS_PER_DAY)
    await app.chat("two")
    path = {"bot_id": "b", "conversation_id": "c", "turn": "1"}
    rated = await app.client.call("rate_turn", Call.of({"rating": "up"}, headers=app.user, **path))
    assert rated.status == 200  # which gives it no more time
    clock.advance(SECONDS_PER_DAY + 1)

    assert await numbers(app) == [2]
    assert (await app.chat("three")).json()["turn"] == 3
    assert [text for role, text in app.model.said if role == "user"] == ["two", "three"]
    stored = [body for _, _, body in app.cosmos.rows_of("acme") if b'"id":"recent"' in body]
    assert len(stored) == 1
    assert b'"one"' not in stored[0]


async def test_no_number_is_given_again_where_a_shorter_time_came_later(app: App, clock: FakeClock) -> None:
    app.settings.values["chat.retention_days"] = 10
    await app.chat("one")
    app.settings.values["chat.retention_days"] = 1
    await app.chat("two")
    clock.advance(5 * SECONDS_PER_DAY)

    assert await numbers(app) == [1]
    assert (await app.chat("three")).json()["turn"] == 3


async def test_a_fork_gives_no_turn_more_time(app: App, clock: FakeClock) -> None:
    app.settings.values["chat.retention_days"] = 2
    await app.chat("one")
    clock.advance(SECONDS_PER_DAY)
    path = {"bot_id": "b", "conversation_id": "c"}
    forked = await app.client.call("fork_conversation", Call.of({}, headers=app.user, **path))
    copy = forked.json()["conversation_id"]
    assert len((await app.on_conversation(conversation_id=copy)).json()["items"]) == 1
    clock.advance(SECONDS_PER_DAY + 1)

    assert (await app.on_conversation(conversation_id=copy)).json()["items"] == []
