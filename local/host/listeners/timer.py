"""The timer trigger: runs on a schedule, at start-up where asked, and makes up for what was missed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from local.host.clock import sleep_unless
from local.host.executor import Call
from local.host.invocation import Json
from local.host.listeners.schedule import is_monitored
from local.host.logs import log

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from local.host.bindings import Function, TimerTrigger
    from local.host.clock import Clock
    from local.host.listeners.listener import Runner
    from local.host.listeners.schedule import Schedule

_NEVER = "0001-01-01T00:00:00+00:00"

# One sleep is no longer than this, so that a clock that was set, or a laptop that slept, is noticed.
_LONGEST_SLEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A timer's state as Azure remembers it; `last` None means that it has not run."""

    last: datetime | None
    next: datetime
    last_updated: datetime

    def to_json(self) -> dict[str, str]:
        """Return it under Azure's names."""
        return {
            "Last": self.last.isoformat() if self.last else _NEVER,
            "Next": self.next.isoformat(),
            "LastUpdated": self.last_updated.isoformat(),
        }

    @classmethod
    def from_json(cls, content: dict[str, str]) -> ScheduleStatus:
        """Read what `to_json` gave."""
        return cls(
            last=datetime.fromisoformat(content["Last"]) if content["Last"] != _NEVER else None,
            next=datetime.fromisoformat(content["Next"]),
            last_updated=datetime.fromisoformat(content["LastUpdated"]),
        )


class ScheduleMonitor(Protocol):
    """Remembers schedules over restarts."""

    def read(self, function: str) -> ScheduleStatus | None:
        """Return what is remembered of a function's timer."""
        ...

    def write(self, function: str, status: ScheduleStatus) -> None:
        """Remember it."""
        ...


class FileMonitor:
    """One small file for each timer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, function: str) -> ScheduleStatus | None:
        """Return what is remembered of a function's timer."""
        path = self._folder / f"{function}.json"
        if not path.is_file():
            return None
        return ScheduleStatus.from_json(json.loads(path.read_text()))

    def write(self, function: str, status: ScheduleStatus) -> None:
        """Remember it; the file is replaced whole, so that a kill leaves the old or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{function}.{os.getpid()}.tmp"
        draft.write_text(json.dumps(status.to_json()))
        draft.replace(self._folder / f"{function}.json")


@dataclass(frozen=True, slots=True)
class TimerListener:
    """Runs one timer's function; runs of one timer never overlap."""

    function: Function
    trigger: TimerTrigger
    schedule: Schedule
    monitor: ScheduleMonitor
    runner: Runner
    clock: Clock

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name

    async def listen(self, stopped: asyncio.Event) -> None:
        """Run the function when it is due, until `stopped` is set."""
        monitored = self.trigger.use_monitor and is_monitored(self.schedule, self.clock.now())
        status = self._catch_up(self.clock.now()) if monitored else None
        if status is not None and status.next < self.clock.now():
            log.info("Function '%s' is past due on startup. Executing now.", self.name)
            await self._run(status, monitored=monitored, past_due=True)
        elif self.trigger.run_on_startup:
            log.info("Function '%s' is configured to run on startup. Executing now.", self.name)
            await self._run(status, monitored=monitored, past_due=False)
        while not stopped.is_set():
            due = self.schedule.next_after(self.clock.now())
            while (seconds := (due - self.clock.now()).total_seconds()) > 0:
                if await sleep_unless(stopped, self.clock, min(seconds, _LONGEST_SLEEP_SECONDS)):
                    return
            await self._run(
                self.monitor.read(self.name) if monitored else None, monitored=monitored, past_due=False
            )

    def _catch_up(self, now: datetime) -> ScheduleStatus:
        """Return the remembered status, begun anew where there is none or the schedule changed."""
        status = self.monitor.read(self.name)
        if status is None:
            status = ScheduleStatus(None, self.schedule.next_after(now), now)
            self.monitor.write(self.name, status)
            return status
        expected = self.schedule.next_after(status.last or status.last_updated)
        if expected != status.next:
            status = ScheduleStatus(None, expected, now)
            self.monitor.write(self.name, status)
        return status

    async def _run(self, status: ScheduleStatus | None, *, monitored: bool, past_due: bool) -> None:
        began = self.clock.now()
        await self.runner.run(
            Call(
                function=self.function,
                value=timer_value(self.schedule, status, past_due=past_due),
                reason=f"Timer fired at {began.isoformat()}",
            )
        )
        if monitored:
            self.monitor.write(self.name, ScheduleStatus(began, self.schedule.next_after(began), began))


def timer_value(schedule: Schedule, status: ScheduleStatus | None, *, past_due: bool) -> Json:
    """Return what a timer's function is given."""
    content: dict[str, Any] = {
        "Schedule": {"AdjustForDST": schedule.adjusts_for_dst},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    return Json(json.dumps(content))
