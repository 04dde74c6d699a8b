"""Throughput limits per container: a budget of request units that refills every second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from local.cosmos.errors import CosmosError, SubStatus

if TYPE_CHECKING:
    from local.cosmos.engine.catalog import Clock, ContainerName


class Budget:
    """Request units of one container.

    As in the service, a request runs while any are left and may overdraw.
    """

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._left = per_second
        self._at = now

    def admit(self, now: float) -> None:
        """Let a request through.

        Raises:
            CosmosError: 429 with the time until there are units again.
        """
        self._left = min(self.per_second, self._left + max(now - self._at, 0) * self.per_second)
        self._at = now
        if self._left <= 0:
            wait_ms = max(1, math.ceil(-self._left / self.per_second * 1000) + 1)
            raise CosmosError(
                429,
                "Request rate is large. More Request Units may be needed, so no changes were made. Please "
                "retry this "
                "request later. Learn more: http://aka.ms/cosmosdb-error-429",
                substatus=SubStatus.REQUEST_RATE,
                retry_after_ms=wait_ms,
            )

    def spend(self, charge: float) -> None:
        """Take what a request cost."""
        self._left -= charge


class Limits:
    """The containers that have a limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[ContainerName, Budget] = {}

    def set(self, name: ContainerName, per_second: float | None) -> None:
        """Switch a container's limit on, or off with None."""
        if per_second is None:
            self._budgets.pop(name, None)
        else:
            self._budgets[name] = Budget(per_second, self._clock())

    def describe(self) -> dict[str, float]:
        """List the limits."""
        return {"/".join(name): budget.per_second for name, budget in self._budgets.items()}

    def admit(self, name: ContainerName) -> Budget | None:
        """Let a request on a container through, and give the budget that it is to be charged to."""
        budget = self._budgets.get(name)
        if budget is not None:
            budget.admit(self._clock())
        return budget
