"""Limits of a tenant: its tier's, or an override that the platform's administrator gave it for a time.

The override is a part of the tenant's counter in the ledger, with a version that every lock's write demands:
a change is in force with the very next lock, on every instance.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.cosmos.container import ItemChangedError, ItemNotFoundError, Patch, PatchOperation
from shared.cosmos.partition import Partition
from shared.errors import ConflictError, PreconditionFailedError
from shared.tenancy.store import Tier
from shared.tokens.counters import TENANT_COUNTER, WindowCounter, new_counter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

LARGEST = 1_000_000_000_000
"""No limit is larger: sums of what it admits stay exact in JSON's numbers."""

MOST_MODELS = 50

type Count = Annotated[int, Field(ge=1, le=LARGEST)]
type ModelName = Annotated[str, Field(min_length=1, max_length=128)]

_ATTEMPTS = 5


class RateLimit(BaseModel):
    """Limit of tokens and requests in any 60 seconds.

    Attributes:
        tokens: Tokens of any 60 seconds.
        requests: Locks of any 60 seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tokens: Count
    requests: Count


class PoolLimits(BaseModel):
    """Limits of a pool of its own, beside the tenant's total; None is no limit of that kind.

    Attributes:
        tokens_per_minute: Tokens of any 60 seconds, wherever they begin.
        requests_per_minute: Locks of any 60 seconds, wherever they begin.
        tokens_per_day: Tokens that are reported and locked in one day of UTC.
        tokens_per_month: Tokens that are reported and locked in one month of UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tokens_per_minute: Count
    requests_per_minute: Count
    tokens_per_day: Count | None = None
    tokens_per_month: Count | None = None


class TenantLimits(BaseModel):
    """Limits of a tenant; None is no limit of that kind.

    Attributes:
        tokens_per_minute: Tokens of any 60 seconds, wherever they begin.
        requests_per_minute: Locks of any 60 seconds, wherever they begin.
        tokens_per_day: Tokens that are reported and locked in one day of UTC.
        tokens_per_month: Tokens that are reported and locked in one month of UTC.
        concurrency: Locks of the last 60 seconds that were neither reported nor released.
        tokens_per_lock: The size of one lock.
        models: Rates of single models by name, beside the tenant's own.
        embeddings: The limits of embeddings, which have a pool of their own: nothing of all else counts
            there, and nothing of them in the tenant's total. As many may be open at a time as of all else.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens_per_minute: Count
    requests_per_minute: Count
    tokens_per_day: Count | None = None
    tokens_per_month: Count | None = None
    concurrency: Count | None = None
    tokens_per_lock: Count | None = None
    embeddings: PoolLimits
    models: dict[ModelName, RateLimit] = Field(default_factory=dict, max_length=MOST_MODELS)


class LimitsOverride(BaseModel):
    """Limits that the administrator gave one tenant in the place of its tier's, until they expire.

    A field that is None leaves the tier's limit as it is.

    Attributes:
        tokens_per_minute: Tokens of any 60 seconds, wherever they begin.
        requests_per_minute: Locks of any 60 seconds, wherever they begin.
        tokens_per_day: Tokens that are reported and locked in one day of UTC.
        tokens_per_month: Tokens that are reported and locked in one month of UTC.
        concurrency: Locks of the last 60 seconds that were neither reported nor released.
        tokens_per_lock: The size of one lock.
        models: Rates of single models by name, beside the tenant's own.
        embeddings: The limits of embeddings, all of them together.
        expires_at: When the tier's limits hold again; without it, the override stays.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens_per_minute: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_day: Count | None = None
    tokens_per_month: Count | None = None
    concurrency: Count | None = None
    tokens_per_lock: Count | None = None
    embeddings: PoolLimits | None = None
    models: dict[ModelName, RateLimit] | None = Field(None, max_length=MOST_MODELS)
    expires_at: AwareDatetime | None = None

    def in_force(self, at: float) -> bool:
        """Tell whether it still holds at a time, in seconds since the epoch."""
        return self.expires_at is None or at < self.expires_at.timestamp()


_FREE = TenantLimits(
    tokens_per_minute=20_000,
    requests_per_minute=60,
    tokens_per_day=1_000_000,
    tokens_per_month=10_000_000,
    concurrency=30,
    embeddings=PoolLimits(
        tokens_per_minute=100_000,
        requests_per_minute=60,
        tokens_per_day=5_000_000,
        tokens_per_month=50_000_000,
    ),
)

