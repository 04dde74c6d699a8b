"""Alerts of budgets that are used up to 80 or 100 percent: claimed once, and kept to be sent.

A claim follows from what the ledger has stored, so that no crossing is lost with the process that made it:
the next look finds it. The claim's id is the crossing's; it holds the message until it is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cachetools import TTLCache

from shared.contracts import BudgetAlert
from shared.cosmos.container import ItemNotFoundError, Patch, PatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.cosmos.queries import select
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.tokens.counters import EMBEDDINGS_COUNTER, TENANT_COUNTER, WindowCounter
from shared.tokens.limits import limits_in_force, override_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tokens.admission import RefusedLock

WARNING_PERCENT: Literal[80] = 80
EXHAUSTED_PERCENT: Literal[100] = 100

_PREFIX = "alert:"
_LOOK_BACK = timedelta(days=2)
"""A period that ended before this gets no more reports: locks can be settled for 24 hours."""

_PERIOD = re.compile(r"(?:d(?=.{8}$)|m(?=.{6}$))(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)?")

_MOST_TENANTS = 4096
_CLAIM_EVERY_SECONDS = 5.0
"""So often at most are a tenant's alerts claimed for refusals, which can come in floods."""

_TTL_SECONDS = 100 * 24 * 3600
"""A claim outlives the longest period that is looked back at, so that none is claimed twice."""


_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a month of UTC."""

    kind: Literal["day", "month"]
    starts: date

    @classmethod
    def of(cls, key: str) -> Period | None:
        """Read the name under which the ledger counts a period: `d20260131` or `m202601`."""
        match = _PERIOD.fullmatch(key)
        if match is None:
            return None  # a newer release may count by other periods
        starts = date(int(match["year"]), int(match["month"]), int(match["day"] or 1))
        return cls("month" if match["day"] is None else "day", starts)

    @property
    def ends_at(self) -> datetime:
        """Return when the next one begins."""
        at = datetime(self.starts.year, self.starts.month, self.starts.day, tzinfo=UTC)
        return at + timedelta(days=1) if self.kind == "day" else (at + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Use of one budget beyond 80 or 100 percent.

    Attributes:
        period: The day or the month.
        percent: How much of it is used.
        limit: Its tokens.
        used: Those of them that were reported.
        pool: The pool whose budget it is; None for the tenant's own.
    """

    period: Period
    percent: Literal[80, 100]
    limit: int
    used: int
    pool: Literal["embeddings"] | None = None

    def message_id(self, tenant_id: str) -> str:
        """Return the id; another limit is another budget, with crossings of its own."""
        whose = tenant_id if self.pool is None else f"{tenant_id}:{self.pool}"
        return f"{whose}:{self.period.kind}:{self.period.starts:%Y%m%d}:{self.limit}:{self.percent}"


class AlertItem(StoredItem):
    """A crossing that was claimed: its message, and whether that is still to be sent."""

    body: str
    outbox_pending: bool
    ttl: int = _TTL_SECONDS

    @property
    def message_id(self) -> str:
        """Return the message's id."""
        return self.id.removeprefix(_PREFIX)


_PENDING = select(AlertItem, where="STARTSWITH(c.id, @prefix) AND c.outbox_pending = true", order_by="c.id")


def find_crossings(
    counter: WindowCounter,
    tier: str,
    now: float,
    refused: RefusedLock | None = None,
    pool: WindowCounter | None = None,
) -> Iterator[Crossing]:
    """Find a tenant's crossings of each period, by the limits in force now, or at its end if it is over.

    Args:
        counter: The tenant's counter.
        tier: The tenant's tier.
        now: In seconds since the epoch.
        refused: A lock that a budget has just refused: so a budget of a period that is not over by then.
        pool: The counter of the tenant's embeddings, where their crossings are wanted and not the tenant's.
    """
    override = override_of(counter)
    if refused is not None and refused.pooled is (pool is None):
        refused = None  # by the other's budget
    for key, used in (counter if pool is None else pool).spent.items():
        period = Period.of(key)
        if period is None:
            continue
        ends_at = period.ends_at.timestamp()
        in_force = limits_in_force(tier, override, min(now, ends_at - 1))
        limits = in_force if pool is None else in_force.embeddings
        limit = limits.tokens_per_day if period.kind == "day" else limits.tokens_per_month
        if limit is None or used * 100 < limit * WARNING_PERCENT:
            continue
        name: Literal["embeddings"] | None = None if pool is None else "embeddings"
        yield Crossing(period, WARNING_PERCENT, limit, used, name)
        asked = refused.tokens if refused is not None and refused.second < ends_at else 0
        if used >= limit or (asked and used + asked > limit):
            yield Crossing(period, EXHAUSTED_PERCENT, limit, used, name)


