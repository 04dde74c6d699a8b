"""Measurements of this process: its memory, its caches and its circuit breakers."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from shared.resilience.circuit_breaker import BreakerState
from shared.telemetry.measurements import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.caching.region import Cache
    from shared.resilience.dependency import Dependency
    from shared.telemetry.spans import Attributes


_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss` is the platform's."""


def measure_process(cache: Cache | None, dependencies: Iterable[Dependency]) -> Iterator[Measurement]:
    """Measure the peak of the memory, each region of the cache, and the breaker of each dependency."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield Measurement("tenantry.process.peak_memory", peak * _BYTES_PER_UNIT, {})
    for name, counts in ({} if cache is None else cache.counts).items():
        region: Attributes = {"region": name}
        for kind in ("hits", "misses", "stale", "last_good"):
            yield Measurement("tenantry.cache.answers", getattr(counts, kind), region | {"kind": kind})
        for kind in ("second_hits", "second_failures"):
            yield Measurement("tenantry.cache.second_level", getattr(counts, kind), region | {"kind": kind})
        yield Measurement("tenantry.cache.evictions", counts.evictions, region)
        yield Measurement("tenantry.cache.entries", counts.entries, region)
        yield Measurement("tenantry.cache.oldest_served", counts.oldest_served_seconds, region)
    for dependency in dependencies:
        attributes: Attributes = {"tenantry.dependency": dependency.name}
        is_open = dependency.breaker.state is not BreakerState.CLOSED
        yield Measurement("tenantry.breaker.open", int(is_open), attributes)
        yield Measurement("tenantry.breaker.throttled_parts", dependency.throttled_parts, attributes)
