"""Items that the ledger stores, beside its counters, and its answers, which the client has too."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from shared.cosmos.container import ANSWERED_BY
from shared.cosmos.partition import StoredItem
from tenantry_client.token_models import APP_ID_PATTERN, TokenStatus

__all__ = [
    "APP_ID_PATTERN",
    "LOCK_RECORD_SECONDS",
    "USAGE_PREFIX",
    "ClockItem",
    "Lock",
    "LockGroup",
    "TokenStatus",
    "UsageItem",
]

USAGE_PREFIX = "usage:"
LOCK_RECORD_SECONDS = 24 * 3600
"""How long a report or release is remembered, and how old a lock may be when it is settled."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Reservation of a part of the budget.

    Attributes:
        second: The store's second that it is charged to.
        status: The status right after it, by the store's answer; None where it was not counted.
    """

    lock_id: str
    tokens: int
    second: int
    status: TokenStatus | None = None


class ClockItem(StoredItem):
    """Item that is written to learn the store's time; it removes itself."""

    id: str = "clock"
    ttl: int = 60
    ts: int = Field(0, alias="_ts", exclude=True)
    answered_by: str | None = Field(None, alias=ANSWERED_BY, exclude=True)


class LockGroup(StoredItem):
    """Group of locks that one exchange admitted, with a mark for each that is settled.

    It makes the exchange happen once, however often its request is repeated, and each settlement too.

    Attributes:
        settled: A bit per lock, in hexadecimal.
        ttl: Longer than a lock can be settled, whose second may lie a little ahead of the store's clock.
    """

    settled: str = "0"
    ttl: int = LOCK_RECORD_SECONDS + 300

    @staticmethod
    def id_of(group: str) -> str:
        """Return the id under which a group is stored."""
        return f"locks:{group}"

    @property
    def bits(self) -> int:
        """Return the locks that are settled, as bits."""
        return int(self.settled, 16)


class UsageItem(StoredItem):
    """Usage of one day with one model by one application for one user.

    Attributes:
        cached_tokens: Those of the prompts that the provider had in its cache; none before they were counted.
        reasoning_tokens: Those of the answers that they were thought with; likewise.
    """

    day: str
    model: str
    app_id: str
    user_id: str | None
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int
    reasoning_tokens: int = 0
    requests: int
