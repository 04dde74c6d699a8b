"""Sweeper: sends what crashes left in the outboxes of all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.resilience.background import background_work
from shared.resilience.deadlines import deadline
from shared.tenancy.rounds import TenantRounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.clock import Clock
    from shared.tenancy.context import TenantContext
    from shared.tenancy.rounds import KnowsActiveTenants, ListsTenants

SWEEP_SECONDS = 540.0
"""After this, nothing more is asked of a dependency in a round: a slow one must not have the host end the
worker, and all of its other work (host.json, `functionTimeout`). What is left is the next round's."""

_TENANTS_AT_ONCE = 8


class Sweeps(Protocol):
    """One tenant's outbox."""

    async def sweep(self) -> int:
        """Send what is pending; tell how many messages."""
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
        authenticator: KnowsActiveTenants,
        outbox_of: Callable[[TenantContext], Sweeps],
        clock: Clock,
    ) -> None:
        self._rounds = TenantRounds(
            directory,
            authenticator,
            failure="An outbox was not swept",
            defects="Outboxes that could not be swept",
            at_once=_TENANTS_AT_ONCE,
        )
        self._outbox_of = outbox_of
        self._clock = clock

    async def sweep(self) -> int:
        """Send what is pending; tell how many messages. What fails for one tenant keeps no other waiting.

        Raises:
            ExceptionGroup: Defects met on the way; every other tenant was served all the same.
            DependencyUnavailableError: The tenants cannot be listed.
            DeadlineExceededError: Not all of them could be in the time of a round.
        """
        with deadline(SWEEP_SECONDS, self._clock), background_work():
            return await self._rounds.run(lambda tenant: self._outbox_of(tenant).sweep())
