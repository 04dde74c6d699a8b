"""What can be read of this process when metrics are exported: its caches and its breakers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.caching.region import Cache
    from shared.resilience.dependency import Dependency
    from shared.telemetry.spans import Attributes

READINGS = {
    "tenantry.cache.answers": True,
    "tenantry.cache.second_level": True,
    "tenantry.cache.evictions": True,
    "tenantry.cache.entries": False,
    "tenantry.cache.oldest_served": False,
    "tenantry.breaker.open": False,
    "tenantry.breaker.throttled_parts": False,
}
"""What is read of the process when metrics are exported, and whether it only ever rises."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of the process; its name is one of `READINGS`."""

    name: str
    value: float
    attributes: Attributes


def readings_of(cache: Cache | None, dependencies: Iterable[Dependency]) -> Iterator[Reading]:
    """Read what the caches and the breakers of this process are doing."""
    for name, counts in ({} if cache is None else cache.counts).items():
        region: Attributes = {"region": name}
        for kind in ("hits", "misses", "stale", "last_good"):
            yield Reading("tenantry.cache.answers", getattr(counts, kind), region | {"kind": kind})
        for kind in ("second_hits", "second_failures"):
            yield Reading("tenantry.cache.second_level", getattr(counts, kind), region | {"kind": kind})
        yield Reading("tenantry.cache.evictions", counts.evictions, region)
        yield Reading("tenantry.cache.entries", counts.entries, region)
        yield Reading("tenantry.cache.oldest_served", counts.oldest_served_seconds, region)
    for dependency in dependencies:
        whose: Attributes = {"tenantry.dependency": dependency.name}
        yield Reading("tenantry.breaker.open", int(dependency.breaker.state != "closed"), whose)
        yield Reading("tenantry.breaker.throttled_parts", dependency.throttled_parts, whose)
