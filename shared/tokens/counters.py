"""What counts against one limit, and how it is changed: pure functions from what was seen to what to write.

Nothing here is read and written back: a change adds to what is stored, on the condition that what it takes
for granted is so. A patch takes at most 10 operations, so that a change may be several patches of one batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import Field

from shared.cosmos.container import ANSWERED_BY, BatchOperation, Patch, PatchOperation
from shared.cosmos.partition import StoredItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.cosmos.partition import Partition

WINDOW_SECONDS = 60
TENANT_SCOPE = "scope:tenant"
_NEVER = -1
_IDLE_SECONDS = 24 * 3600
_MOST_OPERATIONS = 10
_LONGEST_NAME = 200


class Scope(StoredItem):
    """What counts against one limit. Always: each of the totals is the sum of its part of the buckets.

    Attributes:
        tokens: The tokens of the buckets (`t`): locked, or reported in the place of their lock.
        requests: The locks of the buckets (`r`).
        used: The part of `tokens` that was reported (`u`).
        done: The part of `requests` whose report has come (`q`).
        b: A bucket per second that something is charged to. The keys are `s{second}`: a number alone could
            be read as the index of an array in a path.
        spent: In the tenant's scope: what was reported by day (`d20260131`) and by month (`m202601`).
        override: In the tenant's scope: the administrator's limits in the place of the tier's.
        limits_version: How often they were changed.
        ttl: Scopes of applications and models that nobody uses any more remove themselves.
        ts: The second of the store's clock at which it was last written.
        answered_by: The physical partition that it was read from, or written in.
    """

    tokens: int = 0
    requests: int = 0
    used: int = 0
    done: int = 0
    b: dict[str, dict[str, int]] = Field(default_factory=dict)
    spent: dict[str, int] = Field(default_factory=dict)
    override: dict[str, object] | None = None
    limits_version: int = 0
    ttl: int = _NEVER
    ts: int = Field(0, alias="_ts", exclude=True)
    answered_by: str | None = Field(None, alias=ANSWERED_BY, exclude=True)


@lru_cache(maxsize=4096)
def scopes_of(app_id: str, model: str, *, shared: bool) -> tuple[str, str, str]:
    """Return what a lock counts against; `shared` is the scope of all applications that are not named."""
    return TENANT_SCOPE, f"scope:app:{'*' if shared else app_id}", f"scope:model:{id_part(model)}"


def id_part(name: str) -> str:
    """Write a name as part of an item's id: bounded, without slashes and such, no two names becoming one."""
    written = quote(name, safe="@").replace("%", "=")
    if len(written) <= _LONGEST_NAME:
        return written
    return "==" + hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def new_scope(scope_id: str) -> Scope:
    """Return a scope that nothing counts against."""
    return Scope(id=scope_id, ttl=_NEVER if scope_id == TENANT_SCOPE else _IDLE_SECONDS)


@dataclass(slots=True)
class Amount:
    """Tokens and locks, and the parts of them that were reported; as a change, each may be negative."""

    tokens: int = 0
    requests: int = 0
    used: int = 0
    done: int = 0

    def add(self, other: Amount) -> None:
        """Add another amount to this one."""
        self.tokens += other.tokens
        self.requests += other.requests
        self.used += other.used
        self.done += other.done

    def minus(self, other: Amount) -> Amount:
        """Return the difference."""
        return Amount(
            self.tokens - other.tokens,
            self.requests - other.requests,
            self.used - other.used,
            self.done - other.done,
        )

    @property
    def locked(self) -> int:
        """Return the tokens that are locked and not reported."""
        return self.tokens - self.used

    @property
    def open(self) -> int:
        """Return the locks that are not reported."""
        return self.requests - self.done

    def as_bucket(self) -> dict[str, int]:
        """Render it as it is stored."""
        return {"t": self.tokens, "r": self.requests, "u": self.used, "q": self.done}


def total(scope: Scope) -> Amount:
    """Return what is stored as counting, what has fallen out of the window included."""
    return Amount(scope.tokens, scope.requests, scope.used, scope.done)


def bucket(scope: Scope, second: int) -> Amount:
    """Return what is charged to a second."""
    stored = scope.b.get(_key(second), {})
    return Amount(stored.get("t", 0), stored.get("r", 0), stored.get("u", 0), stored.get("q", 0))


def has_bucket(scope: Scope, second: int) -> bool:
    """Tell whether anything is charged to a second."""
    return _key(second) in scope.b


