"""Schedules and the timer trigger, on a clock that the tests own."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from local.host.bindings import TimerTrigger
from local.host.clock import SystemClock
from local.host.invocation import Json, Outcome
from local.host.listeners.schedule import ScheduleError, is_monitored, parse_schedule
from local.host.listeners.timer import FileMonitor, ScheduleStatus, TimerListener
from tests.unit_tests.local_host.fakes import START, FakeClock, FakeRunner, a_function, settle

if TYPE_CHECKING:
    from pathlib import Path

    from local.host.executor import Call


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/5 * * * * *", "2026-01-31T10:30:05"),
        ("0 */5 * * * *", "2026-01-31T10:35:00"),
        ("*/5 * * * *", "2026-01-31T10:35:00"),
        ("0 0 9-17 * * MON-FRI", "2026-02-02T09:00:00"),
        ("0 0 0 13 * FRI", "2026-02-13T00:00:00"),
        ("00:07:00", "2026-01-31T10:37:00"),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, expected: str) -> None:
    assert parse_schedule(schedule).next_after(START) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_schedule_follows_the_wall_clock_of_its_zone() -> None:
    schedule = parse_schedule("0 0 9 * * *", ZoneInfo("Europe/Berlin"))
    assert schedule.next_after(START) == datetime(2026, 2, 1, 8, tzinfo=UTC)
    assert schedule.next_after(datetime(2026, 7, 1, tzinfo=UTC)) == datetime(2026, 7, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize("schedule", ["soon", "* * *", "61 * * * * *", "00:00:00", "0 0 0 * * NOD"])
def test_a_broken_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ScheduleError):
        parse_schedule(schedule)


def test_schedules_under_a_minute_are_not_monitored() -> None:
    assert is_monitored(parse_schedule("0 * * * * *"), START)
    assert not is_monitored(parse_schedule("*/30 * * * * *"), START)
    assert parse_schedule("0 * * * * *").adjusts_for_dst
    assert not parse_schedule("00:01:00").adjusts_for_dst


class _Timer:
    """A timer that listens, on files in a folder."""

    def __init__(self, folder: Path, trigger: TimerTrigger, now: datetime = START) -> None:
        self.clock = FakeClock(now)
        self.runner = FakeRunner()
        self.monitor = FileMonitor(folder)
        self.stopped = asyncio.Event()
        schedule = parse_schedule(trigger.schedule)
        self.listener = TimerListener(
            a_function(trigger), trigger, schedule, self.monitor, self.runner, self.clock
        )
        self.task = asyncio.create_task(self.listener.listen(self.stopped))

    async def stop(self) -> None:
        self.stopped.set()
        await settle()
        await self.task

    def past_due(self) -> list[bool]:
        return [_content(call)["IsPastDue"] for call in self.runner.calls]


def _content(call: Call) -> dict[str, bool]:
    assert isinstance(call.value, Json)
    content: dict[str, bool] = json.loads(call.value.text)
    return content


async def test_a_timer_runs_when_it_is_due_and_remembers_it(tmp_path: Path) -> None:
    timer = _Timer(tmp_path, TimerTrigger("t", "0 */5 * * * *"))
    await timer.clock.advance(299)
    assert timer.runner.calls == []
    await timer.clock.advance(602)
    assert timer.past_due() == [False, False, False]
    status = timer.monitor.read("work")
    assert status is not None
    assert (status.last, status.next) == (START + timedelta(minutes=15), START + timedelta(minutes=20))
    await timer.stop()


async def test_a_timer_runs_at_start_up_where_asked(tmp_path: Path) -> None:
    timer = _Timer(tmp_path, TimerTrigger("t", "0 0 3 * * *", run_on_startup=True, use_monitor=False))
    await settle()
    assert timer.past_due() == [False]
    assert timer.monitor.read("work") is None
    await timer.stop()


async def test_a_missed_run_is_made_up_for_once(tmp_path: Path) -> None:
    last = START - timedelta(hours=1)
    FileMonitor(tmp_path).write("work", ScheduleStatus(last, last + timedelta(minutes=5), last))
    timer = _Timer(tmp_path, TimerTrigger("t", "0 */5 * * * *", run_on_startup=True))
    await settle()
    assert timer.past_due() == [True]
    await timer.stop()


async def test_a_changed_schedule_starts_anew(tmp_path: Path) -> None:
    last = START - timedelta(minutes=1)
    FileMonitor(tmp_path).write("work", ScheduleStatus(last, START - timedelta(seconds=30), last))
    timer = _Timer(tmp_path, TimerTrigger("t", "0 0 3 * * *"))
    await settle()
    assert timer.runner.calls == []
    status = timer.monitor.read("work")
    assert status == ScheduleStatus(None, datetime(2026, 2, 1, 3, tzinfo=UTC), START)
    await timer.stop()


async def test_runs_of_one_timer_do_not_overlap(tmp_path: Path) -> None:
    timer = _Timer(tmp_path, TimerTrigger("t", "0 */5 * * * *"))
    running = 0

    async def slow(_call: Call) -> Outcome:
        nonlocal running
        running += 1
        assert running == 1
        await timer.clock.sleep(700)
        running -= 1
        return Outcome()

    timer.runner._body = slow  # noqa: SLF001 -- it needs the timer's clock, which is made with it
    await timer.clock.advance(2000)
    assert len(timer.runner.calls) == 2
    timer.task.cancel()
    await asyncio.gather(timer.task, return_exceptions=True)


async def test_the_system_clock_tells_the_time_in_utc() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert before <= clock.now()
    assert before.tzinfo is UTC
