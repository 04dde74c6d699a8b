"""Retention of shipped logs: days by tier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Self

from shared.tenancy.store import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from shared.settings import Settings
    from shared.tenancy.context import TenantContext

_SLACK = timedelta(days=2)
"""Manifests go after their chunks: the upkeep of an hour may be missed."""


@dataclass(frozen=True, slots=True)
class LogRetention:
    """Days for which shipped logs are kept, after the day that they are of.

    Attributes:
        by_tier: Of tenants, by the names of their tiers.
        platform_days: Of lines that no tenant caused.
    """

    by_tier: Mapping[str, int]
    platform_days: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the days from the settings."""
        days: dict[str, int] = {
            Tier.FREE: settings.log_retention_days_free,
            Tier.STANDARD: settings.log_retention_days_standard,
            Tier.PREMIUM: settings.log_retention_days_premium,
            Tier.OWN: settings.log_retention_days_premium,
        }
        return cls(days, settings.log_retention_days_platform)

    def days_of(self, tenant: TenantContext) -> int:
        """Return the days of a tenant's logs."""
        return self.by_tier[tenant.tier]

    def seconds_left(self, days: int, day: date, now: datetime) -> int:
        """Return for how long a manifest of a day is still needed, at least a second."""
        ends = datetime.combine(day, time(), UTC) + timedelta(days=days + 1) + _SLACK
        return max(1, int((ends - now).total_seconds()))
