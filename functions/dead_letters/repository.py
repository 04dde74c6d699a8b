"""Dead letters as the quarantine has them: one tenant's, or the platform's, which name no active tenant."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pydantic import Field

from functions.dead_letters.errors import DeadLetterInReplayError, DeadLetterNotFoundError
from shared.cosmos.container import ItemChangedError, ItemNotFoundError, Patch, Query
from shared.cosmos.leases import Lease, LeaseFields
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem, platform_key
from shared.cosmos.queries import select
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.messaging.quarantine import QuarantinedMessage
from shared.resilience.deadlines import deadline
from shared.tenancy.context import TenantContext
from shared.tenancy.owned_data import UNATTRIBUTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import PlatformContext

REPLAY_SECONDS = 45.0
"""After this, the replay of one dead letter asks nothing more of a dependency."""

CLAIM_SECONDS = 60.0
"""How long a dead letter is the one's alone who replays it, should that one die: longer than a replay takes,
by more than clocks differ."""

_CLAIM = LeaseFields(until="replayed_until", holder="replayed_by")
_logger = get_logger(__name__)


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
        clock: Tells how long a replay has a dead letter for itself.
    """

    def __init__(self, caller: TenantContext | PlatformContext, container: Container, clock: Clock) -> None:
        self._container = container
        self._clock = clock
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

    async def delete(self, letter: QuarantinedMessage) -> None:
        """Remove a dead letter as it was read.

        Raises:
            DeadLetterNotFoundError: It is gone.
            DeadLetterInReplayError: Its message is being sent again.
        """
        if not Lease(letter.replayed_by, letter.replayed_until).is_over(self._clock):
            raise DeadLetterInReplayError(letter.id, CLAIM_SECONDS)
        try:
            is_removed = await self._own.delete(letter.id, letter.etag)
        except ItemChangedError as error:
            raise DeadLetterInReplayError(letter.id, CLAIM_SECONDS) from error
        if not is_removed:
            raise DeadLetterNotFoundError(letter.id)

    @asynccontextmanager
    async def replaying(self, letter_id: str) -> AsyncIterator[QuarantinedMessage]:
        """Take a dead letter for a block that sends its message again, and remove it after that.

        Nobody else takes it meanwhile. Where the block fails it is a dead letter as before; where its process
        dies, it is that after a minute. One that has become a dead letter anew meanwhile stays one.

        Raises:
            DeadLetterNotFoundError: The caller has none of this id.
            DeadLetterInReplayError: Somebody else has taken it.
        """
        letter = await self._claim(letter_id)
        async with AsyncExitStack() as where_it_fails:
            where_it_fails.push_async_callback(self._release, letter)
            with deadline(REPLAY_SECONDS, self._clock):
                yield letter
                with suppress(ItemChangedError):
                    await self._own.delete(letter.id, letter.etag)
            where_it_fails.pop_all()

    async def _claim(self, letter_id: str) -> QuarantinedMessage:
        # What an older release stored has never been claimed, and does not say so.
        is_free = f"NOT IS_DEFINED(c.replayed_until) OR {_CLAIM.is_over(self._clock)}"
        lease = Lease.begin(self._clock, CLAIM_SECONDS)
        try:
            return await self._own.patch(QuarantinedMessage, letter_id, Patch(_CLAIM.take(lease), is_free))
        except ItemNotFoundError as error:
            raise DeadLetterNotFoundError(letter_id) from error
        except ItemChangedError as error:
            raise DeadLetterInReplayError(letter_id, CLAIM_SECONDS) from error

    async def _release(self, letter: QuarantinedMessage) -> None:
        """Let a dead letter be replayed again at once; where that fails, it can be after a minute."""
        patch = Patch((_CLAIM.release(),), _CLAIM.is_held_by(letter.replayed_by))
        try:
            await self._own.patch(QuarantinedMessage, letter.id, patch)
        except APIError as error:
            facts = {"dead_letter_id": letter.id, "error": type(error).__name__}
            _logger.warning("A dead letter was not given back", extra=facts)

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
