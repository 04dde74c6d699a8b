"""The links to a queue: one on which messages come in, one on which they go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.servicebus.engine.errors import (
    BrokerError,
    InvalidArgumentError,
    MessageLockLostError,
)
from local.servicebus.engine.model import Outcome, Settlement
from local.servicebus.faults import FaultKind
from local.servicebus.wire import message
from local.servicebus.wire.codec import MalformedError
from local.servicebus.wire.node import condition_of
from local.servicebus.wire.protocol import Condition, Disposition, LinkHandler, encode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from local.servicebus.engine.model import SessionGrant
    from local.servicebus.engine.queue import Queue
    from local.servicebus.faults import Fault
    from local.servicebus.wire.node import Node
    from local.servicebus.wire.protocol import IncomingDelivery, Link, OutgoingDelivery, RemoteOutcome

SESSION_FILTER: Final = "com.microsoft:session-filter"
_CREDIT: Final = 1000
_TICKS_AT_EPOCH: Final = 621_355_968_000_000_000
_TICKS_PER_MILLISECOND: Final = 10_000
_REASON, _DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"
_TOO_LARGE: Final = "amqp:link:message-size-exceeded"


class IncomingLink(LinkHandler):
    """A sender's link: stores what comes in."""

    def __init__(self, node: Node, link: Link, queue: Queue, drop: Callable[[], None]) -> None:
        self._node = node
        self._link = link
        self._queue = queue
        self._drop = drop
        self._closed = False

    def open(self) -> None:
        """Open the link and let the peer send."""
        size = self._node.max_message_size
        self._link.open({"com.microsoft:max-message-batch-size": size}, max_message_size=size)
        self._link.grant(_CREDIT)

    def on_message(self, delivery: IncomingDelivery) -> None:
        """Store a message or a batch, unless a fault is due."""
        batch = delivery.message_format == message.BATCH_FORMAT
        if self._link.credit < _CREDIT // 2:
            self._link.grant(_CREDIT // 2)
        fault = self._node.faults.take(self._queue.spec.name)
        if fault is None:
            self._store(delivery, batch=batch)
        else:
            self._fail(fault, delivery, batch=batch)

    def on_too_large(self, delivery: IncomingDelivery) -> None:
        """Refuse the message."""
        limit = self._node.max_message_size
        delivery.reject(
            Condition(
                _TOO_LARGE,
                f"The message or batch is larger than the limit of {limit} bytes.",
                {"limit": limit},
            )
        )

    def on_closed(self) -> None:
        """Send no more answers."""
        self._closed = True

    def _store(self, delivery: IncomingDelivery, *, batch: bool) -> None:
        try:
            encoded = message.split_batch(delivery.content) if batch else [delivery.content]
            self._queue.send([message.parse_incoming(one) for one in encoded])
        except BrokerError as error:
            delivery.reject(condition_of(error))
        except MalformedError as error:
            delivery.reject(Condition("amqp:decode-error", str(error), {"bytes": len(delivery.content)}))
        else:
            delivery.accept()

    def _fail(self, fault: Fault, delivery: IncomingDelivery, *, batch: bool) -> None:
        match fault.kind:
            case FaultKind.REFUSE_SEND:
                delivery.reject(Condition(fault.condition, fault.description, {"fault": fault.kind.value}))
            case FaultKind.DELAY_SEND:
                self._node.later(
                    fault.delay_ms, lambda: None if self._closed else self._store(delivery, batch=batch)
                )
            case FaultKind.DROP_BEFORE_SEND:
                self._drop()
            case _:
                self._store(delivery, batch=batch)
                self._drop()


class OutgoingLink(LinkHandler):
    """A receiver's link: sends what the queue has, and applies what the receiver decides."""

    def __init__(self, node: Node, link: Link, queue: Queue, owner: str) -> None:
        self._node = node
        self._link = link
        self.queue = queue
        self.owner = owner
        self._session_id: str | None = None
        self._locks = not link.peer_wants_settled
        self._tokens: dict[int, UUID] = {}
        self._sent = 0

    @property
    def in_session(self) -> bool:
        """Whether it holds a session."""
        return self._session_id is not None

    def open(self, grant: SessionGrant | None = None) -> None:
        """Open the link, on a session if there is one."""
        limit = self._node.max_message_size
        if grant is None:
            self._link.open(max_message_size=limit)
        else:
            self._session_id = grant.session_id
            ticks = grant.locked_until * _TICKS_PER_MILLISECOND + _TICKS_AT_EPOCH
            self._link.open(
                {"com.microsoft:locked-until-utc": ticks},
                {SESSION_FILTER: grant.session_id},
                max_message_size=limit,
            )
        self._link.handler = self
        self._node.hub.join(self)
        self._node.hub.mark(self.queue)

    def take_one(self) -> bool:
        """Send the next message if there is one and credit for it; tell whether it did."""
        if self._link.credit <= 0:
            return False
        delivery = self.queue.receive(self._session_id, lock=self._locks)
        if delivery is None:
            return False
        self._sent += 1
        token = delivery.lock_token
        tag = token.bytes_le if token else self._sent.to_bytes(16)
        sent = self._link.send(
            tag, message.compose(delivery.content, delivery.snapshot), settled=token is None
        )
        if token:
            self._tokens[sent.key] = token
        return True

    def settle_credit(self) -> None:
        """Give unused credit back to a peer that drains."""
        if self._link.draining:
            self._link.give_credit_back()

    def session_lost(self, condition: Condition) -> None:
        """End the link, whose session lock ran out."""
        self._leave()
        self._link.close(condition)

    def on_flow(self) -> None:
        """Look for messages: there may be credit now."""
        self._node.hub.mark(self.queue)

    def on_outcome(self, delivery: OutgoingDelivery) -> None:
        """Do with a message what its receiver decided, and confirm it."""
        outcome = delivery.outcome()
        if outcome.disposition is None:
            if outcome.settled:  # settled without an outcome: the lock stays until it runs out
                self._tokens.pop(delivery.key, None)
                delivery.settle_like(outcome)
            return
        token = self._tokens.pop(delivery.key, None)
        try:
            if token is None:
                raise MessageLockLostError
            changes = _property_changes(outcome)
            packed = message.merge_changes(self.queue.property_changes(token), changes) if changes else None
            self.queue.settle(token, _settlement(outcome, packed))
        except BrokerError as error:
            delivery.settle_rejected(condition_of(error))
        else:
            delivery.settle_like(outcome)

    def on_closed(self) -> None:
        """Let go of the session; messages without one stay locked until their locks run out."""
        self._leave()
        if self._session_id is not None:
            self.queue.release_session(self._session_id, self.owner)

    def _leave(self) -> None:
        self._node.hub.leave(self)


class SessionSearch(LinkHandler):
    """A receiver's link that waits for any session; it is opened once there is one."""

    def __init__(self, node: Node, link: Link, queue: Queue, owner: str) -> None:
        self._node = node
        self._link = link
        self.queue = queue
        self.owner = owner
        self._deadline = node.later(_server_timeout(link.remote_properties), self._time_out)
        link.handler = self
        node.hub.seek(self)

    def granted(self, grant: SessionGrant) -> None:
        """Open the link on the session."""
        self._deadline.cancel()
        OutgoingLink(self._node, self._link, self.queue, self.owner).open(grant)

    def on_closed(self) -> None:
        """Wait no longer."""
        self._deadline.cancel()
        self._node.hub.give_up(self)

    def _time_out(self) -> None:
        self._node.hub.give_up(self)
        self._link.handler = None
        self._link.refuse(
            Condition(
                "com.microsoft:timeout", "The operation did not complete in time: no session has messages."
            )
        )


def session_wanted(link: Link) -> tuple[bool, str | None]:
    """Tell whether a receiver asks for a session, and which: None is any.

    Raises:
        InvalidArgumentError: The session id is not a string.
    """
    filters = link.remote_filters
    if SESSION_FILTER not in filters:
        return False, None
    session_id = filters[SESSION_FILTER]
    if session_id is not None and not isinstance(session_id, str):
        raise InvalidArgumentError("The session filter must be a string or null.")
    return True, session_id


_DEFAULT_TIMEOUT: Final = 60_000
_MOST_TIMEOUT: Final = 600_000


def _server_timeout(properties: Mapping[str, object]) -> int:
    stated = properties.get("com.microsoft:timeout")
    return min(int(stated), _MOST_TIMEOUT) if isinstance(stated, int) else _DEFAULT_TIMEOUT


def _settlement(outcome: RemoteOutcome, packed: bytes | None) -> Settlement:
    match outcome.disposition:
        case Disposition.REJECTED:
            info = outcome.condition.info if outcome.condition else {}
            reason, description = info.get(_REASON), info.get(_DESCRIPTION)
            return Settlement(
                Outcome.DEAD_LETTER,
                reason if isinstance(reason, str) else None,
                description if isinstance(description, str) else None,
                packed,
            )
        case Disposition.MODIFIED:
            kind = Outcome.DEFER if outcome.undeliverable_here else Outcome.ABANDON
            return Settlement(kind, property_changes=packed)
        case Disposition.RELEASED:
            return Settlement(Outcome.RELEASE)
        case _:
            return Settlement(Outcome.COMPLETE)


def _property_changes(outcome: RemoteOutcome) -> dict[str, bytes]:
    changes = outcome.annotations
    if outcome.disposition is Disposition.REJECTED:
        changes = outcome.condition.info if outcome.condition else {}
    return {key: encode_value(value) for key, value in changes.items() if key not in (_REASON, _DESCRIPTION)}
