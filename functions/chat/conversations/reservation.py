"""Reservation of a conversation's next turn: for how long it is one worker's, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.cosmos.leases import LeaseFields

RESERVATION_SECONDS = 100.0
"""A turn may be worked on for so long; the service stops well before (`ANSWER_SECONDS` in service.py)."""

ATTEMPT_WAITS = (0.1, 0.3, 0.6, 1.0)
"""Seconds between the attempts to get the next turn while another one is in work."""

RESERVATION_LEASE = LeaseFields(until="busy_until")
"""The fields of a head that say who has its last turn, and until when."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """The content with which a turn is begun."""

    message: str
    user_id: str | None
    operation_id: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to work on one turn.

    Attributes:
        recent: The turns done before it, oldest first.
        user_id: The user of the turn, where a token or the caller names one.
    """

    number: int
    holder: str
    recent: tuple[int, ...]
    user_id: str | None = None
