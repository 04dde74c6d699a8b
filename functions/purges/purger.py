"""Purges in the background: all that a tenant owns is removed, until nothing is left nor can come.

docs/adr/0016-purge-and-export.md argues why nothing survives it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.resilience.tasks import spawn
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import parse_tenant_id, platform_work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantId
    from shared.tenancy.purges import PurgeItem, Purges
    from shared.tenancy.store import TenantStore

WORK_SECONDS = 240.0
"""Time in which one run works; less than half of what the host lets a function run."""

_TENANTS_AT_ONCE = 4
_PLACES_AT_ONCE = 3
_PAGE = 20
_logger = get_logger(__name__)


class OwnedPlace(Protocol):
    """Things of one tenant in one place."""

    async def count(self) -> int:
        """Count it by asking the store."""
        ...

    async def remove_some(self) -> int:
        """Remove some of it; return how much, 0 when none is left."""
        ...


class OpensOwnedData(Protocol):
    """Opens all that a tenant owns: `shared/tenancy/owned_data.py`."""

    def __call__(self, tenant_id: TenantId, *, with_tenant: bool) -> Mapping[str, OwnedPlace]:
        """Return it by where it is; the item that says that the tenant is being purged only if asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Purger:
    """Works on every purge that was asked for and is not over.

    Attributes:
        purges: The purges that were asked for, and their progress.
        tenants: The store that says of a tenant that it is being purged.
        open_owned: Opens what a tenant owns.
        audit: Keeps that a purge is over.
        clock: Time.
        settle_seconds: Time after a tenant was closed in which something may still write for it.
    """

    purges: Purges
    tenants: TenantStore
    open_owned: OpensOwnedData
    audit: AuditTrail
    clock: Clock
    settle_seconds: float
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_TENANTS_AT_ONCE))

    async def run(self) -> None:
        """Go on with every purge; one that fails goes on in the next run, and keeps no other waiting.

        Raises:
            ExceptionGroup: Defects met on the way.
            DependencyUnavailableError: The purges cannot be listed.
        """
        until = self.clock.monotonic() + WORK_SECONDS
        after = ""
        is_last = False
        defects: list[Exception] = []
        while not is_last:
            page = await self.purges.list_unfinished(after, _PAGE)
            work = [spawn(self._continue_purge(purge, until)) for purge in page]
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            for purge, outcome in zip(page, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    facts = {"purged_tenant": purge.purged}
                    _logger.error("A purge met a defect", extra=facts, exc_info=outcome)
                    defects.append(outcome)
                elif outcome is not None:
                    raise outcome
            is_last = len(page) < _PAGE
            after = "" if is_last else page[-1].id
        if defects:
            raise ExceptionGroup("Purges that could not go on", defects)

    async def _continue_purge(self, purge: PurgeItem, until: float) -> None:
        # The log names the tenant as a fact, not as the owner of the line, which would be shipped to it.
        facts = {"purged_tenant": purge.purged}
        async with self._places:
            try:
                await self._advance(purge, until)
            except APIError as error:
                problem = {"error": type(error).__name__, "problem": error.message}
                _logger.warning("A purge goes on later", extra=facts | problem)

    async def _advance(self, purge: PurgeItem, until: float) -> None:
        tenant_id = parse_tenant_id(purge.purged)
        if purge.closed_at is None:
            await self.tenants.close(tenant_id)
            purge = await self.purges.close(purge)
        settled = self._is_settled(purge)
        owned = self.open_owned(tenant_id, with_tenant=settled)
        removed = Counter(purge.removed)
        if not await self._remove(purge, owned, removed, until) or not settled:
            return
        counted = await side_by_side((one.count() for one in owned.values()), at_once=_PLACES_AT_ONCE)
        counts = dict(zip(owned, counted, strict=True))
        if not any(counts.values()):
            await self.tenants.forget_name(tenant_id)
            detail = {"removed": str(removed.total()), "left": "0"}
            await self.audit.record(platform_work(), AuditAction.TENANT_PURGE, tenant_id, detail=detail)
        await self.purges.note_counts(purge, counts)

    def _is_settled(self, purge: PurgeItem) -> bool:
        settles_after = timedelta(seconds=self.settle_seconds)
        return purge.closed_at is not None and self.clock.now() >= purge.closed_at + settles_after

    async def _remove(
        self, purge: PurgeItem, owned: Mapping[str, OwnedPlace], removed: Counter[str], until: float
    ) -> bool:
        """Remove all that is there, and count it; tell whether there was time enough."""

        async def remove_all(name: str, place: OwnedPlace) -> bool:
            while self.clock.monotonic() < until:
                try:
                    count = await place.remove_some()
                except APIError as error:
                    facts = {"purged_tenant": purge.purged, "place": name}
                    problem = {"error": type(error).__name__, "problem": error.message}
                    _logger.warning("A part of a purge goes on later", extra=facts | problem)
                    return False
                if not count:
                    return True
                removed[name] += count
                await self.purges.note_removed(purge, dict(removed))
            return False

        work = (remove_all(name, place) for name, place in owned.items())
        return all(await side_by_side(work, at_once=_PLACES_AT_ONCE))
