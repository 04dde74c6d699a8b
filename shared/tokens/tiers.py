"""What each tier may use per minute: the one table."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from shared.tenancy.store import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.tenancy.context import TenantContext


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may count in any 60 seconds."""

    tokens: int
    requests: int


LIMITS: Mapping[Tier, Limits] = MappingProxyType(
    {
        Tier.FREE: Limits(tokens=20_000, requests=60),
        Tier.STANDARD: Limits(tokens=200_000, requests=600),
        Tier.PREMIUM: Limits(tokens=2_000_000, requests=6_000),
    }
)


def limits_of(tenant: TenantContext) -> Limits:
    """Return the limits of the tenant's tier."""
    return LIMITS[Tier(tenant.tier)]
