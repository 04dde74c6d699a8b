"""The nouns of the queue engine, and what it needs from outside: a clock, lock tokens, a store.

All points in time are milliseconds since 1970, all durations milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

DEAD_LETTER_SUFFIX: Final = "/$DeadLetterQueue"


class MessageState(IntEnum):
    """The value of the annotation x-opt-message-state."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """What a queue's declaration says."""

    name: str
    lock_duration: int = 60_000
    max_delivery_count: int | None = 10
    default_time_to_live: int | None = None
    dead_letter_on_expiry: bool = False
    requires_session: bool = False
    requires_duplicate_detection: bool = False
    duplicate_window: int = 600_000

    def dead_letter_queue(self) -> QueueSpec:
        """Give the declaration of this queue's dead-letter queue: nothing expires or leaves it by itself."""
        return replace(
            self,
            name=self.name + DEAD_LETTER_SUFFIX,
            max_delivery_count=None,
            default_time_to_live=None,
            dead_letter_on_expiry=False,
            requires_session=False,
            requires_duplicate_detection=False,
        )


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it was sent."""

    content: bytes
    size: int = 0
    message_id: str | None = None
    session_id: str | None = None
    time_to_live: int | None = None
    scheduled_for: int | None = None


@dataclass(slots=True)
class Record:
    """A message as it is stored, without its content; lock and place among the ready ones are not stored."""

    row_id: int
    queue: str
    sequence_number: int
    state: MessageState
    enqueued_at: int
    time_to_live: int | None = None
    scheduled_for: int | None = None
    delivery_count: int = 0
    message_id: str | None = None
    session_id: str | None = None
    dead_letter_source: str | None = None
    dead_letter_reason: str | None = None
    dead_letter_description: str | None = None
    property_changes: bytes = b""
    lock: UUID | None = None

    @property
    def expires_at(self) -> int | None:
        """When it expires; what waits for its time or is dead already does not."""
        if (
            self.time_to_live is None
            or self.state is MessageState.SCHEDULED
            or self.dead_letter_source is not None
        ):
            return None
        return self.enqueued_at + self.time_to_live


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A message's place in the queue as a receiver sees it."""

    sequence_number: int
    state: MessageState
    enqueued_at: int
    time_to_live: int | None
    delivery_count: int
    locked_until: int | None
    dead_letter_source: str | None = None
    dead_letter_reason: str | None = None
    dead_letter_description: str | None = None
    property_changes: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to a receiver; without a lock token it was peeked, or is deleted already."""

    snapshot: Snapshot
    content: bytes
    lock_token: UUID | None = None


class Outcome(Enum):
    """What a receiver does with a message that it holds."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    RELEASE = "release"
    """Give back without counting it as a delivery."""
    DEFER = "defer"
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome with what goes along with it."""

    outcome: Outcome
    reason: str | None = None
    description: str | None = None
    property_changes: bytes | None = None
    """All changed application properties, packed; None leaves them as they are."""


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """A session that a receiver holds."""

    session_id: str
    locked_until: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, by state; `locked` are those active ones that a receiver holds."""

    active: int
    scheduled: int
    deferred: int
    dead_lettered: int
    locked: int


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A session's stored state."""

    session_id: str
    state: bytes | None
    updated_at: int


@dataclass(frozen=True, slots=True)
class SavedQueue:
    """What a store holds of one queue."""

    records: Sequence[Record] = ()
    last_sequence_number: int = 0
    sessions: Sequence[SavedSession] = ()
    history: Sequence[tuple[str, int]] = ()
    """Message ids that duplicate detection remembers, with when they came, oldest first."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> int:
        """Give milliseconds since 1970."""
        ...


class TokenSource(Protocol):
    """Makes lock tokens."""

    def __call__(self) -> UUID:
        """Give a token that nobody could guess."""
        ...


class Store(Protocol):
    """Keeps what must survive; what is written counts once whoever drives the engine has committed it."""

    def load(self, queue: str) -> SavedQueue:
        """Give all that is stored of a queue."""
        ...

    def last_row_id(self) -> int:
        """Give the highest row id in use, 0 if there is none."""
        ...

    def insert(self, record: Record, content: bytes) -> None:
        """Store a new message."""
        ...

    def update(self, record: Record) -> None:
        """Store a message's changed record."""
        ...

    def delete(self, row_id: int) -> None:
        """Forget a message."""
        ...

    def content(self, row_id: int) -> bytes:
        """Give a message's content."""
        ...

    def save_sequence_number(self, queue: str, last: int) -> None:
        """Store the last sequence number that was given out."""
        ...

    def save_session(self, queue: str, session: SavedSession) -> None:
        """Store a session's state; one without state is forgotten."""
        ...

    def remember(self, queue: str, message_id: str, at: int) -> None:
        """Store a message id for duplicate detection."""
        ...

    def forget(self, queue: str, message_ids: Sequence[str]) -> None:
        """Drop message ids from duplicate detection."""
        ...
