"""Dead letters as the quarantine has them: one tenant's, or the platform's, which name no active tenant."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pydantic import Field

from functions.dead_letters.errors import DeadLetterNotFoundError
from shared.cosmos.container import ItemChangedError, Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem, platform_key
from shared.cosmos.queries import select
from shared.messaging.quarantine import QuarantinedMessage
from shared.tenancy.context import TenantContext
from shared.tenancy.owned_data import UNATTRIBUTED

if TYPE_CHECKING:
    from shared.cosmos.container import Container
    from shared.tenancy.context import PlatformContext


class DeadLetterEntry(StoredItem):
    """A dead letter without its message: what may be shown of it, and what a list has to read."""

    queue: str
    message_id: str
    job_id: str | None = None
    reason: str
    fields: dict[str, str] = Field(default_factory=dict)
    is_cut: bool
    named: str | None = None
    quarantined_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Filter of dead letters; what is None is not asked."""

    queue: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class DeadLetterRepository:
    """The dead letters of one tenant; for the platform's administrator, who acts for none, the platform's.

    Args:
        caller: Who asks.
        container: The container `quarantine`.
    """

    def __init__(self, caller: TenantContext | PlatformContext, container: Container) -> None:
        self._container = container
        if isinstance(caller, TenantContext):
            self._key: tuple[str, ...] = (caller.tenant_id,)
            self._own = Partition.of(caller, container)
        else:
            self._key = platform_key(UNATTRIBUTED)
            self._own = Partition.of_platform(container, UNATTRIBUTED)

    async def read(self, letter_id: str) -> QuarantinedMessage:
        """Return a dead letter.

        Raises:
            DeadLetterNotFoundError: The caller has none of this id.
        """
        found = await self._own.read(QuarantinedMessage, letter_id)
        if found is None:
            raise DeadLetterNotFoundError(letter_id)
        return found

    async def page(self, wanted: DeadLetterFilter, after: str | None, limit: int) -> list[DeadLetterEntry]:
        """Return dead letters by id, after the given one."""
        conditions: dict[str, tuple[str, str | None]] = {
            "@queue": ("c.queue = @queue", wanted.queue),
            "@reason": ("c.reason = @reason", wanted.reason),
            "@since": ("c.quarantined_at >= @since", _format_time(wanted.since)),
            "@until": ("c.quarantined_at < @until", _format_time(wanted.until)),
        }
        asked = {name: (text, value) for name, (text, value) in conditions.items() if value is not None}
        page = KeysetPage(
            limit,
            after,
            where=" AND ".join(text for text, _ in asked.values()),
            parameters={name: value for name, (_, value) in asked.items()},
        )
        return await self._own.read_page(DeadLetterEntry, page)

    async def delete(self, letter_id: str) -> None:
        """Remove a dead letter.

        Raises:
            DeadLetterNotFoundError: The caller has none of this id.
        """
        if not await self._own.delete(letter_id):
            raise DeadLetterNotFoundError(letter_id)

    async def delete_replayed(self, letter: QuarantinedMessage) -> None:
        """Remove a dead letter whose message was sent again, unless that has become one meanwhile."""
        with suppress(ItemChangedError):
            await self._own.delete(letter.id, letter.etag)

    async def count(self) -> int:
        """Return how many dead letters there are."""
        [count] = cast("list[int]", await self._query("VALUE COUNT(1)", ""))
        return count

    async def oldest(self) -> str | None:
        """Return when the oldest one was kept, as ISO 8601 has it; None where there is none."""
        found = cast("list[str]", await self._query("VALUE c.quarantined_at", "c.quarantined_at"))
        return found[0] if found else None

    async def _query(self, what: str, order_by: str) -> object:
        return await self._container.query(self._key, Query(select(what, order_by=order_by), limit=1))


def _format_time(at: datetime | None) -> str | None:
    """Write a time so that it comes before the stored ones of the same second: those end in `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat()
