"""Usage and cost of a tenant, out of the ledger's usage items.

A day's items are next to each other by their ids. They are read in pages and summed as they come, so that
memory holds the groups of the answer and one page; both are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from functions.tokens.models import UsageReply, UsageRow, UsageSum
from shared.contracts import Usage
from shared.cosmos.container import Query
from shared.cosmos.partition import Partition
from shared.cosmos.queries import select
from shared.errors import ValidationError
from shared.tokens.settings import USAGE_PRICES
from shared.tokens.stored_models import USAGE_PREFIX, UsageItem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import date

    from functions.tokens.models import Dimension, UsageQuery
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tokens.policy import SettingsReader
    from shared.tokens.prices import PriceTable

LONGEST_DAYS = 366

_ITEMS = select(UsageItem, where="c.id > @after AND c.id < @until", order_by="c.id")


@dataclass(frozen=True, slots=True)
class UsageQueryLimits:
    """Limits of the work of one answer.

    Attributes:
        page: Items to a page. A month of most tenants is one: one query of one partition.
        items: The most that are read, to a page more or less.
        rows: The most that are answered.
    """

    page: int = 5_000
    items: int = 100_000
    rows: int = 10_000


DEFAULT_LIMITS = UsageQueryLimits()


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Tokens by kind and requests of one model."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    requests: int = 0

    def plus(self, item: UsageItem) -> _Tokens:
        return _Tokens(
            self.prompt + item.prompt_tokens,
            self.cached + item.cached_tokens,
            self.completion + item.completion_tokens,
            self.reasoning + item.reasoning_tokens,
            self.requests + item.requests,
        )

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt,
            cached_tokens=self.cached,
            completion_tokens=self.completion,
            reasoning_tokens=self.reasoning,
            total_tokens=self.prompt + self.completion,
        )


@dataclass(slots=True)
class _Group:
    """Sums of one row by model: cost differs by it."""

    models: dict[str, _Tokens] = field(default_factory=dict)

    def add(self, item: UsageItem) -> None:
        self.models[item.model] = self.models.get(item.model, _Tokens()).plus(item)

    def sum_up(self, prices: PriceTable) -> UsageSum:
        """Sum up all models; where one has no price, the cost is None: any other would be wrong."""
        unpriced = sorted(self.models.keys() - prices.models.keys())
        usage = sum((tokens.usage for tokens in self.models.values()), Usage())
        return UsageSum(
            **usage.model_dump(),
            requests=sum(tokens.requests for tokens in self.models.values()),
            cost=None if unpriced else self._cost(prices),
            unpriced_models=unpriced,
        )

    def _cost(self, prices: PriceTable) -> str:
        costs = (prices.models[model].cost(tokens.usage) for model, tokens in self.models.items())
        return f"{sum(costs, Decimal(0)).normalize():f}"


class UsageService:
    """One tenant's usage.

    Args:
        tenant: The tenant.
        ledger: The container `ledger`.
        settings: Reader of the tenant's prices.
        clock: Its day is the default's end.
        limits: Limits of the work of one answer.
    """

    def __init__(
        self,
        tenant: TenantContext,
        ledger: Container,
        settings: SettingsReader,
        clock: Clock,
        limits: UsageQueryLimits = DEFAULT_LIMITS,
    ) -> None:
        self._tenant = tenant
        self._items = Partition.of(tenant, ledger)
        self._settings = settings
        self._clock = clock
        self._limits = limits

    async def usage(self, query: UsageQuery) -> UsageReply:
        """Sum the usage of a range of days, and price it as prices are now.

        Raises:
            ValidationError: The range is too long, turned around, or holds too much to be one answer.
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        until = query.until or self._clock.now().date()
        since = query.since or until.replace(day=1)
        days = (until - since).days + 1
        if not 1 <= days <= LONGEST_DAYS:
            raise ValidationError(
                f"A range has 1 to {LONGEST_DAYS} days", {"fields": {"query.from": "out of range"}}
            )
        dimensions = query.dimensions
        total, groups = _Group(), dict[tuple[str, ...], _Group]()
        async for item in self._read_items(since, until):
            total.add(item)
            groups.setdefault(_group_key(item, dimensions), _Group()).add(item)
            if len(groups) > self._limits.rows:
                raise _range_error(f"more than {self._limits.rows} rows")
        prices = await self._settings.value(self._tenant, USAGE_PRICES)
        return UsageReply(
            since=since,
            until=until,
            group_by=dimensions,
            currency=prices.currency,
            items=_build_rows(groups, dimensions, prices),
            total=total.sum_up(prices),
        )

    async def _read_items(self, since: date, until: date) -> AsyncIterator[UsageItem]:
        after = f"{USAGE_PREFIX}{since.isoformat()}"
        end = f"{USAGE_PREFIX}{until.isoformat()};"  # a day is followed by a colon, the sign before this one
        read = 0
        while True:
            page = await self._items.query(
                UsageItem, Query(_ITEMS, {"@after": after, "@until": end}, self._limits.page)
            )
            for item in page:
                yield item
            read += len(page)
            if len(page) < self._limits.page:
                return
            if read >= self._limits.items:
                raise _range_error(f"more than {self._limits.items} items of usage")
            after = page[-1].id


def _group_key(item: UsageItem, dimensions: Sequence[Dimension]) -> tuple[str, ...]:
    # No user sorts before every user; an id is never empty.
    names = {"day": item.day, "model": item.model, "app_id": item.app_id, "user_id": item.user_id or ""}
    return tuple(names[dimension] for dimension in dimensions)


def _build_rows(
    groups: Mapping[tuple[str, ...], _Group], dimensions: Sequence[Dimension], prices: PriceTable
) -> list[UsageRow]:
    return [
        UsageRow.model_validate(
            groups[key].sum_up(prices).model_dump()
            | {dimension: name or None for dimension, name in zip(dimensions, key, strict=True)}
        )
        for key in sorted(groups)
    ]


def _range_error(what: str) -> ValidationError:
    return ValidationError(
        f"The range holds {what}: ask for fewer days, or group by less",
        {"fields": {"query.from": "too long"}},
    )