TIER_LIMITS: Mapping[Tier, TenantLimits] = MappingProxyType(
    {
        Tier.FREE: _FREE,
        Tier.STANDARD: TenantLimits(
            tokens_per_minute=200_000,
            requests_per_minute=600,
            tokens_per_day=50_000_000,
            tokens_per_month=500_000_000,
            concurrency=300,
            embeddings=PoolLimits(
                tokens_per_minute=1_000_000,
                requests_per_minute=600,
                tokens_per_day=250_000_000,
                tokens_per_month=2_500_000_000,
            ),
        ),
        Tier.PREMIUM: TenantLimits(
            tokens_per_minute=2_000_000,
            requests_per_minute=6_000,
            tokens_per_day=1_000_000_000,
            tokens_per_month=10_000_000_000,
            concurrency=3_000,
            embeddings=PoolLimits(
                tokens_per_minute=10_000_000,
                requests_per_minute=6_000,
                tokens_per_day=5_000_000_000,
                tokens_per_month=50_000_000_000,
            ),
        ),
        Tier.OWN: _FREE,  # until the administrator has given the tenant limits of its own
    }
)
"""The limits of each tier: the one table."""


def limits_in_force(tier: str, override: LimitsOverride | None, at: float) -> TenantLimits:
    """Return a tenant's limits at a time, in seconds since the epoch."""
    limits = TIER_LIMITS[Tier(tier)]
    if override is None or not override.in_force(at):
        return limits
    given = {name: value for name, value in override if value is not None and name != "expires_at"}
    return limits.model_copy(update=given)


class LimitsInForce:
    """Limits of one tenant, worked out anew only where tier, override or the override's end say so."""

    def __init__(self) -> None:
        self._stored: Mapping[str, object] | None = None
        self._override: LimitsOverride | None = None
        self._by_tier: dict[tuple[str, bool], TenantLimits] = {}

    def of(self, tier: str, counter: WindowCounter | None, at: float) -> TenantLimits:
        """Return the limits at a time, in seconds since the epoch.

        Args:
            tier: The tenant's tier.
            counter: Its counter, which has the override; None where there is none.
            at: The time.
        """
        stored = None if counter is None else counter.override
        if stored != self._stored:
            self._stored, self._by_tier = stored, {}
            self._override = None if counter is None else override_of(counter)
        key = tier, self._override is not None and self._override.in_force(at)
        limits = self._by_tier.get(key)
        if limits is None:
            limits = self._by_tier[key] = limits_in_force(tier, self._override, at)
        return limits


class StoredLimits(BaseModel):
    """Override of a tenant as it is stored, expired or not, and its version."""

    model_config = ConfigDict(frozen=True)

    override: LimitsOverride | None
    version: int


class LimitStore:
    """Store of the overrides of tenants' limits.

    Args:
        container: The container `ledger`.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    async def read(self, tenant: TenantContext) -> StoredLimits:
        """Return a tenant's override and its version, which is 0 where nobody ever set one.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        counter = await Partition.of(tenant, self._container).read(WindowCounter, TENANT_COUNTER)
        return _read_limits(counter or new_counter(TENANT_COUNTER))

    async def put(
        self, tenant: TenantContext, override: LimitsOverride | None, *, if_version: int | None = None
    ) -> StoredLimits:
        """Give a tenant other limits than its tier's; None takes them back.

        Raises:
            PreconditionFailedError: The stored version is another than `if_version`.
            ConflictError: Others keep changing it.
            DependencyUnavailableError: The store is down; the same again is safe.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        partition = Partition.of(tenant, self._container)
        value = None if override is None else override.model_dump(mode="json", exclude_none=True)
        written: int | None = None
        for _ in range(_ATTEMPTS):
            counter, _ = await partition.create_or_read(new_counter(TENANT_COUNTER))
            stored = _read_limits(counter)
            if stored.version == written and stored.override == override:
                return stored  # it was done; only the answer was lost
            if if_version is not None and stored.version != if_version:
                raise PreconditionFailedError("The limits have changed", {"version": stored.version})
            written = stored.version + 1
            change = Patch(
                (
                    PatchOperation("set", "/override", value),
                    PatchOperation("set", "/limits_version", written),
                ),
                condition=f"c.limits_version = {stored.version}",
            )
            try:
                return _read_limits(await partition.patch(WindowCounter, TENANT_COUNTER, change))
            except (ItemChangedError, ItemNotFoundError):
                continue
        raise ConflictError("The limits are being changed by others", retry_after=1.0)


def override_of(counter: WindowCounter) -> LimitsOverride | None:
    """Return the override that a tenant's counter carries."""
    return None if counter.override is None else LimitsOverride.model_validate(counter.override)


def _read_limits(counter: WindowCounter) -> StoredLimits:
    return StoredLimits(override=override_of(counter), version=counter.limits_version)
