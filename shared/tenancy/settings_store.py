"""The settings that somebody has made, in Cosmos: one item per tenant, and one for the whole platform.

One item holds all settings of its owner, so that knowing them is one point read. Each has a revision of its
own, which is its ETag: a change of one setting is no conflict for who changes another.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.container import (
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
)
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, PreconditionFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

UNSET_ETAG = '"unset"'
"""The ETag of a setting that its owner has not set: two who set it first do not overwrite each other."""

_ITEM = "settings"
_ATTEMPTS = 5


class StoredSetting(BaseModel):
    """A value that somebody has set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    value: Any
    revision: str
    updated_at: datetime
    updated_by: str

    @property
    def etag(self) -> str:
        """The state that `If-Match` names."""
        return f'"{self.revision}"'


class SettingsItem(StoredItem):
    """All that one owner has set, by key."""

    id: str = _ITEM
    settings: dict[str, StoredSetting] = Field(default_factory=dict)


def settings_of(tenant: TenantContext, container: Container, clock: Clock) -> OwnSettings:
    """Open what a tenant has set."""
    return OwnSettings(Partition.of(tenant, container), clock)


def global_settings(container: Container, clock: Clock) -> OwnSettings:
    """Open what the platform's administrator has set for every tenant that has not."""
    return OwnSettings(Partition.of_platform(container, "settings"), clock)


class OwnSettings:
    """The settings of one owner."""

    def __init__(self, partition: Partition, clock: Clock) -> None:
        self._own = partition
        self._clock = clock

    async def read(self) -> Mapping[str, StoredSetting]:
        """Return what is set, by key."""
        item = await self._own.read(SettingsItem, _ITEM)
        return {} if item is None else item.settings

    async def put(self, key: str, value: JsonValue, by: str, if_match: str | None) -> StoredSetting:
        """Set a value.

        Raises:
            PreconditionFailedError: The setting is in another state than `if_match`.
            ConflictError: Others kept changing this owner's settings meanwhile.
        """
        new = StoredSetting(
            value=value, revision=uuid.uuid4().hex, updated_at=self._clock.now(), updated_by=by
        )
        for _ in range(_ATTEMPTS):
            item = await self._own.read(SettingsItem, _ITEM)
            stored = item.settings.get(key) if item else None
            if stored is not None and stored.revision == new.revision:
                return stored  # it was done; only the answer was lost
            _check_state(key, stored, if_match)
            try:
                if item is None:
                    await self._own.create(SettingsItem(settings={key: new}))
                else:
                    step = PatchOperation("set", f"/settings/{key}", new.model_dump(mode="json"))
                    await self._own.patch(SettingsItem, _ITEM, Patch((step,), etag=item.etag))
            except (ItemExistsError, ItemChangedError, ItemNotFoundError):
                continue  # somebody else was faster, perhaps with another setting
            return new
        raise _build_conflict(key)

    async def remove(self, key: str, if_match: str | None) -> bool:
        """Take a value back; tell whether there was one.

        Raises:
            PreconditionFailedError: The setting is in another state than `if_match`.
            ConflictError: Others kept changing this owner's settings meanwhile.
        """
        is_ours = False
        for _ in range(_ATTEMPTS):
            item = await self._own.read(SettingsItem, _ITEM)
            stored = item.settings.get(key) if item else None
            if is_ours and stored is None:
                return True  # it was done; only the answer was lost
            _check_state(key, stored, if_match)
            if item is None or stored is None:
                return False
            is_ours = True
            try:
                step = PatchOperation("remove", f"/settings/{key}")
                await self._own.patch(SettingsItem, _ITEM, Patch((step,), etag=item.etag))
            except (ItemChangedError, ItemNotFoundError):
                continue
            return True
        raise _build_conflict(key)


def _check_state(key: str, stored: StoredSetting | None, if_match: str | None) -> None:
    if if_match is not None and if_match != (stored.etag if stored else UNSET_ETAG):
        raise PreconditionFailedError(f"Setting '{key}' has changed meanwhile", {"key": key})


def _build_conflict(key: str) -> ConflictError:
    return ConflictError(f"Setting '{key}' is being changed by others", {"key": key}, retry_after=1.0)
