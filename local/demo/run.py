"""One run of the demo against a platform that answers: tenants, their past, then everything else."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import httpx

from local.demo.filling import Filler, Step
from local.demo.history import Anchor, LogHistory, UsageHistory
from local.demo.memory import FILE, read_keys, write_keys
from local.demo.past import DAYS
from local.demo.plan import make_plan
from local.demo.stand_in import StandIn
from local.tour.client import wait_for
from shared.resilience.concurrency import side_by_side
from shared.runtime import Runtime
from shared.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.demo.filling import Keys
    from local.demo.plan import PlannedTenant
    from shared.settings import Settings

_TENANTS_AT_ONCE = 4
_REQUEST_SECONDS = 60
_INDEX_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a platform is.

    Attributes:
        app: The app's address.
        model: The stand-in model's.
        data_dir: The platform's folder.
    """

    app: str
    model: str
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Filled:
    """A platform that was filled: the keys to look at it with."""

    admin_key: str
    keys: Keys
    showcase: PlannedTenant


def run(place: Place, tenants: int, seed: int, show: Callable[[Step], None]) -> Filled:
    """Fill a platform, with the settings of the environment, which are those of its app.

    Args:
        place: Where it is.
        tenants: How many tenants there are to be.
        seed: Another one makes other data.
        show: Is told of each step that is over.

    Raises:
        TourError: The app refuses something, or something takes too long.
    """
    plan = make_plan(tenants, seed)
    settings = load_settings()
    keys_file = place.data_dir / FILE
    keys = read_keys(keys_file)
    admin_key = settings.admin_api_key.get_secret_value()
    with _client(place.app) as app, _client(place.model) as model:
        filler = Filler(app, admin_key, plan, StandIn(model), keys)
        try:
            step, created_at = filler.open_tenants()
            show(step)
            anchor = Anchor(created_at.astimezone(UTC).date(), seed)
            past = _Past(settings, place.data_dir / "logs", anchor)
            for step in past.write(filler):
                show(step)
            for step in filler.fill():
                show(step)
            show(past.await_index(filler))
            show(filler.suspend())
        finally:
            write_keys(keys_file, keys)
    return Filled(admin_key, keys, plan.tenants[0])


class _Past:
    """The past of one run."""

    def __init__(self, settings: Settings, logs: Path, anchor: Anchor) -> None:
        self._settings = settings
        self._anchor = anchor
        retention = {
            "free": settings.log_retention_days_free,
            "standard": settings.log_retention_days_standard,
            "premium": settings.log_retention_days_premium,
            "own": settings.log_retention_days_premium,
        }
        self._logs = LogHistory(logs, settings.app_name, retention, anchor)
        self._days = Counter[str]()

    def write(self, filler: Filler) -> Iterator[Step]:
        """Write what the open tenants used, and the lines of those that have none of those days yet."""
        tenants = filler.open
        yield Step("tenants with the usage of 30 days", len(tenants), asyncio.run(self._write_usage(tenants)))
        missing = [tenant for tenant in tenants if not filler.count_chunks(tenant, self._query)]
        self._days = self._logs.write(missing)
        filler.ship_logs()
        yield Step("tenants with log lines of as many days as they keep", len(tenants), len(self._days))

    def await_index(self, filler: Filler) -> Step:
        """Wait until the app has indexed the lines."""
        for tenant in filler.open:
            self._await_index_of(tenant, filler)
        return Step("days of log lines in the index", self._days.total(), self._days.total())

    def _await_index_of(self, tenant: PlannedTenant, filler: Filler) -> None:
        wanted = self._days[tenant.tenant_id]
        wait_for(
            f"The index of {tenant.name}'s log lines",
            lambda: filler.count_chunks(tenant, self._query),
            lambda count: count >= wanted,
            _INDEX_SECONDS,
        )

    @property
    def _query(self) -> dict[str, str]:
        first, last = self._anchor.day - timedelta(days=DAYS), self._anchor.day - timedelta(days=1)
        return {"from": first.isoformat(), "to": last.isoformat()}

    async def _write_usage(self, tenants: list[PlannedTenant]) -> int:
        runtime = Runtime(lambda: self._settings)
        try:
            history = UsageHistory(runtime, self._anchor)
            written = await side_by_side(
                (history.write(tenant) for tenant in tenants), at_once=_TENANTS_AT_ONCE
            )
        finally:
            await runtime.close()
        return sum(count > 0 for count in written)


@contextmanager
def _client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=_REQUEST_SECONDS, trust_env=False) as client:
        yield client
