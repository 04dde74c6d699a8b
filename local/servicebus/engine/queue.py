"""One queue: what was sent, who holds what, what waits for its time, and what becomes of it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.servicebus.engine.errors import (
    InvalidArgumentError,
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    SessionLockLostError,
)
from local.servicebus.engine.model import (
    Delivery,
    Depth,
    Incoming,
    MessageState,
    Outcome,
    QueueSpec,
    Record,
    SessionGrant,
    Settlement,
    Snapshot,
)
from local.servicebus.engine.order import DueTimes, NumberOrder
from local.servicebus.engine.sessions import Holding, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from local.servicebus.engine.model import Clock, Store, TokenSource

_MOST_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the queues of one broker share."""

    store: Store
    clock: Clock
    new_token: TokenSource
    next_row_id: Callable[[], int]
    on_ready: Callable[[Queue], None]
    """A message or a session can be had now."""
    on_session_lost: Callable[[str], None]
    """The owner of a session lock let it run out."""


@dataclass(slots=True)
class _Lock:
    record: Record
    locked_until: int


class Queue:
    """A queue or a dead-letter queue, in memory, every change of it told to the store."""

    def __init__(
        self, spec: QueueSpec, surroundings: Surroundings, dead_letters: Queue | None = None
    ) -> None:
        self.spec = spec
        self.dead_letters = dead_letters
        self._around = surroundings
        self._store = surroundings.store
        self._messages: dict[int, Record] = {}
        self._order = NumberOrder(self._messages)
        self._ready: dict[str | None, list[int]] = {}
        self._locks: dict[UUID, _Lock] = {}
        self._tally = dict.fromkeys(MessageState, 0)
        self._sessions = Sessions(
            spec.lock_duration, lambda session_id: self._peek_ready(session_id) is not None
        )
        self._locks_due = DueTimes["UUID"](self._is_locked_until)
        self._expiries = DueTimes[int](self._expires_at)
        self._schedule = DueTimes[int](self._scheduled_for)
        self._history: dict[str, int] = {}
        self._last_number = 0
        self._restore()

    # --- sending ---

    def send(self, messages: Sequence[Incoming]) -> list[int]:
        """Take in all of the messages or none; give their sequence numbers.

        Raises:
            NotAllowedError: This is a dead-letter queue, or a session id is missing.
            InvalidArgumentError: An id is too long.
        """
        now = self._tick()
        for message in messages:
            self._check(message)
        return [self._take_in(message, now) for message in messages]

    def cancel(self, sequence_numbers: Sequence[int]) -> None:
        """Drop scheduled messages, all or none.

        Raises:
            MessageNotFoundError: One of them is not scheduled, or no longer.
        """
        self._tick()
        records = [self._find(number, MessageState.SCHEDULED) for number in sequence_numbers]
        for record in records:
            self._remove(record)

    # --- receiving ---

    def receive(self, session_id: str | None = None, *, lock: bool) -> Delivery | None:
        """Give the next message, locked or taken out of the queue; None if there is none.

        Raises:
            SessionLockLostError: The queue has sessions, and nobody holds this one.
        """
        now = self._tick()
        holding = self._sessions.holding(session_id) if self.spec.requires_session else None
        key = session_id if holding else None
        record = self._peek_ready(key)
        if record is None:
            return None
        heapq.heappop(self._ready[key])
        return self._deliver(record, holding, now, lock=lock)

    def has_ready(self, session_id: str | None = None) -> bool:
        """Tell whether `receive` would give a message."""
        return self._peek_ready(session_id if self.spec.requires_session else None) is not None

    def receive_deferred(
        self, sequence_numbers: Sequence[int], session_id: str | None = None, *, lock: bool
    ) -> list[Delivery]:
        """Give deferred messages by their numbers, all or none.

        Raises:
            MessageNotFoundError: One of them is not deferred, or locked.
            SessionLockLostError: The queue has sessions, and nobody holds this one.
        """
        now = self._tick()
        holding = self._sessions.holding(session_id) if self.spec.requires_session else None
        records = [self._find(number, MessageState.DEFERRED) for number in dict.fromkeys(sequence_numbers)]
        if any(record.lock or (holding and record.session_id != session_id) for record in records):
            raise _not_found(sequence_numbers)
        return [self._deliver(record, holding, now, lock=lock) for record in records]

    def peek(self, first: int, limit: int, session_id: str | None = None) -> list[Delivery]:
        """Give messages from a sequence number upwards, whatever their state, and leave them as they are."""
        self._tick()
        found: list[Delivery] = []
        for number in self._order.from_number(first):
            if len(found) >= limit:
                break
            record = self._messages[number]
            if session_id is None or record.session_id == session_id:
                found.append(Delivery(_snapshot(record, None), self._store.content(record.row_id)))
        return found

    # --- settling ---

    def settle(self, token: UUID, settlement: Settlement) -> None:
        """Do with a locked message what its receiver decided.

        Raises:
            MessageLockLostError: The lock has run out, or is settled already.
            SessionLockLostError: The same, in a queue with sessions.
        """
        now = self._tick()
        record = self._lock(token).record
        self._unlock(token)
        if settlement.property_changes is not None and settlement.outcome is not Outcome.COMPLETE:
            record.property_changes = settlement.property_changes
            self._store.update(record)
        match settlement.outcome:
            case Outcome.COMPLETE:
                self._remove(record)
            case Outcome.ABANDON:
                self._give_back(record, now, counted=True)
            case Outcome.RELEASE:
                self._give_back(record, now, counted=False)
            case Outcome.DEFER:
                self._change_state(record, MessageState.DEFERRED)
                self._store.update(record)
                if not self._expire_if_due(record, now):
                    self._resume(record)
            case Outcome.DEAD_LETTER:
                self._bury(record, settlement.reason, settlement.description)

    def property_changes(self, token: UUID) -> bytes:
        """Give the packed property changes of a locked message.

        Raises:
            MessageLockLostError: The lock has run out, or is settled already.
            SessionLockLostError: The same, in a queue with sessions.
        """
        self._tick()
        return self._lock(token).record.property_changes

    def renew(self, tokens: Sequence[UUID]) -> list[int]:
        """Hold messages for another lock duration, all or none; give until when.

        Raises:
            MessageLockLostError: One lock has run out, or is settled already.
            NotAllowedError: The queue has sessions: it is their lock that counts.
        """
        now = self._tick()
        if self.spec.requires_session:
            raise NotAllowedError(
                "Messages of a session are locked with it: renew the session's lock instead."
            )
        locks = [self._lock(token) for token in tokens]
        for token, lock in zip(tokens, locks, strict=True):
            lock.locked_until = now + self.spec.lock_duration
            self._locks_due.push(lock.locked_until, token)
        return [lock.locked_until for lock in locks]

    # --- sessions ---

    def accept_session(self, owner: str, session_id: str | None) -> SessionGrant | None:
        """Give `owner` the named session, or the next one that has messages; None if there is none.

        Raises:
            SessionCannotBeLockedError: Another receiver holds the named session.
        """
        now = self._tick()
        return self._sessions.accept(owner, session_id, now)

    def renew_session(self, session_id: str) -> int:
        """Hold a session for another lock duration; give until when.

        Raises:
            SessionLockLostError: Nobody holds it.
        """
        now = self._tick()
        return self._sessions.renew(session_id, now)

    def release_session(self, session_id: str, owner: str) -> None:
        """Let a session go, and give back what was locked in it; it does not count as a delivery."""
        now = self._tick()
        holding = self._sessions.held_by(session_id, owner)
        if holding is not None:
            self._end_session(holding, now, counted=False)

    def session_owner(self, session_id: str) -> str:
        """Give who holds a session.

        Raises:
            SessionLockLostError: Nobody does.
        """
        self._tick()
        return self._sessions.holding(session_id).owner

    def session_state(self, session_id: str) -> bytes | None:
        """Give the state of a session."""
        return self._sessions.state(session_id)

    def set_session_state(self, session_id: str, state: bytes | None) -> None:
        """Change the state of a session; None clears it."""
        saved = self._sessions.set_state(session_id, state, self._around.clock())
        self._store.save_session(self.spec.name, saved)

    def sessions(self, updated_after: int | None = None) -> list[str]:
        """List the sessions with messages or state, or those whose state changed after a point in time."""
        self._tick()
        if updated_after is not None:
            return sorted(self._sessions.with_state(updated_after))
        active = (
            record.session_id
            for record in self._messages.values()
            if record.session_id is not None and record.state is MessageState.ACTIVE
        )
        return sorted({*active, *self._sessions.with_state()})

    # --- time, and what there is ---

    def advance(self) -> None:
        """Let happen what is due: locks that run out, messages that expire or whose time has come."""
        self._tick()

    def next_due(self) -> int | None:
        """Give when something happens next by itself."""
        dues = (
            self._locks_due.next_due(),
            self._expiries.next_due(),
            self._schedule.next_due(),
            self._sessions.next_due(),
        )
        return min((due for due in dues if due is not None), default=None)

    def depth(self) -> Depth:
        """Count the messages."""
        self._tick()
        active_locked = sum(lock.record.state is MessageState.ACTIVE for lock in self._locks.values())
        return Depth(
            active=self._tally[MessageState.ACTIVE],
            scheduled=self._tally[MessageState.SCHEDULED],
            deferred=self._tally[MessageState.DEFERRED],
            dead_lettered=len(self.dead_letters._messages) if self.dead_letters else 0,  # noqa: SLF001 - same class
            locked=active_locked,
        )

    # --- inside ---

    def _restore(self) -> None:
        saved = self._store.load(self.spec.name)
        self._last_number = saved.last_sequence_number
        self._history = dict(saved.history)
        self._sessions.restore(saved.sessions)
        for record in sorted(saved.records, key=lambda record: record.sequence_number):
            self._last_number = max(self._last_number, record.sequence_number)
            self._place(record)

    def _check(self, message: Incoming) -> None:
        if self.spec.name.endswith("/$DeadLetterQueue"):
            raise NotAllowedError("Messages cannot be sent to a dead-letter queue.")
        if self.spec.requires_session and message.session_id is None:
            raise NotAllowedError(
                "The SessionId was not set on a message, and it cannot be sent to the entity. Entities that "
                "have session support enabled can only receive messages that have the SessionId set to a "
                "valid value."
            )
        for name, value in (("MessageId", message.message_id), ("SessionId", message.session_id)):
            if value is not None and len(value) > _MOST_ID_LENGTH:
                raise InvalidArgumentError(f"The {name} is longer than {_MOST_ID_LENGTH} characters.")

    def _take_in(self, message: Incoming, now: int) -> int:
        number = self._next_number()
        if self.spec.requires_duplicate_detection and message.message_id is not None:
            if message.message_id in self._history:
                return number  # as Service Bus does: accepted, and dropped
            self._history[message.message_id] = now
            self._store.remember(self.spec.name, message.message_id, now)
        scheduled_for = (
            message.scheduled_for if message.scheduled_for and message.scheduled_for > now else None
        )
        record = Record(
            row_id=self._around.next_row_id(),
            queue=self.spec.name,
            sequence_number=number,
            state=MessageState.SCHEDULED if scheduled_for else MessageState.ACTIVE,
            enqueued_at=now,
            time_to_live=self._effective_time_to_live(message.time_to_live),
            scheduled_for=scheduled_for,
            message_id=message.message_id,
            session_id=message.session_id,
        )
        self._store.insert(record, message.content)
        self._place(record)
        return number

    def _effective_time_to_live(self, stated: int | None) -> int | None:
        default = self.spec.default_time_to_live
        if stated is None or default is None:
            return default if stated is None else stated
        return min(stated, default)

    def _next_number(self) -> int:
        self._last_number += 1
        self._store.save_sequence_number(self.spec.name, self._last_number)
        return self._last_number

    def _place(self, record: Record) -> None:
        """Take a record into the queue's orders, by its state."""
        self._messages[record.sequence_number] = record
        self._order.add(record.sequence_number)
        self._tally[record.state] += 1
        if record.state is MessageState.SCHEDULED and record.scheduled_for is not None:
            self._schedule.push(record.scheduled_for, record.sequence_number)
            return
        self._resume(record)

    def _leave(self, record: Record) -> None:
        del self._messages[record.sequence_number]
        self._order.removed()
        self._tally[record.state] -= 1

    def _change_state(self, record: Record, state: MessageState) -> None:
        self._tally[record.state] -= 1
        self._tally[state] += 1
        record.state = state

    def _remove(self, record: Record) -> None:
        self._leave(record)
        self._store.delete(record.row_id)

    def _make_ready(self, record: Record) -> None:
        key = record.session_id if self.spec.requires_session else None
        heapq.heappush(self._ready.setdefault(key, []), record.sequence_number)
        if self.spec.requires_session and key is not None:
            self._sessions.offer(key)
        self._around.on_ready(self)

    def _peek_ready(self, key: str | None) -> Record | None:
        heap = self._ready.get(key)
        while heap:
            record = self._messages.get(heap[0])
            if record is not None and record.state is MessageState.ACTIVE and record.lock is None:
                return record
            heapq.heappop(heap)
        self._ready.pop(key, None)
        return None

    def _find(self, number: int, state: MessageState) -> Record:
        record = self._messages.get(number)
        if record is None or record.state is not state:
            raise _not_found([number])
        return record

    def _deliver(self, record: Record, holding: Holding | None, now: int, *, lock: bool) -> Delivery:
        content = self._store.content(record.row_id)
        if not lock:
            self._remove(record)
            return Delivery(_snapshot(record, None), content)
        token = self._around.new_token()
        locked_until = holding.locked_until if holding else now + self.spec.lock_duration
        record.lock = token
        self._locks[token] = _Lock(record, locked_until)
        if holding:
            holding.tokens.add(token)
        else:
            self._locks_due.push(locked_until, token)
        return Delivery(_snapshot(record, locked_until), content, token)

    def _lock(self, token: UUID) -> _Lock:
        lock = self._locks.get(token)
        if lock is None:
            raise SessionLockLostError(None) if self.spec.requires_session else MessageLockLostError
        return lock

    def _unlock(self, token: UUID) -> None:
        record = self._locks.pop(token).record
        record.lock = None
        if self.spec.requires_session:
            self._sessions.holding(record.session_id).tokens.discard(token)

    def _give_back(self, record: Record, now: int, *, counted: bool) -> None:
        if counted:
            record.delivery_count += 1
            self._store.update(record)
        limit = self.spec.max_delivery_count
        if limit is not None and record.delivery_count >= limit:
            self._bury(
                record,
                "MaxDeliveryCountExceeded",
                f"Message could not be consumed after {limit} delivery attempts.",
            )
        elif not self._expire_if_due(record, now):
            self._resume(record)

    def _resume(self, record: Record) -> None:
        """Let a message that is no longer locked expire again, and be had again unless it is deferred."""
        if record.expires_at is not None:
            self._expiries.push(record.expires_at, record.sequence_number)
        if record.state is MessageState.ACTIVE:
            self._make_ready(record)

    def _expire_if_due(self, record: Record, now: int) -> bool:
        expires_at = record.expires_at
        if expires_at is None or expires_at > now:
            return False
        if self.spec.dead_letter_on_expiry:
            self._bury(record, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(record)
        return True

    def _bury(self, record: Record, reason: str | None, description: str | None) -> None:
        record.dead_letter_reason = reason
        record.dead_letter_description = description
        if self.dead_letters is None:  # a dead letter that is dead-lettered stays where it is
            self._change_state(record, MessageState.ACTIVE)
            self._store.update(record)
            self._resume(record)
            return
        self._leave(record)
        record.state = MessageState.ACTIVE
        record.dead_letter_source = self.spec.name
        record.queue = self.dead_letters.spec.name
        self._store.update(record)
        self.dead_letters._place(record)  # noqa: SLF001 - same class

    def _end_session(self, holding: Holding, now: int, *, counted: bool) -> None:
        for token in list(holding.tokens):
            record = self._locks[token].record
            self._unlock(token)
            self._give_back(record, now, counted=counted)
        self._sessions.drop(holding)
        self._around.on_ready(self)

    def _tick(self) -> int:
        """Let happen what is due, so that nothing that is asked afterwards sees what is no longer true."""
        now = self._around.clock()
        for number in self._schedule.pop_due(now):
            self._activate(self._messages[number], now)
        for token in self._locks_due.pop_due(now):
            record = self._locks[token].record
            self._unlock(token)
            self._give_back(record, now, counted=True)
        for holding in self._sessions.expired(now):
            self._end_session(holding, now, counted=True)
            self._around.on_session_lost(holding.owner)
        for number in self._expiries.pop_due(now):
            self._expire_if_due(self._messages[number], now)
        self._forget_duplicates(now)
        return now

    def _activate(self, record: Record, now: int) -> None:
        """Enqueue a scheduled message as if it were sent now, which includes a new sequence number."""
        self._leave(record)
        record.sequence_number = self._next_number()
        record.state = MessageState.ACTIVE
        record.enqueued_at = now
        self._store.update(record)
        self._place(record)

    def _forget_duplicates(self, now: int) -> None:
        outdated: list[str] = []
        for message_id, at in self._history.items():
            if at + self.spec.duplicate_window > now:
                break
            outdated.append(message_id)
        if outdated:
            for message_id in outdated:
                del self._history[message_id]
            self._store.forget(self.spec.name, outdated)

    def _is_locked_until(self, token: UUID, due: int) -> bool:
        lock = self._locks.get(token)
        return lock is not None and lock.locked_until == due

    def _expires_at(self, number: int, due: int) -> bool:
        # One that a receiver holds expires when it is given back, not in the receiver's hands.
        record = self._messages.get(number)
        return record is not None and record.expires_at == due and record.lock is None

    def _scheduled_for(self, number: int, due: int) -> bool:
        record = self._messages.get(number)
        return record is not None and record.state is MessageState.SCHEDULED and record.scheduled_for == due


def _snapshot(record: Record, locked_until: int | None) -> Snapshot:
    return Snapshot(
        sequence_number=record.sequence_number,
        state=record.state,
        enqueued_at=record.enqueued_at,
        time_to_live=record.time_to_live,
        delivery_count=record.delivery_count,
        locked_until=locked_until,
        dead_letter_source=record.dead_letter_source,
        dead_letter_reason=record.dead_letter_reason,
        dead_letter_description=record.dead_letter_description,
        property_changes=record.property_changes,
    )


def _not_found(numbers: Iterable[int]) -> MessageNotFoundError:
    listed = ", ".join(str(number) for number in numbers)
    return MessageNotFoundError(
        f"No message with sequence number {listed} is there in the state that is asked for."
    )
