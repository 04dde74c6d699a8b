"""Ask each dependency whether it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from functions.ops.errors import NotReadyError
from functions.ops.models import CacheReply, DependencyReply, DependencyState, LogFileState, ReadyReply
from shared.errors import APIError, ConfigurationError
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.caching.region import RegionCounts


class HealthProbe(Protocol):
    """One dependency as health sees it."""

    @property
    def name(self) -> str:
        """Name of the dependency."""
        ...

    @property
    def breaker(self) -> str:
        """State of its circuit breaker."""
        ...

    @property
    def throttled_parts(self) -> int:
        """Number of its parts that are left alone."""
        ...

    async def check(self) -> None:
        """Make the cheapest call that proves it answers; raise the `APIError` of what is wrong."""
        ...


class HealthService:
    """Readiness of what this app depends on."""

    def __init__(
        self,
        probes: Sequence[HealthProbe],
        caches: Mapping[str, RegionCounts],
        log_file: LogFileState = LogFileState.OFF,
    ) -> None:
        self._probes = probes
        self._caches = caches
        self._log_file = log_file

    async def ready(self) -> ReadyReply:
        """Return each dependency's state.

        Raises:
            NotReadyError: At least one is not up; its detail has them all.
        """
        replies = await asyncio.gather(*[spawn(_check(probe)) for probe in self._probes])
        if all(reply.state is DependencyState.UP for reply in replies):
            caches = _describe_caches(self._caches)
            return ReadyReply(log_file=self._log_file, dependencies=list(replies), caches=caches)
        down = [reply.name for reply in replies if reply.state is not DependencyState.UP]
        raise NotReadyError(down, [reply.model_dump(mode="json") for reply in replies])


async def _check(probe: HealthProbe) -> DependencyReply:
    state, reason = DependencyState.UP, None
    try:
        await probe.check()
    except ConfigurationError as error:
        state, reason = DependencyState.NOT_CONFIGURED, error.message
    except APIError as error:
        state, reason = DependencyState.DOWN, error.message
    return DependencyReply(
        name=probe.name,
        state=state,
        breaker=probe.breaker,
        throttled_parts=probe.throttled_parts,
        reason=reason,
    )


def _describe_caches(regions: Mapping[str, RegionCounts]) -> list[CacheReply]:
    return [
        CacheReply(
            region=name,
            hits=counts.hits,
            misses=counts.misses,
            stale=counts.stale,
            last_good=counts.last_good,
            evictions=counts.evictions,
            entries=counts.entries,
            oldest_served_seconds=round(counts.oldest_served_seconds, 3),
        )
        for name, counts in regions.items()
    ]
