"""The requests to a queue's `$management` node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from local.servicebus.engine.errors import (
    BrokerError,
    InvalidArgumentError,
    NotSupportedError,
    SessionLockLostError,
)
from local.servicebus.engine.model import Outcome, Settlement
from local.servicebus.wire import codec, message
from local.servicebus.wire.codec import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.servicebus.engine.model import Delivery
    from local.servicebus.engine.queue import Queue

_OK, _NO_CONTENT = 200, 204
_EMPTY: Final = codec.encode_map({})
_MOST_PEEKED: Final = 5_000
_MOST_PEEKED_BYTES: Final = 262_144
_NO_DATE: Final = 253_402_300_799_999  # the last millisecond of the year 9999: beyond it no filter is meant
_OUTCOMES: Final = {
    "completed": Outcome.COMPLETE,
    "abandoned": Outcome.ABANDON,
    "defered": Outcome.DEFER,  # Service Bus's own spelling
    "suspended": Outcome.DEAD_LETTER,
    "unlocked": Outcome.RELEASE,
}

type _Answer = tuple[int, bytes]


class Requests:
    """Carries out requests to one queue; `owner_of` names the link that a request goes along with."""

    def __init__(self, queue: Queue, owner_of: Callable[[str], str], max_message_size: int) -> None:
        self._queue = queue
        self._owner_of = owner_of
        self._max_message_size = max_message_size
        self._operations: dict[str, Callable[[_Arguments], _Answer]] = {
            "com.microsoft:renew-lock": self._renew_lock,
            "com.microsoft:renew-session-lock": self._renew_session_lock,
            "com.microsoft:receive-by-sequence-number": self._receive_deferred,
            "com.microsoft:schedule-message": self._schedule,
            "com.microsoft:cancel-scheduled-message": self._cancel,
            "com.microsoft:peek-message": self._peek,
            "com.microsoft:update-disposition": self._settle,
            "com.microsoft:get-session-state": self._get_state,
            "com.microsoft:set-session-state": self._set_state,
            "com.microsoft:get-message-sessions": self._list_sessions,
        }

    def answer(self, request: message.Request) -> bytes:
        """Carry out a request; give the reply, be it a refusal."""
        try:
            operation = str(request.properties.get("operation"))
            carry_out = self._operations.get(operation)
            if carry_out is None:
                raise NotSupportedError(f"The management operation '{operation}' is not supported here.")
            status, body = carry_out(_Arguments(request))
        except BrokerError as error:
            return _reply(request, error.status, str(error), error.condition)
        except MalformedError as error:
            return _reply(request, InvalidArgumentError.status, str(error), InvalidArgumentError.condition)
        if status == _NO_CONTENT:
            return _reply(request, status, "No content", "com.microsoft:message-not-found")
        return _reply(request, status, "OK", None, body)

    def _renew_lock(self, arguments: _Arguments) -> _Answer:
        until = self._queue.renew(arguments.uuids("lock-tokens"))
        return _OK, codec.encode_map(
            {codec.encode_string("expirations"): codec.encode_longs(until, codec.TIMESTAMP)}
        )

    def _renew_session_lock(self, arguments: _Arguments) -> _Answer:
        until = self._queue.renew_session(self._held_session(arguments))
        return _OK, codec.encode_map({codec.encode_string("expiration"): codec.encode_timestamp(until)})

    def _receive_deferred(self, arguments: _Arguments) -> _Answer:
        session_id = self._held_session(arguments) if self._queue.spec.requires_session else None
        deliveries = self._queue.receive_deferred(
            arguments.integers("sequence-numbers"),
            session_id,
            lock=arguments.integer("receiver-settle-mode", 1) == 1,
        )
        return _OK, _messages(deliveries)

    def _schedule(self, arguments: _Arguments) -> _Answer:
        incoming = []
        for entry in arguments.maps("messages"):
            encoded = entry.get("message")
            if not isinstance(encoded, bytes):
                raise InvalidArgumentError("A message to be scheduled is missing.")
            if len(encoded) > self._max_message_size:
                raise InvalidArgumentError(
                    f"The message is larger than the limit of {self._max_message_size} bytes."
                )
            parsed = message.parse_incoming(encoded)
            if parsed.scheduled_for is None:
                raise InvalidArgumentError("The time for which the message is to be scheduled is missing.")
            incoming.append(parsed)
        numbers = self._queue.send(incoming)
        return _OK, codec.encode_map({codec.encode_string("sequence-numbers"): codec.encode_longs(numbers)})

    def _cancel(self, arguments: _Arguments) -> _Answer:
        self._queue.cancel(arguments.integers("sequence-numbers"))
        return _OK, _EMPTY

    def _peek(self, arguments: _Arguments) -> _Answer:
        limit = min(arguments.integer("message-count", 1), _MOST_PEEKED)
        found = self._queue.peek(
            arguments.integer("from-sequence-number", 0), limit, arguments.text("session-id", None)
        )
        return (_OK, _messages(_within(found, _MOST_PEEKED_BYTES))) if found else (_NO_CONTENT, _EMPTY)

    def _settle(self, arguments: _Arguments) -> _Answer:
        status = arguments.text("disposition-status", None)
        outcome = _OUTCOMES.get(status or "")
        if outcome is None:
            raise NotSupportedError(f"The disposition status '{status}' is not supported.")
        tokens = arguments.uuids("lock-tokens")
        changes = arguments.raw_map("properties-to-modify")
        # All are looked up before the first is settled: one that is lost leaves the others as they are.
        packed = [
            message.merge_changes(before, changes) if changes else None
            for before in [self._queue.property_changes(token) for token in tokens]
        ]
        for token, property_changes in zip(tokens, packed, strict=True):
            self._queue.settle(
                token,
                Settlement(
                    outcome,
                    arguments.text("deadletter-reason", None),
                    arguments.text("deadletter-description", None),
                    property_changes,
                ),
            )
        return _OK, _EMPTY

    def _get_state(self, arguments: _Arguments) -> _Answer:
        state = self._queue.session_state(self._held_session(arguments))
        value = codec.NULL if state is None else codec.encode_binary(state)
        return _OK, codec.encode_map({codec.encode_string("session-state"): value})

    def _set_state(self, arguments: _Arguments) -> _Answer:
        session_id = self._held_session(arguments)
        state = arguments.get("session-state")
        if state is not None and not isinstance(state, bytes):
            raise InvalidArgumentError("The session state must be binary or null.")
        if state is not None and len(state) > self._max_message_size:
            raise InvalidArgumentError(f"The session state is larger than {self._max_message_size} bytes.")
        self._queue.set_session_state(session_id, state)
        return _OK, _EMPTY

    def _list_sessions(self, arguments: _Arguments) -> _Answer:
        since = arguments.integer("last-updated-time", _NO_DATE + 1)
        skip, top = arguments.integer("skip", 0), arguments.integer("top", 100)
        if skip < 0 or top < 1:
            raise InvalidArgumentError("skip must be at least 0, top at least 1.")
        page = self._queue.sessions(None if since > _NO_DATE else since)[skip : skip + top]
        if not page:
            return _NO_CONTENT, _EMPTY
        return _OK, codec.encode_map(
            {
                codec.encode_string("skip"): codec.encode_int(skip + len(page)),
                codec.encode_string("sessions-ids"): codec.encode_strings(page),
            }
        )

    def _held_session(self, arguments: _Arguments) -> str:
        """Give the session that is asked about, which the link that goes with the request must hold."""
        session_id = arguments.text("session-id", None)
        if session_id is None:
            raise InvalidArgumentError("The session-id is missing.")
        link_name = arguments.associated_link
        if (
            self._queue.session_owner(session_id) != (self._owner_of(link_name) if link_name else None)
            and link_name
        ):
            raise SessionLockLostError(session_id)
        return session_id


class _Arguments:
    """The body of a request, read by name and type."""

    def __init__(self, request: message.Request) -> None:
        if not isinstance(request.body, dict):
            raise InvalidArgumentError("The request has no map as its body.")
        self._values: Mapping[Any, Any] = request.body
        self._raw = request.raw_body
        link = request.properties.get("associated-link-name")
        self.associated_link = link if isinstance(link, str) else None

    def get(self, name: str) -> object:
        return self._values.get(name)

    def text(self, name: str, default: str | None) -> str | None:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise InvalidArgumentError(f"{name} must be a string.")
        return value

    def integer(self, name: str, default: int) -> int:
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgumentError(f"{name} must be a whole number.")
        return value

    def integers(self, name: str) -> list[int]:
        values = self._list(name)
        if not all(isinstance(value, int) for value in values):
            raise InvalidArgumentError(f"{name} must be whole numbers.")
        return values

    def uuids(self, name: str) -> list[UUID]:
        values = self._list(name)
        if not all(isinstance(value, UUID) for value in values):
            raise InvalidArgumentError(f"{name} must be UUIDs.")
        return values

    def maps(self, name: str) -> list[dict[str, Any]]:
        values = self._list(name)
        if not all(isinstance(value, dict) for value in values):
            raise InvalidArgumentError(f"{name} must be maps.")
        return values

    def raw_map(self, name: str) -> dict[str, bytes]:
        if self._values.get(name) is None:
            return {}
        return codec.raw_map(codec.raw_map(self._raw)[name])

    def _list(self, name: str) -> list[Any]:
        values = self._values.get(name)
        if not isinstance(values, list) or not values:
            raise InvalidArgumentError(f"{name} is missing.")
        return values


def _messages(deliveries: list[Delivery]) -> bytes:
    entries = []
    for delivery in deliveries:
        pairs = {codec.encode_string("message"): codec.encode_binary(_composed(delivery))}
        if delivery.lock_token is not None:
            pairs[codec.encode_string("lock-token")] = codec.encode_uuid(delivery.lock_token)
        entries.append(codec.encode_map(pairs))
    return codec.encode_map({codec.encode_string("messages"): codec.encode_list(entries)})


def _composed(delivery: Delivery) -> bytes:
    return message.compose(delivery.content, delivery.snapshot)


def _within(deliveries: list[Delivery], most_bytes: int) -> list[Delivery]:
    """Cut a list where the answer would become too large; at least one stays."""
    kept: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        size += len(delivery.content)
        if kept and size > most_bytes:
            break
        kept.append(delivery)
    return kept


def _reply(
    request: message.Request,
    status: int,
    description: str,
    condition: str | None = None,
    body: bytes = _EMPTY,
) -> bytes:
    properties = {
        "statusCode": codec.encode_int(status),
        "statusDescription": codec.encode_string(description),
    }
    if condition is not None:
        properties["errorCondition"] = codec.encode_symbol(condition)
    return message.encode_reply(request.message_id, properties, body)
