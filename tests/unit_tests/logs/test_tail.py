"""`GET /logs/tail`: lines as their chunks arrive, each once, bounded, and none of anybody else's."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.models import LogTailQuery, LogTailReply
from functions.logs.repository import ManifestRepository
from functions.logs.search import LogSearch
from functions.logs.stream_places import (
    MOST,
    MOST_OF_A_TENANT,
    STREAM_SECONDS,
    StreamPlaces,
    TooManyLogStreamsError,
)
from functions.logs.tail import DELAY_SECONDS, MOST_LINES, OVERLAP_SECONDS, LogTail
from shared.errors import AuthenticationError, ValidationError
from shared.http.streaming import HEARTBEAT_SECONDS, StreamEvent
from shared.tenancy.context import Role
from tests.support.fakes import StillClock, tenant_context
from tests.unit_tests.logs.log_app import LogApp
from tests.unit_tests.logs.test_search import entry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

EARLIER = 3_600
"""From nine o'clock to half an hour before the clock's time, which is half past ten."""


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> LogApp:
    return LogApp(cosmos, clock)


def follow(
    app: LogApp, query: LogTailQuery | None = None, last_event_id: str | None = None
) -> AsyncGenerator[StreamEvent | LogTailReply]:
    tenant = tenant_context("acme", Role.TENANT_ADMIN)
    manifests = ManifestRepository(tenant, app.cosmos.container("log_index"))
    tail = LogTail(tenant, manifests, LogSearch(manifests, app.blobs), app.runtime.clock)
    return tail.follow(query or LogTailQuery(), last_event_id)


def message_of(event: object) -> str:
    assert isinstance(event, StreamEvent)
    told: dict[str, Any] = json.loads(event.data)
    return str(told["message"])


async def test_lines_come_as_they_arrive_and_once(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry("one", EARLIER), entry("two", EARLIER + 1)])
    following = follow(app)
    await anext(following)

    first = [message_of(await anext(following)) for _ in range(2)]
    await app.ship(tmp_path, "acme", [entry("late", EARLIER - 600)], source="2")
    await app.ship(tmp_path, "globex", [entry("theirs", EARLIER, tenant="globex")])
    third = message_of(await anext(following))
    rest = [event async for event in following]

    assert (first, third) == (["one", "two"], "late")
    [done] = rest
    assert isinstance(done, LogTailReply)
    assert (done.items, done.is_cut) == ([], False)


async def test_a_follower_is_let_go_in_time(app: LogApp) -> None:
    began = app.runtime.clock.monotonic()

    start, done = [event async for event in follow(app)]

    assert isinstance(start, StreamEvent)
    assert start.name == "start"
    assert json.loads(start.data)["delay_seconds"] == DELAY_SECONDS == 75
    assert isinstance(done, LogTailReply)
    assert STREAM_SECONDS <= app.runtime.clock.monotonic() - began < STREAM_SECONDS + 15


async def test_a_stream_that_is_taken_up_again_misses_nothing(
    app: LogApp, tmp_path: Path, clock: FakeClock
) -> None:
    await app.ship(tmp_path, "acme", [entry("one", EARLIER), entry("two", EARLIER + 1)])
    following = follow(app)
    _, one, two = [await anext(following) for _ in range(3)]
    assert isinstance(one, StreamEvent)
    assert isinstance(two, StreamEvent)
    clock.advance(30)
    await app.ship(tmp_path, "acme", [entry("three", EARLIER + 2)])

    async def after(event: StreamEvent) -> list[str]:
        again = [one async for one in follow(app, last_event_id=event.event_id)]
        return [message_of(one) for one in again[1:-1]]

    assert await after(one) == ["one", "two", "three"]
    assert (await after(two))[-1] == "three"


async def test_a_look_without_events_tells_where_the_next_one_begins(
    app: LogApp, tmp_path: Path, clock: FakeClock
) -> None:
    await app.ship(tmp_path, "acme", [entry("one", EARLIER)])
    first = await app.get("acme", "tail_log")
    clock.advance(OVERLAP_SECONDS + 1)
    await app.ship(tmp_path, "acme", [entry("two", EARLIER + 1, level="ERROR"), entry("three", EARLIER + 2)])
    clock.advance(OVERLAP_SECONDS)
    second = await app.get("acme", "tail_log", f"after={first['after'] + 1}&level=ERROR")

    assert [line["message"] for line in first["items"]] == ["one"]
    assert [line["message"] for line in second["items"]] == ["two"]
    assert second["after"] > first["after"]
    assert (await app.get("globex", "tail_log"))["items"] == []


async def test_what_is_too_much_is_cut_to_the_newest(app: LogApp, tmp_path: Path) -> None:
    lines = [entry(f"{number}", EARLIER + number / 10) for number in range(MOST_LINES + 10)]
    await app.ship(tmp_path, "acme", lines)

    shown = await app.get("acme", "tail_log")

    assert shown["is_cut"]
    assert [line["message"] for line in shown["items"]] == [f"{n}" for n in range(10, MOST_LINES + 10)]


async def test_a_look_reads_twenty_chunks_at_most(app: LogApp, tmp_path: Path) -> None:
    for number in range(22):
        await app.ship(tmp_path, "acme", [entry(f"{number}", EARLIER + number)])
    app.blobs.reads.clear()

    shown = await app.get("acme", "tail_log")

    assert (len(app.blobs.reads), shown["is_cut"], shown["items"][0]["message"]) == (20, True, "2")


async def test_an_event_id_that_is_none_is_refused(app: LogApp) -> None:
    with pytest.raises(ValidationError, match="last-event-id"):
        await anext(follow(app, last_event_id="x"))


async def test_a_chunk_whose_store_has_a_slow_clock_is_not_missed(
    app: LogApp, tmp_path: Path, clock: FakeClock
) -> None:
    following = follow(app)
    await anext(following)
    await app.ship(tmp_path, "acme", [entry("one", EARLIER)])
    first = message_of(await anext(following))
    clock.advance(-OVERLAP_SECONDS)
    await app.ship(tmp_path, "acme", [entry("two", EARLIER + 1)])
    clock.advance(OVERLAP_SECONDS)

    assert (first, message_of(await anext(following))) == ("one", "two")


async def test_a_reader_that_is_slow_is_let_go_and_goes_on_where_it_was(
    app: LogApp, tmp_path: Path, clock: FakeClock
) -> None:
    await app.ship(tmp_path, "acme", [entry(f"{number}", EARLIER + number) for number in range(9)])
    first = []
    async for event in follow(app):
        clock.advance(STREAM_SECONDS / 4)
        first.append(event)
    done = first[-1]
    assert isinstance(done, LogTailReply)
    again = [event async for event in follow(app, LogTailQuery(after=done.after))]

    assert [message_of(event) for event in first[1:-1]] == ["0", "1", "2"]
    assert [message_of(event) for event in again[1:-1]] == [f"{number}" for number in range(9)]


async def test_no_more_than_an_hour_and_nothing_of_the_future_is_looked_back_to(
    app: LogApp, tmp_path: Path, clock: FakeClock
) -> None:
    now = int(clock.now().timestamp())
    asked = {0: now - 3_600, now + 999: now, now - 7: now - 7}

    for after, begun in asked.items():
        start = await anext(follow(app, LogTailQuery(after=after)))
        assert isinstance(start, StreamEvent)
        assert start.event_id == str(begun)


async def test_four_streams_of_a_tenant_are_open_at_a_time_and_nothing_of_those_that_are_left_stays(
    cosmos: MemoryCosmos, tmp_path: Path
) -> None:
    clock = StillClock()
    app = LogApp(cosmos, clock)
    before = asyncio.all_tasks()
    async with AsyncExitStack() as open_ones:
        for _ in range(MOST_OF_A_TENANT):
            reader = await open_ones.enter_async_context(await app.tail("acme"))
            assert b"event: start" in await reader.piece()
        refused = await app.stream("acme", "")
        others = await app.stream("globex", "")
        await clock.move(HEARTBEAT_SECONDS)
        assert await reader.piece() == b": still at work\n\n"

    assert (refused.status, refused.json()["error"]) == (429, "TooManyLogStreamsError")
    assert refused.headers["retry-after"] == str(int(STREAM_SECONDS))
    assert others.status == 200
    assert asyncio.all_tasks() <= before
    async with await app.tail("acme") as reader:
        assert b"event: start" in await reader.piece()


async def test_the_streams_of_a_process_are_bounded(clock: FakeClock) -> None:
    async def nothing() -> AsyncGenerator[int]:
        yield 1

    async def let_in(_: TenantContext) -> None: ...

    places = StreamPlaces(clock, let_in)
    opened = [places.bind(tenant_context(f"t{number}"), nothing()) for number in range(MOST + 1)]
    for one in opened[:-1]:
        await anext(one)

    with pytest.raises(TooManyLogStreamsError):
        await anext(opened[-1])
    await opened[0].aclose()
    again = places.bind(tenant_context("late"), nothing())
    assert await anext(again) == 1
    for one in (*opened, again):
        await one.aclose()


async def test_a_follower_whose_key_was_revoked_gets_no_further_line(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry("before", EARLIER)])
    tenant = tenant_context("acme", Role.TENANT_ADMIN)
    following = StreamPlaces(app.runtime.clock, app.authenticator.check_in_force).bind(tenant, follow(app))
    seen = [await anext(following) for _ in range(2)]

    app.authenticator.contexts.clear()
    await app.ship(tmp_path, "acme", [entry("after", EARLIER)], source="2")

    assert message_of(seen[-1]) == "before"
    with pytest.raises(AuthenticationError):
        await anext(following)


async def test_a_follower_sees_no_line_of_another_tenant_nor_of_the_platform(
    app: LogApp, tmp_path: Path
) -> None:
    await app.ship(tmp_path, "globex", [entry("theirs", EARLIER, tenant="globex")])
    await app.ship(tmp_path, "_platform", [entry("ours", EARLIER, tenant=None)])
    smuggled = [entry("smuggled", EARLIER, tenant="globex"), entry("mine", EARLIER)]
    await app.ship(tmp_path, "acme", smuggled)

    seen = [event async for event in follow(app)][1:-1]

    assert [message_of(event) for event in seen] == ["mine"]
