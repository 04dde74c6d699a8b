"""Listener of a queue where no host is: takes messages, keeps their locks, settles each by what became of it.

A message is settled after its handler has returned, and so after the result is stored and sent. What stops
the listener, or breaks its link, leaves messages to the broker, which delivers them again.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.messaging.consumer import Delivery
from shared.resilience.pauses import pause
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from shared.clock import Clock

RECEIVE_SECONDS = 1.0
"""The longest that one receive waits: a stop waits for it."""

RENEWAL_MARGIN_SECONDS = 10.0
"""How long before its end a lock is renewed, or at half of what is left where that is less, as .NET does."""

SETTLE_SECONDS = 5.0
_FIRST_IDLE_PAUSE_SECONDS = 0.1
_LONGEST_RECONNECT_SECONDS = 60.0
_MOST_DOUBLINGS = 10
_logger = get_logger(__name__)


class Outcome(StrEnum):
    """Outcome of a delivery."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class DeliveryEnd:
    """Outcome of a delivery, and for a dead letter its reason.

    Attributes:
        outcome: What the broker is told.
        reason: The error's name.
        description: The error in words.
    """

    outcome: Outcome
    reason: str = ""
    description: str = ""


class LockedDelivery(Delivery, Protocol):
    """A message that is locked for its receiver."""

    @property
    def locked_until(self) -> datetime | None:
        """When the lock ends; None where there is none."""
        ...


class NoSessionError(Exception):
    """No session of the queue has a message and is free."""


class MessageLink(Protocol):
    """An open link to a queue, or to a session of one.

    Each method raises `DependencyUnavailableError` where the link is broken.
    """

    async def receive(self, most: int, seconds: float) -> Sequence[LockedDelivery]:
        """Wait for messages and return them, or none after some seconds."""
        ...

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        """Tell the broker what becomes of a message."""
        ...

    async def renew(self, delivery: LockedDelivery) -> datetime:
        """Renew a message's lock; return when it ends."""
        ...


class LockedDeadLetter(LockedDelivery, Protocol):
    """A dead letter that is locked for its receiver, or was only looked at."""

    @property
    def is_unbound(self) -> bool:
        """Whether its body is one that a host hands to no function."""
        ...


class DeadLetterLink(Protocol):
    """An open link to the dead letters of a queue.

    Each method raises `DependencyUnavailableError` where the link is broken.
    """

    async def peek(self, most: int) -> Sequence[LockedDeadLetter]:
        """Return the first dead letters, and take none of them."""
        ...

    async def receive(self, most: int, seconds: float) -> Sequence[LockedDeadLetter]:
        """Wait for dead letters and return them, or none after some seconds."""
        ...

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        """Tell the broker what becomes of a message."""
        ...


@dataclass(slots=True)
class QueueListener:
    """Listens to one queue until it is stopped.

    Attributes:
        open_link: Opens a link; a new one after each failure, or for the next session. It raises
            `NoSessionError` where none is free.
        process: Handles a message, and tells what becomes of it.
        clock: Waits.
        most_at_once: The most messages that are worked on at once.
        reconnect_seconds: The pause after a link has failed; it doubles from failure to failure, to a minute.
        longest_idle_seconds: The longest pause between two looks at an empty queue.
        stop_seconds: How long what is being worked on may take when it stops; then it is given back.
        sessions: How many sessions are worked on at once, each message by message; 0 for a queue without.
    """

    open_link: Callable[[], AbstractAsyncContextManager[MessageLink]]
    process: Callable[[Delivery], Awaitable[DeliveryEnd]]
    clock: Clock
    most_at_once: int
    reconnect_seconds: float
    longest_idle_seconds: float
    stop_seconds: float
    sessions: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Take no more messages."""
        self._stopping.set()

    async def listen(self) -> None:
        """Take messages and settle them until it is stopped; then end what it has, or give it back."""
        if not self.sessions:
            await self._listen(self.most_at_once)
            return
        links = [spawn(self._listen(1)) for _ in range(self.sessions)]
        try:
            await asyncio.gather(*links)
        finally:
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    async def _listen(self, most: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                async with self.open_link() as link:
                    failures = 0
                    await self._pump(link, most)
            except NoSessionError:
                failures = 0
            except APIError as error:
                if not error.transient:
                    raise
                failures += 1
                doubled = self.reconnect_seconds * 2 ** min(failures - 1, _MOST_DOUBLINGS)
                seconds = min(doubled, _LONGEST_RECONNECT_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter
                facts = {"error": type(error).__name__, "failures": failures, "pause_seconds": seconds}
                _logger.warning("The link to the queue failed", extra=facts)
                await pause(self.clock, seconds, self._stopping)

    async def _pump(self, link: MessageLink, most: int) -> None:
        """Take messages of a link until it is stopped, or until its session is empty."""
        running: set[asyncio.Task[None]] = set()
        looks = 0
        try:
            while not self._stopping.is_set():
                if len(running) >= most:
                    await self._wait_for_any(running)
                    continue
                deliveries = await link.receive(most - len(running), RECEIVE_SECONDS)
                for delivery in deliveries:
                    task = spawn(self._work(link, delivery))
                    running.add(task)
                    task.add_done_callback(running.discard)
                looks = 0 if deliveries or running else looks + 1
                if looks and self.sessions:
                    return
                if looks:
                    idle = _FIRST_IDLE_PAUSE_SECONDS * 2 ** min(looks - 1, _MOST_DOUBLINGS)
                    seconds = min(idle, self.longest_idle_seconds)
                    await pause(self.clock, seconds, self._stopping)
        finally:
            await self._finish(running)

    async def _wait_for_any(self, running: set[asyncio.Task[None]]) -> None:
        stopping = spawn(self._stopping.wait())
        try:
            await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _finish(self, running: set[asyncio.Task[None]]) -> None:
        """Let what is being worked on end; give back what does not in time."""
        if not running:
            return
        limit = spawn(self.clock.sleep(self.stop_seconds))
        left = set(running)
        try:
            while left and not limit.done():
                await asyncio.wait({*left, limit}, return_when=asyncio.FIRST_COMPLETED)
                left = {task for task in left if not task.done()}
        finally:
            limit.cancel()
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _work(self, link: MessageLink, delivery: LockedDelivery) -> None:
        renewal = spawn(self._keep_locked(link, delivery))
        end = DeliveryEnd(Outcome.ABANDON)
        try:
            end = await self.process(delivery)
        finally:
            renewal.cancel()
            await self._settle(link, delivery, end)

    async def _settle(self, link: MessageLink, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        facts = {"message_id": delivery.message_id, "outcome": end.outcome}
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await link.settle(delivery, end)
        except (APIError, TimeoutError) as error:  # the broker delivers it again
            _logger.warning("A message was not settled", extra=facts | {"error": type(error).__name__})

    async def _keep_locked(self, link: MessageLink, delivery: LockedDelivery) -> None:
        until = delivery.locked_until
        while until is not None:
            left = (until - self.clock.now()).total_seconds()
            await self.clock.sleep(max(0.0, left - min(left / 2, RENEWAL_MARGIN_SECONDS)))
            try:
                until = await link.renew(delivery)
            except APIError as error:  # the handler goes on; settling will tell that the lock is lost
                facts = {"message_id": delivery.message_id, "error": type(error).__name__}
                _logger.warning("A message's lock was not renewed", extra=facts)
                return