def seconds(scope: Scope) -> list[int]:
    """Return the seconds that something is charged to, oldest first."""
    return sorted(int(key[1:]) for key in scope.b)


def expired(scope: Scope, time: float) -> list[int]:
    """Return the seconds that no longer count when the store's clock has reached `time`, oldest first."""
    return [second for second in seconds(scope) if second + WINDOW_SECONDS <= time]


def sum_of(scope: Scope, chosen: Iterable[int]) -> Amount:
    """Sum what is charged to some seconds."""
    amount = Amount()
    for second in chosen:
        amount.add(bucket(scope, second))
    return amount


@dataclass(slots=True)
class Change:
    """What is to be added to a scope: by second, and in the tenant's scope to what was spent.

    Attributes:
        freed: The seconds that fall out; each is as it was seen, or nothing is changed.
        outdated: What was spent in days and months that nobody asks for any more; it is forgotten.
        conditions: What must hold of the scope, beside what the change itself takes for granted.
    """

    amounts: dict[int, Amount] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    freed: Sequence[int] = ()
    outdated: Sequence[str] = ()
    conditions: Sequence[str] = ()

    def add(self, second: int, amount: Amount) -> None:
        """Charge an amount to a second."""
        self.amounts.setdefault(second, Amount()).add(amount)


def operations(
    partition: Partition, scope_id: str, seen: Scope | None, change: Change
) -> list[BatchOperation]:
    """Return what makes the change in a batch, given the scope as it was seen, or that there was none."""
    if seen is None:
        return [partition.creating(_created(scope_id, change))]
    steps = [*_totals(seen, change)]
    for key, spent in change.spent.items():
        steps.append(_Step(PatchOperation("incr", f"/spent/{key}", spent)))
    for second, amount in change.amounts.items():
        steps += _charging(seen, second, amount)
    for second in change.freed:
        steps.append(_Step(PatchOperation("remove", f"/b/{_key(second)}"), _as_seen(seen, second)))
    for key in change.outdated:
        steps.append(_Step(PatchOperation("remove", f"/spent/{key}"), f"IS_DEFINED(c.spent.{key})"))
    patches = []
    for start in range(0, len(steps), _MOST_OPERATIONS):
        chunk = steps[start : start + _MOST_OPERATIONS]
        demands = dict.fromkeys(step.condition for step in chunk if step.condition)
        conditions = [*(change.conditions if start == 0 else ()), *demands]
        patch = Patch(tuple(step.operation for step in chunk), " AND ".join(conditions) or None)
        patches.append(partition.patching(scope_id, patch))
    return patches


@dataclass(frozen=True, slots=True)
class _Step:
    operation: PatchOperation
    condition: str = ""


def _totals(seen: Scope, change: Change) -> list[_Step]:
    net = Amount()
    for amount in change.amounts.values():
        net.add(amount)
    net = net.minus(sum_of(seen, change.freed))
    named = {"tokens": net.tokens, "requests": net.requests, "used": net.used, "done": net.done}
    return [_Step(PatchOperation("incr", f"/{name}", count)) for name, count in named.items() if count]


def _charging(seen: Scope, second: int, amount: Amount) -> list[_Step]:
    """Add to a bucket, which a patch must not take to be there when it is not, nor the other way round."""
    key = _key(second)
    if key not in seen.b:
        condition = f"NOT IS_DEFINED(c.b.{key})"
        return [_Step(PatchOperation("add", f"/b/{key}", amount.as_bucket()), condition)]
    return [
        _Step(PatchOperation("incr", f"/b/{key}/{name}", count), f"IS_DEFINED(c.b.{key})")
        for name, count in amount.as_bucket().items()
        if count
    ]


def _as_seen(seen: Scope, second: int) -> str:
    """Demand that a second is as it was seen: no two free it, and none frees more than is there."""
    key = _key(second)
    return " AND ".join(
        f"c.b.{key}.{name} = {count}" for name, count in bucket(seen, second).as_bucket().items()
    )


def _created(scope_id: str, change: Change) -> Scope:
    sums = Amount()
    for amount in change.amounts.values():
        sums.add(amount)
    return new_scope(scope_id).model_copy(
        update={
            "tokens": sums.tokens,
            "requests": sums.requests,
            "used": sums.used,
            "done": sums.done,
            "b": {_key(second): amount.as_bucket() for second, amount in change.amounts.items()},
            "spent": dict(change.spent),
        }
    )


def _key(second: int) -> str:
    return f"s{second}"
