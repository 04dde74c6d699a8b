"""What all connections share, and the hub that hands out messages to the links that wait for them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from local.servicebus.engine.errors import BrokerError, SessionLockLostError
from local.servicebus.wire.protocol import Condition

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.servicebus.engine.broker import Broker
    from local.servicebus.engine.model import Clock, SessionGrant
    from local.servicebus.engine.queue import Queue
    from local.servicebus.faults import Faults
    from local.servicebus.wire.tokens import TokenCheck

MAX_MESSAGE_SIZE: Final = 262_144
"""The limit of the Standard tier, for one message and for one batch."""


class Cancellable(Protocol):
    """Something that will happen, unless it is cancelled."""

    def cancel(self) -> None:
        """Have it not happen."""
        ...


class Later(Protocol):
    """Has things happen after a while."""

    def __call__(self, delay_ms: int, action: Callable[[], None], /) -> Cancellable:
        """Have `action` happen after `delay_ms`, and what it changed committed and sent."""
        ...


class Consumer(Protocol):
    """A link on which messages go out."""

    @property
    def owner(self) -> str:
        """What names the link among all links of all connections."""
        ...

    @property
    def queue(self) -> Queue:
        """The queue that it takes from."""
        ...

    @property
    def in_session(self) -> bool:
        """Whether it holds a session."""
        ...

    def take_one(self) -> bool:
        """Send the next message if there is one and credit for it; tell whether it did."""
        ...

    def settle_credit(self) -> None:
        """Give unused credit back to a peer that drains."""
        ...

    def session_lost(self, condition: Condition) -> None:
        """End the link, whose session lock ran out."""
        ...


class SessionSeeker(Protocol):
    """A link that waits for any session."""

    @property
    def owner(self) -> str:
        """What names the link among all links of all connections."""
        ...

    @property
    def queue(self) -> Queue:
        """The queue whose session it wants."""
        ...

    def granted(self, grant: SessionGrant) -> None:
        """Open the link on the session."""
        ...


class Hub:
    """Who waits for messages or sessions of which queue; hands them out in turn."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumers: dict[Queue, deque[Consumer]] = {}
        self._seekers: dict[Queue, deque[SessionSeeker]] = {}
        self._by_owner: dict[str, Consumer] = {}
        self._marked: dict[Queue, None] = {}

    def join(self, consumer: Consumer) -> None:
        """Have a link take part."""
        self._consumers.setdefault(consumer.queue, deque()).append(consumer)
        self._by_owner[consumer.owner] = consumer

    def leave(self, consumer: Consumer) -> None:
        """Have a link no longer take part."""
        if self._by_owner.pop(consumer.owner, None) is not None:
            self._consumers[consumer.queue].remove(consumer)

    def seek(self, seeker: SessionSeeker) -> None:
        """Have a link wait for a session."""
        self._seekers.setdefault(seeker.queue, deque()).append(seeker)
        self.mark(seeker.queue)

    def give_up(self, seeker: SessionSeeker) -> None:
        """Have a link no longer wait for a session."""
        waiting = self._seekers.get(seeker.queue)
        if waiting is not None and seeker in waiting:
            waiting.remove(seeker)

    def mark(self, queue: Queue) -> None:
        """Note that a queue's consumers may be able to take something."""
        self._marked[queue] = None

    def pump(self) -> None:
        """Hand out all that is ready to all that wait for it."""
        for owner in self._broker.take_lost_sessions():
            consumer = self._by_owner.get(owner)
            if consumer is not None:
                consumer.session_lost(condition_of(SessionLockLostError(None)))
        while True:
            for queue in self._broker.take_ready():
                self._marked[queue] = None
            if not self._marked:
                return
            marked, self._marked = self._marked, {}
            for queue in marked:
                self._serve(queue)

    def _serve(self, queue: Queue) -> None:
        seekers = self._seekers.get(queue)
        while seekers:
            grant = queue.accept_session(seekers[0].owner, None)
            if grant is None:
                break
            seekers.popleft().granted(grant)
        consumers = self._consumers.get(queue)
        if not consumers:
            return
        idle = 0
        while idle < len(consumers):  # in turn, until none of them could take any
            consumer = consumers[0]
            consumers.rotate(-1)
            idle = 0 if consumer.take_one() else idle + 1
        for consumer in list(consumers):
            consumer.settle_credit()


@dataclass(frozen=True, slots=True)
class Node:
    """What the connections share."""

    broker: Broker
    hub: Hub
    faults: Faults
    token_check: TokenCheck
    clock: Clock
    later: Later
    container: str = "tenantry-local-servicebus"
    max_message_size: int = field(default=MAX_MESSAGE_SIZE)


def condition_of(error: BrokerError) -> Condition:
    """Give the AMQP error that tells a peer of a refusal."""
    # The info may not be empty: the Python SDK's sender waits for ever for a rejection without it.
    return Condition(error.condition, str(error), {"com.microsoft:status-code": error.status})