class BudgetAlerts:
    """The crossings of one tenant's budgets.

    Args:
        tenant: The tenant.
        container: The container `ledger`.
        clock: Dates messages, and tells which periods are long over.
    """

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._tenant = tenant
        self._own = Partition.of(tenant, container)
        self._clock = clock

    async def claim(self, refused: RefusedLock | None = None) -> None:
        """Store a message for each crossing that has none; see `find_crossings`.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        counter = await self._own.read(WindowCounter, TENANT_COUNTER)
        if counter is None:
            return
        now, tier = self._clock.now(), self._tenant.tier
        crossings = [*find_crossings(counter, tier, now.timestamp(), refused)]
        pool = await self._own.read(WindowCounter, EMBEDDINGS_COUNTER)
        if pool is not None:
            crossings += find_crossings(counter, tier, now.timestamp(), refused, pool)
        for crossing in crossings:
            if crossing.period.ends_at >= now - _LOOK_BACK:
                await self._store(crossing, now)

    async def pending(self, limit: int) -> list[AlertItem]:
        """Return messages that are still to be sent, at most `limit`.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        return await self._own.query(AlertItem, Query(_PENDING, {"@prefix": _PREFIX}, limit))

    async def mark_sent(self, item: AlertItem) -> None:
        """Note that a message is with the broker.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        patch = Patch((PatchOperation("set", "/outbox_pending", value=False),))
        try:
            await self._own.patch(AlertItem, item.id, patch)
        except ItemNotFoundError:
            return  # the tenant was purged meanwhile

    async def _store(self, crossing: Crossing, now: datetime) -> None:
        message_id = crossing.message_id(self._tenant.tenant_id)
        if await self._own.read(AlertItem, _PREFIX + message_id) is not None:
            return
        message = BudgetAlert(
            tenant_id=self._tenant.tenant_id,
            id=message_id,
            period=crossing.period.kind,
            starts=crossing.period.starts,
            percent=crossing.percent,
            limit_tokens=crossing.limit,
            used_tokens=crossing.used,
            pool=crossing.pool,
            at=now,
        )
        item = AlertItem(
            id=_PREFIX + message_id, body=message.model_dump_json(exclude_none=True), outbox_pending=True
        )
        await self._own.create_or_read(item)


class ExhaustionAlerts:
    """Claims of alerts for locks that a budget refused: the `on_exhausted` of a ledger.

    Reported tokens may come to rest a little below the budget, since every lock that is larger than the rest
    is refused: only the refusal shows that the budget is at its end. The sweep finds all other crossings.

    Args:
        container: The container `ledger`.
        clock: The app's time.
    """

    def __init__(self, container: Container, clock: Clock) -> None:
        self._container = container
        self._clock = clock
        self._claimed: TTLCache[tuple[str, bool], None] = TTLCache(
            _MOST_TENANTS, _CLAIM_EVERY_SECONDS, clock.monotonic
        )

    async def claim(self, tenant: TenantContext, refused: RefusedLock) -> None:
        """Claim the tenant's alerts; where that fails, it is logged, and a later refusal tries again."""
        budget = (tenant.tenant_id, refused.pooled)
        if budget in self._claimed:
            return
        self._claimed[budget] = None
        try:
            await BudgetAlerts(tenant, self._container, self._clock).claim(refused)
        except APIError as error:
            _logger.warning("A budget's alert could not be claimed", extra={"error": type(error).__name__})
