"""Sweeper: sends what crashes left in the outboxes of all tenants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.background import background_work
from shared.resilience.deadlines import deadline
from shared.resilience.tasks import spawn
from shared.tenancy.context import acting_for
from shared.tenancy.errors import TenantNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from shared.clock import Clock
    from shared.messaging.consumer import PlatformAuthenticator
    from shared.tenancy.context import TenantContext

SWEEP_SECONDS = 540.0
"""After this, nothing more is asked of a dependency in a round: a slow one must not have the host end the
worker, and all of its other work (host.json, `functionTimeout`). What is left is the next round's."""

_TENANTS_AT_ONCE = 8
_logger = get_logger(__name__)


class NamedTenant(Protocol):
    """Tenant in the directory's list."""

    @property
    def tenant_id(self) -> str:
        """Its id."""
        ...


class Sweeps(Protocol):
    """One tenant's outbox."""

    async def sweep(self) -> int:
        """Send what is pending; tell how many messages."""
        ...


class ListsTenants(Protocol):
    """Directory of the tenants."""

    def active(self) -> AsyncIterator[Sequence[NamedTenant]]:
        """Go through every active tenant, a page of them at a time."""
        ...


class Sweeper:
    """Goes through the tenants' outboxes; docs/adr/0008-outbox-and-deliveries.md says what that costs.

    Args:
        directory: Lists the tenants.
        authenticator: Lets the platform's work run as one of them.
        outbox_of: Opens a tenant's outbox.
        clock: Bounds a round.
    """

    def __init__(
        self,
        directory: ListsTenants,
        authenticator: PlatformAuthenticator,
        outbox_of: Callable[[TenantContext], Sweeps],
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._outbox_of = outbox_of
        self._clock = clock
        self._slots = asyncio.Semaphore(_TENANTS_AT_ONCE)

    async def sweep(self) -> int:
        """Send what is pending; tell how many messages. What fails for one tenant keeps no other waiting.

        Raises:
            ExceptionGroup: Defects met on the way; every other tenant was served all the same.
            DependencyUnavailableError: The tenants cannot be listed.
            DeadlineExceededError: Not all of them could be in the time of a round.
        """
        with deadline(SWEEP_SECONDS, self._clock), background_work():
            return await self._sweep_all()

    async def _sweep_all(self) -> int:
        sent = 0
        defects: list[Exception] = []
        async for page in self._directory.active():
            sweeps = [spawn(self._sweep(tenant.tenant_id)) for tenant in page]
            for outcome in await asyncio.gather(*sweeps, return_exceptions=True):
                match outcome:
                    case int():
                        sent += outcome
                    case Exception():
                        defects.append(outcome)
                    case _:
                        raise outcome
        if defects:
            raise ExceptionGroup("Outboxes that could not be swept", defects)
        return sent

    async def _sweep(self, tenant_id: str) -> int:
        async with self._slots:
            with logging_as(tenant_id=tenant_id):
                try:
                    tenant = await self._authenticator.for_platform(tenant_id)
                    with acting_for(tenant):
                        return await self._outbox_of(tenant).sweep()
                except TenantNotFoundError:
                    return 0  # suspended or removed since the page was read: it is not served any more
                except APIError as error:
                    # The next round comes soon.
                    _logger.warning("An outbox was not swept", extra={"error": type(error).__name__})
                    return 0
