"""Values of this process that are read each time metrics are exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.telemetry.spans import Attributes

MEASUREMENTS = {
    "tenantry.cache.answers": True,
    "tenantry.cache.second_level": True,
    "tenantry.cache.evictions": True,
    "tenantry.cache.entries": False,
    "tenantry.cache.oldest_served": False,
    "tenantry.process.peak_memory": False,
    "tenantry.breaker.open": False,
    "tenantry.breaker.throttled_parts": False,
}
"""Names of the values, and whether each only ever rises."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of the process; its name is one of `MEASUREMENTS`."""

    name: str
    value: float
    attributes: Attributes
