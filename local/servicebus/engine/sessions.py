"""The sessions of one queue: who holds which, until when, which wait for a receiver, and their state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.servicebus.engine.errors import SessionCannotBeLockedError, SessionLockLostError
from local.servicebus.engine.model import SavedSession, SessionGrant
from local.servicebus.engine.order import DueTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID


@dataclass(slots=True)
class Holding:
    """A session that a receiver holds, with the locks of the messages that it got from it."""

    session_id: str
    owner: str
    locked_until: int
    tokens: set[UUID] = field(default_factory=set)


class Sessions:
    """Which sessions are held and which wait, in the order in which they began to wait."""

    def __init__(self, lock_duration: int, has_ready: Callable[[str], bool]) -> None:
        self._lock_duration = lock_duration
        self._has_ready = has_ready
        self._held: dict[str, Holding] = {}
        self._waiting: dict[str, None] = {}
        self._saved: dict[str, SavedSession] = {}
        self._due = DueTimes[str](self._is_current)

    def restore(self, saved: Iterable[SavedSession]) -> None:
        """Take over stored states."""
        self._saved = {session.session_id: session for session in saved}

    def offer(self, session_id: str) -> bool:
        """Note that a session has a message ready; tell whether it can be had now."""
        if session_id in self._held:
            return False
        self._waiting[session_id] = None
        return True

    def accept(self, owner: str, session_id: str | None, now: int) -> SessionGrant | None:
        """Give `owner` a session: the named one, or the next that waits; None if none waits.

        Raises:
            SessionCannotBeLockedError: Somebody holds the named session.
        """
        if session_id is None:
            session_id = next((waiting for waiting in self._waiting if self._has_ready(waiting)), None)
            if session_id is None:
                self._waiting.clear()
                return None
        elif session_id in self._held:
            raise SessionCannotBeLockedError(session_id)
        self._waiting.pop(session_id, None)
        holding = Holding(session_id, owner, now + self._lock_duration)
        self._held[session_id] = holding
        self._due.push(holding.locked_until, session_id)
        return SessionGrant(session_id, holding.locked_until)

    def renew(self, session_id: str, now: int) -> int:
        """Hold a session for another lock duration; give until when.

        Raises:
            SessionLockLostError: Nobody holds it.
        """
        holding = self.holding(session_id)
        holding.locked_until = now + self._lock_duration
        self._due.push(holding.locked_until, session_id)
        return holding.locked_until

    def holding(self, session_id: str | None) -> Holding:
        """Give who holds a session.

        Raises:
            SessionLockLostError: Nobody does.
        """
        holding = self._held.get(session_id) if session_id is not None else None
        if holding is None:
            raise SessionLockLostError(session_id)
        return holding

    def held_by(self, session_id: str, owner: str) -> Holding | None:
        """Give the holding of a session if `owner` still has it."""
        holding = self._held.get(session_id)
        return holding if holding is not None and holding.owner == owner else None

    def drop(self, holding: Holding) -> None:
        """Let a session go, whose messages were given back before; it waits again if it has any."""
        del self._held[holding.session_id]
        if self._has_ready(holding.session_id):
            self._waiting[holding.session_id] = None

    def expired(self, now: int) -> Iterator[Holding]:
        """Give each holding whose lock has run out."""
        for session_id in self._due.pop_due(now):
            yield self._held[session_id]

    def next_due(self) -> int | None:
        """Give when the next session lock runs out."""
        return self._due.next_due()

    def state(self, session_id: str) -> bytes | None:
        """Give a session's state."""
        saved = self._saved.get(session_id)
        return saved.state if saved else None

    def set_state(self, session_id: str, state: bytes | None, now: int) -> SavedSession:
        """Change a session's state; None clears it."""
        saved = SavedSession(session_id, state, now)
        if state is None:
            self._saved.pop(session_id, None)
        else:
            self._saved[session_id] = saved
        return saved

    def with_state(self, updated_after: int | None = None) -> list[str]:
        """List the sessions that have a state, or those whose state changed after a point in time."""
        return [
            saved.session_id
            for saved in self._saved.values()
            if updated_after is None or saved.updated_at > updated_after
        ]

    def _is_current(self, session_id: str, due: int) -> bool:
        holding = self._held.get(session_id)
        return holding is not None and holding.locked_until == due
