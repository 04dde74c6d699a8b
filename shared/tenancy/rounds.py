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
from shared.tenancy.errors import TenantNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from shared.tenancy.context import PlatformAuthenticator, TenantContext

_logger = get_logger(__name__)


class NamedTenant(Protocol):
    """Tenant in the directory's list."""

    @property
    def tenant_id(self) -> str:
        """Its id."""
        ...


class ListsTenants(Protocol):
    """Directory of the tenants."""

    def active(self) -> AsyncIterator[Sequence[NamedTenant]]:
        """Go through every active tenant, a page of them at a time."""
        ...


@dataclass(frozen=True, slots=True)
class TenantRounds:
    """Goes through the tenants, some of them at once. What fails for one keeps no other waiting.

    Attributes:
        directory: Lists the tenants.
        authenticator: Lets the platform's work run as one of them.
        failure: What the log says where the work for one failed for now; the next round tries again.
        defects: What is said of those for whom it failed otherwise.
        at_once: For how many of them work is done at a time.
    """

    directory: ListsTenants
    authenticator: PlatformAuthenticator
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
        async for page in self.directory.active():
            served = [spawn(self._serve(tenant.tenant_id, work, places)) for tenant in page]
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
        self, tenant_id: str, work: Callable[[TenantContext], Awaitable[int]], places: asyncio.Semaphore
    ) -> int:
        async with places:
            with logging_as(tenant_id=tenant_id):
                try:
                    tenant = await self.authenticator.for_platform(tenant_id)
                    with acting_for(tenant):
                        return await work(tenant)
                except TenantNotFoundError:
                    return 0  # suspended or removed since the page was read: it is not served any more
                except APIError as error:
                    _logger.warning(self.failure, extra={"error": type(error).__name__})
                    return 0
