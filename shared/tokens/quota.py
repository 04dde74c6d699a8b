"""Limits of one tenant in force, applied to its counters as they were read at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.tokens.counters import EMBEDDINGS_APP, TENANT_COUNTER, WINDOW_SECONDS, counter_ids
from shared.tokens.headroom import (
    Available,
    Headroom,
    find_tightest,
    limit_app_counter,
    limit_model_counter,
    limit_pool_counter,
    limit_tenant_counter,
)
from shared.tokens.retry_after import wait_until
from shared.tokens.stored_models import TokenStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.tokens.headroom import CounterLimits
    from shared.tokens.snapshot import LedgerSnapshot

OTHER_APPS = "*"


@dataclass(frozen=True, slots=True)
class AppShares:
    """Parts of a tenant's rates that bound its applications.

    Where any is set, applications without one share one counter, so that a new name is no new share. That of
    embeddings has a pool of its own, and no share of the tenant's rates.

    Attributes:
        by_app: The share of each application that has one, above 0 and at most 1; `*` is that of all others.
    """

    by_app: Mapping[str, float] = field(default_factory=dict)

    def are_common_for(self, app_id: str) -> bool:
        """Tell whether the application counts together with all others that are not named."""
        return bool(self.by_app) and app_id not in self.by_app and not is_pooled(app_id)

    def of(self, app_id: str) -> float:
        """Return the application's share."""
        if is_pooled(app_id):
            return 1.0
        return self.by_app.get(app_id, self.by_app.get(OTHER_APPS, 1.0))

    def counter_ids(self, app_id: str, model: str) -> tuple[str, str, str]:
        """Return the ids of the counters of a lock: the root's, the application's and the model's."""
        return counter_ids(app_id, model, shared=self.are_common_for(app_id), pooled=is_pooled(app_id))


def is_pooled(app_id: str) -> bool:
    """Tell whether an application's locks come out of the pool of embeddings."""
    return app_id == EMBEDDINGS_APP


class Quota:
    """Headroom of every counter of a tenant at one moment.

    Args:
        snapshot: The counters as they were read, and what is known of the store's time.
        tier: The tenant's tier.
        shares: The shares of the tenant's applications.
    """

    def __init__(self, snapshot: LedgerSnapshot, tier: str, shares: AppShares) -> None:
        self.time = snapshot.earliest()
        self.second = snapshot.charging_second()
        self._snapshot = snapshot
        tenant = snapshot.counter(TENANT_COUNTER)
        self._version = 0 if tenant is None else tenant.limits_version
        self.limits = snapshot.limits.of(tier, tenant, self.time)
        self.shares = shares
        self.headrooms: dict[str, Headroom] = {}
        self._of_lock: dict[tuple[str, str], tuple[Headroom, ...]] = {}

    def of_tenant(self) -> Headroom:
        """Return the headroom of the tenant's counter."""
        return self._headroom(TENANT_COUNTER, limit_tenant_counter(self.limits, self._version, self.second))

    def of_lock(self, app_id: str, model: str) -> tuple[Headroom, ...]:
        """Return the headrooms that a lock must fit into: the root's, the application's and the model's."""
        found = self._of_lock.get((app_id, model))
        if found is None:
            root_counter, app_counter, model_counter = self.shares.counter_ids(app_id, model)
            found = (
                self._of_root(root_counter),
                self._of_app(app_id, app_counter),
                self._headroom(model_counter, limit_model_counter(self.limits, model)),
            )
            self._of_lock[app_id, model] = found
        return found

    def window_stats(self, app_id: str) -> TokenStatus:
        """Return the counts of the tightest counter of an application, and the headroom under all of them."""
        root_counter, app_counter, _ = self.shares.counter_ids(app_id, "")
        headrooms = [self._of_root(root_counter), self._of_app(app_id, app_counter)]
        bounded = [one for one in headrooms if one.limits.tokens is not None]
        tightest = min(bounded, key=lambda one: one.available_tokens.count)
        counted, limits = tightest.counted, tightest.limits
        limit_tokens, limit_requests = limits.tokens or 0, limits.requests or 0
        last = tightest.last_second()
        tokens = tightest.available_tokens
        requests = find_tightest([one.available_requests for one in headrooms])
        return TokenStatus(
            available_tokens=max(0, tokens.count),
            tokens_limited_by=tokens.limit,
            used_tokens=counted.used,
            locked_tokens=counted.locked,
            available_requests=max(0, requests.count),
            requests_limited_by=requests.limit,
            used_requests=counted.done,
            locked_requests=counted.open,
            reset_time_seconds=0.0 if last is None else wait_until(last + WINDOW_SECONDS, self.time),
            limit_tokens=limit_tokens,
            limit_requests=limit_requests,
            debt_tokens=max(0, counted.tokens - limit_tokens),
        )

    def test(self, tokens: int, headrooms: tuple[Headroom, ...]) -> bool:
        """Tell whether a lock fits under all of its counters' limits."""
        largest = self.limits.tokens_per_lock
        return (largest is None or tokens <= largest) and all(one.test(tokens) for one in headrooms)

    def largest_lock(self, headrooms: tuple[Headroom, ...]) -> Available:
        """Return the largest lock that ever fits, and the limit that bounds it."""
        sizes = [one.largest_lock() for one in headrooms]
        if self.limits.tokens_per_lock is not None:
            sizes.append(Available(self.limits.tokens_per_lock, "tokens_per_lock"))
        return find_tightest(sizes)

    def _of_root(self, counter_id: str) -> Headroom:
        if counter_id == TENANT_COUNTER:
            return self.of_tenant()
        return self._headroom(counter_id, limit_pool_counter(self.limits, self.second))

    def _of_app(self, app_id: str, counter_id: str) -> Headroom:
        return self._headroom(counter_id, limit_app_counter(self.limits, self.shares.of(app_id)))

    def _headroom(self, counter_id: str, limits: CounterLimits) -> Headroom:
        if counter_id not in self.headrooms:
            self.headrooms[counter_id] = Headroom(self._snapshot.counter(counter_id), limits, self.time)
        return self.headrooms[counter_id]
