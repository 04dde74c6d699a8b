"""Usage of a tenant and its cost, out of the ledger's usage items.

A day's items are next to each other by their ids. They are read in pages and summed as they come, so that
memory holds the groups of the answer and one page; both are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from functions.tokens.models import UsageReply, UsageRow, UsageSum
from shared.cosmos.container import Query
from shared.cosmos.partition import Partition
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
    from shared.tenancy.settings import Setting
    from shared.tokens.prices import PriceTable

LONGEST_DAYS = 366

_ITEMS = (
    "SELECT c.id, c.schema_version, c.day, c.model, c.app_id, c.user_id, c.prompt_tokens,"
    " c.completion_tokens, c.requests FROM c WHERE c.id > @after AND c.id < @until ORDER BY c.id"
)


@dataclass(frozen=True, slots=True)
class UsageBounds:
    """Bounds of one answer.

    Attributes:
        page: Items to a page. A month of most tenants is one: one query of one partition.
        items: The most that are read, to a page more or less.
        rows: The most that are answered.
    """

    page: int = 5_000
    items: int = 100_000
    rows: int = 10_000


BOUNDS = UsageBounds()


class ReadsPrices(Protocol):
    """Tenant settings, as pricing needs them."""

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        """Return the value in force."""
        ...


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Tokens of one model."""

    prompt: int = 0
    completion: int = 0
    requests: int = 0

    def plus(self, item: UsageItem) -> _Tokens:
        return _Tokens(
            self.prompt + item.prompt_tokens,
            self.completion + item.completion_tokens,
            self.requests + item.requests,
        )


@dataclass(slots=True)
class _Group:
    """The sums of one row, by model: cost differs by it."""

    models: dict[str, _Tokens] = field(default_factory=dict)

    def add(self, item: UsageItem) -> None:
        self.models[item.model] = self.models.get(item.model, _Tokens()).plus(item)

    def summed(self, prices: PriceTable) -> UsageSum:
        """Sum up; where a model has no price, there is no cost that would be true."""
        unpriced = sorted(self.models.keys() - prices.models.keys())
        prompt = sum(tokens.prompt for tokens in self.models.values())
        completion = sum(tokens.completion for tokens in self.models.values())
        return UsageSum(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            requests=sum(tokens.requests for tokens in self.models.values()),
            cost=None if unpriced else self._cost(prices),
            unpriced_models=unpriced,
        )

    def _cost(self, prices: PriceTable) -> str:
        costs = (
            prices.models[model].cost(tokens.prompt, tokens.completion)
            for model, tokens in self.models.items()
        )
        return f"{sum(costs, Decimal(0)).normalize():f}"


class UsageService:
    """One tenant's usage.

    Args:
        tenant: Whose it is.
        ledger: The container `ledger`.
        settings: Where the prices are.
        clock: Its day is the default's end.
        bounds: How much one answer may take.
    """

    def __init__(
        self,
        tenant: TenantContext,
        ledger: Container,
        settings: ReadsPrices,
        clock: Clock,
        bounds: UsageBounds = BOUNDS,
    ) -> None:
        self._tenant = tenant
        self._items = Partition.of(tenant, ledger)
        self._settings = settings
        self._clock = clock
        self._bounds = bounds

    async def usage(self, query: UsageQuery) -> UsageReply:
        """Sum what was used in a range of days, and price it as prices are now.

        Raises:
            ValidationError: The range is too long, turned around, or holds too much to be one answer.
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
        async for item in self._between(since, until):
            total.add(item)
            groups.setdefault(_key(item, dimensions), _Group()).add(item)
            if len(groups) > self._bounds.rows:
                raise _too_much(f"more than {self._bounds.rows} rows")
        prices = await self._settings.value(self._tenant, USAGE_PRICES)
        return UsageReply(
            since=since,
            until=until,
            group_by=dimensions,
            currency=prices.currency,
            items=_rows(groups, dimensions, prices),
            total=total.summed(prices),
        )

    async def _between(self, since: date, until: date) -> AsyncIterator[UsageItem]:
        after = f"{USAGE_PREFIX}{since.isoformat()}"
        end = f"{USAGE_PREFIX}{until.isoformat()};"  # a day is followed by a colon, the sign before this one
        read = 0
        while True:
            page = await self._items.query(
                UsageItem, Query(_ITEMS, {"@after": after, "@until": end}, self._bounds.page)
            )
            for item in page:
                yield item
            read += len(page)
            if len(page) < self._bounds.page:
                return
            if read >= self._bounds.items:
                raise _too_much(f"more than {self._bounds.items} items of usage")
            after = page[-1].id


def _key(item: UsageItem, dimensions: Sequence[Dimension]) -> tuple[str, ...]:
    # No user sorts before every user; an id is never empty.
    names = {"day": item.day, "model": item.model, "app_id": item.app_id, "user_id": item.user_id or ""}
    return tuple(names[dimension] for dimension in dimensions)


def _rows(
    groups: Mapping[tuple[str, ...], _Group], dimensions: Sequence[Dimension], prices: PriceTable
) -> list[UsageRow]:
    return [
        UsageRow.model_validate(
            groups[key].summed(prices).model_dump()
            | {dimension: name or None for dimension, name in zip(dimensions, key, strict=True)}
        )
        for key in sorted(groups)
    ]


def _too_much(what: str) -> ValidationError:
    return ValidationError(
        f"The range holds {what}: ask for fewer days, or group by less",
        {"fields": {"query.from": "too long"}},
    )
