"""Stored model of an API key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.cosmos.partition import StoredItem
from shared.tenancy.context import Role


class TenantKeyItem(StoredItem):
    """Stored facts of a key: never the key.

    Attributes:
        hash: The hash of the key.
        expires_at: The time at which it ends by itself; never where None.
        replaced_by: The id of the key that rotation made in its place.
        user_id: The one user for whom it acts; any user that it names where None.
    """

    key_id: str
    name: str
    role: Role
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = None
    user_id: str | None = None

    def works_at(self, now: datetime) -> bool:
        """Tell whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class NewKey:
    """Facts of a new key.

    Attributes:
        expires_at: The time at which it ends by itself; never where None.
        user_id: The one user for whom it acts; any user that it names where None.
    """

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    user_id: str | None = None


def key_item_id(key_id: str) -> str:
    """Return the id of the item that holds a key."""
    return f"key:{key_id}"
