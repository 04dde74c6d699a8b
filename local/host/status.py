"""The host's state: its functions, and what became of their invocations on all instances."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.host.bindings import BlobTrigger, HttpTrigger, ServiceBusTrigger, TimerTrigger, WarmupTrigger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from local.host.bindings import Function
    from local.host.depths import Depths, QueueReport
    from local.host.executor import Tally
    from local.host.instances import Board

VERSION = "4.0.0-local"
_KEPT_FAILURES = 5


@dataclass(frozen=True, slots=True)
class HostState:
    """One instance's state.

    Attributes:
        app_name: The app's folder.
        base_url: Where it answers.
        route_prefix: What stands before every route.
        functions: All functions, disabled ones too.
        tallies: What became of invocations on this instance, by function.
        poison: Gives the blobs that were given up.
        errors: Why the app does not run, where it does not.
        started: On the monotonic clock.
    """

    app_name: str
    base_url: str
    route_prefix: str
    functions: Sequence[Function]
    tallies: Mapping[str, Tally]
    poison: Callable[[], Sequence[Mapping[str, str]]]
    errors: Sequence[str] = ()
    started: float = field(default_factory=time.monotonic)

    def report(self) -> dict[str, Any]:
        """Tell of this instance."""
        return {
            "instanceId": str(os.getpid()),
            "processUptime": int((time.monotonic() - self.started) * 1000),
            "functions": {name: _counted(tally) for name, tally in self.tallies.items()},
        }

    def address(self, function: Function) -> str:
        """Return where a function is reached: methods and URL, entity, schedule or path."""
        match function.trigger:
            case HttpTrigger(methods=methods):
                return f"[{','.join(methods)}] {self.url(function.trigger)}"
            case ServiceBusTrigger(source=source):
                return str(source)
            case TimerTrigger(schedule=schedule):
                return schedule
            case BlobTrigger(path=path):
                return path
            case WarmupTrigger():
                return f"{self.base_url}/admin/warmup"

    @staticmethod
    def trigger_type(function: Function) -> str:
        """Return the trigger's type as function.json names it."""
        name = type(function.trigger).__name__
        return name[0].lower() + name[1:]

    def url(self, trigger: HttpTrigger) -> str:
        """Return the URL of an HTTP function, its parameters in braces."""
        parts = [self.base_url, self.route_prefix.strip("/"), trigger.route.strip("/")]
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """Answers for all instances."""

    state: HostState
    board: Board
    queues: Callable[[], Awaitable[QueueReport]]

    async def read(self) -> dict[str, Any]:
        """Return the host's state, and each function's."""
        reports = [self.state.report(), *self.board.others()]
        queues = await self.queues()
        functions = [
            self._function(function, reports, queues.by_function) for function in self.state.functions
        ]
        return {
            "id": self.state.app_name,
            "state": "Error" if self.state.errors else "Running",
            "errors": list(self.state.errors),
            "version": VERSION,
            "versionDetails": f"{VERSION} on azure-functions-runtime",
            "platformVersion": "",
            "computerName": "localhost",
            "functionAppContentEditingState": "NotAllowed",
            "instanceId": reports[0]["instanceId"],
            "processUptime": reports[0]["processUptime"],
            "instances": [
                {name: report[name] for name in ("instanceId", "processUptime")}
                for report in sorted(reports, key=lambda report: int(report["instanceId"]))
            ],
            "functions": functions,
            "queues": [{"name": name, **depths} for name, depths in sorted(queues.by_name.items())],
            "poisonBlobs": list(self.state.poison()),
        }

    def _function(
        self, function: Function, reports: Sequence[Mapping[str, Any]], depths: Mapping[str, Depths]
    ) -> dict[str, Any]:
        counts = [
            report["functions"][function.name] for report in reports if function.name in report["functions"]
        ]
        ended = sum(count["invocations"] - count["running"] for count in counts)
        failures = [failure for count in counts for failure in count["recentFailures"]]
        failures.sort(key=lambda failure: str(failure["at"]))
        return {
            "name": function.name,
            "trigger": self.state.trigger_type(function),
            "address": self.state.address(function),
            "disabled": function.disabled,
            **{name: sum(count[name] for count in counts) for name in ("invocations", "failures", "running")},
            "averageMilliseconds": round(sum(count["milliseconds"] for count in counts) / ended, 1)
            if ended
            else None,
            "lastEnded": max((count["lastEnded"] for count in counts if count["lastEnded"]), default=None),
            "queue": depths.get(function.name),
            "recentFailures": failures[-_KEPT_FAILURES:],
        }


def _counted(tally: Tally) -> dict[str, Any]:
    return {
        "invocations": tally.invocations,
        "failures": tally.failures,
        "running": tally.running,
        "milliseconds": round(tally.milliseconds, 1),
        "lastEnded": tally.last_ended.isoformat(timespec="milliseconds") if tally.last_ended else None,
        "recentFailures": [
            {"at": at.isoformat(timespec="milliseconds"), "message": message}
            for at, message in tally.recent_failures
        ],
    }
