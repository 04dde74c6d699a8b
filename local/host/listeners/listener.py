"""The listeners' protocol, and the loop that keeps one running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from local.host.clock import sleep_unless
from local.host.logs import log

if TYPE_CHECKING:
    import asyncio

    from local.host.clock import Clock
    from local.host.executor import Call
    from local.host.invocation import Outcome

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


class Runner(Protocol):
    """Runs the calls of listeners."""

    async def run(self, call: Call) -> Outcome:
        """Run a function to its end."""
        ...


class Listener(Protocol):
    """Runs a function when something happens."""

    @property
    def name(self) -> str:
        """The function's name."""
        ...

    async def listen(self, stopped: asyncio.Event) -> None:
        """Run the function on what comes, until `stopped` is set and what was begun is finished."""
        ...


async def keep_listening(listener: Listener, stopped: asyncio.Event, clock: Clock) -> None:
    """Listen until stopped, and again after a pause where the service is out of reach."""
    pause = _FIRST_PAUSE_SECONDS
    while not stopped.is_set():
        try:
            began = clock.now()
            await listener.listen(stopped)
        except Exception as error:  # noqa: BLE001 -- one listener's trouble must not end the others
            if (clock.now() - began).total_seconds() > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            log.error(
                "The listener for function 'Functions.%s' was unable to start, next try in %.0f s: %s: %s",
                listener.name, pause, type(error).__name__, error,
            )  # fmt: skip
            if await sleep_unless(stopped, clock, pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
