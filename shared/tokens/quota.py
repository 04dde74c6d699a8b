"""The limits of one tenant in force, applied to its scopes as they were seen at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.errors import ValidationError
from shared.tokens.counters import TENANT_SCOPE, WINDOW_SECONDS, scopes_of
from shared.tokens.headroom import Bounds, Room, model_bounds, share_bounds, tenant_bounds
from shared.tokens.limits import limits_in_force, override_of
from shared.tokens.store_clock import MAX_WIDTH_SECONDS
from shared.tokens.stored_models import TokenStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.errors import APIError
    from shared.tokens.snapshot import Account

ALL_OTHERS = "*"


@dataclass(frozen=True, slots=True)
class AppShares:
    """The parts of a tenant's rates that bound its applications.

    Where any is set, those that are not named share one scope, so that a new name is no new share.

    Attributes:
        by_app: The share of each application that has one, above 0 and at most 1; `*` is that of all others.
    """

    by_app: Mapping[str, float] = field(default_factory=dict)

    def are_common_for(self, app_id: str) -> bool:
        """Tell whether the application counts together with all others that are not named."""
        return bool(self.by_app) and app_id not in self.by_app

    def of(self, app_id: str) -> float:
        """Return the application's share."""
        return self.by_app.get(app_id, self.by_app.get(ALL_OTHERS, 1.0))

    def scopes(self, app_id: str, model: str) -> tuple[str, str, str]:
        """Return what a lock counts against: the tenant's scope, the application's and the model's."""
        return scopes_of(app_id, model, shared=self.are_common_for(app_id))


class Terms:
    """What each scope admits at one moment.

    Args:
        account: What was seen, and what is known of the store's time.
        tier: The tenant's tier.
        shares: What bounds the tenant's applications.
    """

    def __init__(self, account: Account, tier: str, shares: AppShares) -> None:
        self.time = account.earliest()
        self.second = account.charging_second()
        self._account = account
        tenant = account.scope(TENANT_SCOPE)
        self._version = 0 if tenant is None else tenant.limits_version
        override = None if tenant is None else override_of(tenant)
        self.limits = limits_in_force(tier, override, self.time)
        self.shares = shares
        self.rooms: dict[str, Room] = {}
        self._of_lock: dict[tuple[str, str], tuple[Room, ...]] = {}

    def tenant(self) -> Room:
        """Return the tenant's room."""
        return self._room(TENANT_SCOPE, tenant_bounds(self.limits, self._version, self.second))

    def of_lock(self, app_id: str, model: str) -> tuple[Room, ...]:
        """Return the rooms that admit a lock, or not: the tenant's, the application's and the model's."""
        rooms = self._of_lock.get((app_id, model))
        if rooms is None:
            _, app_scope, model_scope = self.shares.scopes(app_id, model)
            rooms = (
                self.tenant(),
                self._room(app_scope, share_bounds(self.limits, self.shares.of(app_id))),
                self._room(model_scope, model_bounds(self.limits, model)),
            )
            self._of_lock[app_id, model] = rooms
        return rooms

    def standing(self, app_id: str) -> TokenStatus:
        """Tell what counts in the tightest scope of an application, and what is left of all of them."""
        app_scope = self.shares.scopes(app_id, "")[1]
        rooms = [self.tenant(), self._room(app_scope, share_bounds(self.limits, self.shares.of(app_id)))]
        bounded = [room for room in rooms if room.bounds.tokens is not None]
        tightest = min(bounded, key=lambda room: room.left_tokens)
        counted, bounds = tightest.counted, tightest.bounds
        limit_tokens, limit_requests = bounds.tokens or 0, bounds.requests or 0
        last = tightest.last_second()
        return TokenStatus(
            available_tokens=max(0, int(tightest.left_tokens)),
            used_tokens=counted.used,
            locked_tokens=counted.locked,
            available_requests=max(0, int(min(room.left_requests for room in rooms))),
            used_requests=counted.done,
            locked_requests=counted.open,
            reset_time_seconds=0.0 if last is None else wait_until(last + WINDOW_SECONDS, self.time),
            limit_tokens=limit_tokens,
            limit_requests=limit_requests,
            debt_tokens=max(0, counted.tokens - limit_tokens),
        )

    def refusal(self, tokens: int, rooms: tuple[Room, ...]) -> APIError:
        """Say why a lock is not admitted, and when it will be if nothing is added."""
        largest, named = self._largest(rooms)
        if tokens > largest:
            return ValidationError(
                f"A lock of {tokens} tokens exceeds the limit {named} of {largest}",
                {"fields": {"token_count": f"must be <= {largest}"}, "limit": named},
            )
        wait = max((room.wait(tokens) for room in rooms), key=lambda one: one.until)
        return wait.error(
            f"The token budget does not admit this call now: it waits for {wait.limit}",
            {
                "limit": wait.limit,
                "requested_tokens": tokens,
                "available_tokens": max(0, int(min(room.left_tokens for room in rooms))),
                "available_requests": max(0, int(min(room.left_requests for room in rooms))),
                "limit_tokens": self.limits.tokens_per_minute,
                "limit_requests": self.limits.requests_per_minute,
            },
            retry_after=wait_until(wait.until, self.time),
        )

    def fits(self, tokens: int, rooms: tuple[Room, ...]) -> bool:
        """Tell whether a lock fits into all of its scopes."""
        largest = self.limits.tokens_per_lock
        return (largest is None or tokens <= largest) and all(room.fits(tokens) for room in rooms)

    def _largest(self, rooms: tuple[Room, ...]) -> tuple[int, str]:
        sizes = [room.largest() for room in rooms]
        if self.limits.tokens_per_lock is not None:
            sizes.append((self.limits.tokens_per_lock, "tokens_per_lock"))
        return min(sizes)

    def _room(self, scope_id: str, bounds: Bounds) -> Room:
        if scope_id not in self.rooms:
            self.rooms[scope_id] = Room(self._account.scope(scope_id), bounds, self.time)
        return self.rooms[scope_id]


def wait_until(second: float, time: float) -> float:
    """Return the wait until every instance, with its own bounds, knows that the store reached `second`."""
    return max(0.0, second - time) + MAX_WIDTH_SECONDS
