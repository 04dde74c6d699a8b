"""Rounds: work of the platform's that is done for every active tenant, as that tenant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.tasks import spawn
from shared.tenancy.context import acting_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from shared.tenancy.context import TenantContext, TenantId

_logger = get_logger(__name__)


class ListsTenants(Protocol):
    """Directory of the tenants."""

    def ids(self) -> AsyncIterator[Sequence[TenantId]]:
        """Go through the ids that are taken, a page of them at a time."""
        ...


class KnowsActiveTenants(Protocol):
    """Source of the contexts in which rounds are made."""

    async def find_active(self, tenant_id: TenantId) -> TenantContext | None:
        """Return the context of a tenant that is known to be active, else None.

        Raises:
            DependencyUnavailableError: It is not known, and the store is down.
        """
        ...


@dataclass(frozen=True, slots=True)
class TenantRounds:
    """Goes through the tenants, some of them at once. What fails for one keeps no other waiting.

    Attributes:
        directory: Lists the tenants.
        authenticator: Lets the platform's work run as one of them; it remembers the tenants for all rounds.
        failure: What the log says where the work for one failed for now; the next round tries again.
        defects: What is said of those for whom it failed otherwise.
        at_once: For how many of them work is done at a time.
    """

    directory: ListsTenants
    authenticator: KnowsActiveTenants
    failure: str
    defects: str
    at_once: int

    async def run(self, work: Callable[[TenantContext], Awaitable[int]]) -> int:
        """Do some work for every tenant; return how much was done: the sum of what it returns.

        Raises:
            ExceptionGroup: Defects met on the way; every other tenant was served all the same.
            DependencyUnavailableError: The tenants cannot be listed.
            DeadlineExceededError: Not all of them could be in the caller's time.
        """
        done = 0
        defects: list[Exception] = []
        places = asyncio.Semaphore(self.at_once)
        async for page in self.directory.ids():
            served = [spawn(self._serve(tenant_id, work, places)) for tenant_id in page]
            for outcome in await asyncio.gather(*served, return_exceptions=True):
                match outcome:
                    case int():
                        done += outcome
                    case Exception():
                        defects.append(outcome)
                    case _:
                        raise outcome
        if defects:
            raise ExceptionGroup(self.defects, defects)
        return done

    async def _serve(
        self, tenant_id: TenantId, work: Callable[[TenantContext], Awaitable[int]], places: asyncio.Semaphore
    ) -> int:
        async with places:
            with logging_as(tenant_id=tenant_id):
                try:
                    tenant = await self.authenticator.find_active(tenant_id)
                    if tenant is None:
                        return 0
                    with acting_for(tenant):
                        return await work(tenant)
                except APIError as error:
                    _logger.warning(self.failure, extra={"error": type(error).__name__})
                    return 0
