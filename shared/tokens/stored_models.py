"""What the ledger stores, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.container import ANSWERED_BY
from shared.cosmos.partition import StoredItem

APP_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
USAGE_PREFIX = "usage:"
LOCK_RECORD_SECONDS = 24 * 3600
"""How long a report or release is remembered, and how old a lock may be when it is settled."""


class TokenStatus(BaseModel):
    """What counts now, over the last 60 seconds, against the limits that bound an application.

    Attributes:
        used_tokens: What was reported of the last 60 seconds.
        locked_tokens: What is locked and was not reported (yet).
        reset_time_seconds: When the whole limit will be available again if nothing more is taken.
        debt_tokens: By how much use that was reported beyond its locks exceeds the limit.
    """

    model_config = ConfigDict(frozen=True)

    available_tokens: int
    used_tokens: int
    locked_tokens: int
    available_requests: int
    used_requests: int
    locked_requests: int
    reset_time_seconds: float
    limit_tokens: int
    limit_requests: int
    debt_tokens: int


@dataclass(frozen=True, slots=True)
class Lock:
    """A part of the budget that was taken.

    Attributes:
        second: The store's second that it is charged to.
        left: How the budget stood right after it, as the store's answer told.
    """

    lock_id: str
    tokens: int
    second: int
    left: TokenStatus | None = None


class ClockItem(StoredItem):
    """Written to learn the store's time; it removes itself."""

    id: str = "clock"
    ttl: int = 60
    ts: int = Field(0, alias="_ts", exclude=True)
    answered_by: str | None = Field(None, alias=ANSWERED_BY, exclude=True)


class LockGroup(StoredItem):
    """Locks that one exchange admitted, and which of them are settled.

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
        """Return which locks are settled, as bits."""
        return int(self.settled, 16)


class UsageItem(StoredItem):
    """What was used in one day with one model by one application for one user."""

    day: str
    model: str
    app_id: str
    user_id: str | None
    prompt_tokens: int
    completion_tokens: int
    requests: int
