"""Sliding-window counters and the patches that change them: pure functions, without I/O.

A change writes back nothing that was read. It increments what is stored, on conditions that state what it
takes for granted. A patch holds at most 10 operations, so that one change may be several patches of a batch.
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

COUNTER_PREFIX = "scope:"
TENANT_COUNTER = f"{COUNTER_PREFIX}tenant"
EMBEDDINGS_COUNTER = f"{COUNTER_PREFIX}pool:embeddings"
ROOT_COUNTERS = (TENANT_COUNTER, EMBEDDINGS_COUNTER)
"""Counters that a lock counts in first, each in one of them: the tenant's, or the pool's of embeddings."""

EMBEDDINGS_APP = "openai-embeddings"
"""The application whose locks come out of a pool of their own: an import of texts leaves chats theirs."""

WINDOW_SECONDS = 60
_NEVER = -1
_IDLE_SECONDS = 24 * 3600
_MOST_OPERATIONS = 10
_LONGEST_NAME = 200


class WindowCounter(StoredItem):
    """Counter of one scope (a tenant, a pool, an application or a model) over the last 60 seconds.

    Invariant: each total is the sum of its part of the buckets.

    Attributes:
        tokens: The tokens of the buckets (`t`): locked, or reported in the place of their lock.
        requests: The locks of the buckets (`r`).
        used: The part of `tokens` that was reported (`u`).
        done: The part of `requests` whose report has come (`q`).
        b: A bucket per second that something is charged to. The keys are `s{second}`: a number alone could
            be read as the index of an array in a path.
        spent: In a root counter: reported tokens by day (`d20260131`) and by month (`m202601`).
        override: In the tenant's counter: the administrator's limits in the place of the tier's.
        limits_version: The number of changes of the override.
        ttl: Counters of applications and models that nobody uses any more remove themselves.
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
def counter_ids(
    app_id: str, model: str, *, shared: bool = False, pooled: bool = False
) -> tuple[str, str, str]:
    """Return the ids of the counters of a lock: the root's, the application's, the model's.

    Args:
        app_id: The application.
        model: The model.
        shared: Whether the application counts together with all others that have no share of their own.
        pooled: Whether it comes out of the pool of embeddings, and not out of the tenant's total.
    """
    root = EMBEDDINGS_COUNTER if pooled else TENANT_COUNTER
    app = f"{COUNTER_PREFIX}app:{'*' if shared else app_id}"
    return root, app, f"{COUNTER_PREFIX}model:{id_part(model)}"


def id_part(name: str) -> str:
    """Write a name as part of an item's id: bounded, without slashes and such, no two names becoming one."""
    written = quote(name, safe="@").replace("%", "=")
    if len(written) <= _LONGEST_NAME:
        return written
    return "==" + hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def new_counter(counter_id: str) -> WindowCounter:
    """Return a counter at zero."""
    return WindowCounter(id=counter_id, ttl=_NEVER if counter_id in ROOT_COUNTERS else _IDLE_SECONDS)


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


def total_amount(counter: WindowCounter) -> Amount:
    """Return the stored totals, with the buckets that have expired and were not freed yet."""
    return Amount(counter.tokens, counter.requests, counter.used, counter.done)


def bucket_amount(counter: WindowCounter, second: int) -> Amount:
    """Return the amount charged to a second."""
    stored = counter.b.get(_key(second), {})
    return Amount(stored.get("t", 0), stored.get("r", 0), stored.get("u", 0), stored.get("q", 0))


def has_bucket(counter: WindowCounter, second: int) -> bool:
    """Tell whether anything is charged to a second."""
    return _key(second) in counter.b


def bucket_seconds(counter: WindowCounter) -> list[int]:
    """Return the seconds that something is charged to, oldest first."""
    return sorted(int(key[1:]) for key in counter.b)


def expired_seconds(counter: WindowCounter, time: float) -> list[int]:
    """Return the seconds that no longer count when the store's clock has reached `time`, oldest first."""
    latest = time - WINDOW_SECONDS
    return sorted(second for key in counter.b if (second := int(key[1:])) <= latest)


def sum_buckets(counter: WindowCounter, chosen: Iterable[int]) -> Amount:
    """Sum the amounts charged to some seconds."""
    amount = Amount()
    for second in chosen:
        amount.add(bucket_amount(counter, second))
    return amount


@dataclass(slots=True)
class CounterChange:
    """Additions to one counter: by second, and in a root counter to the spending of day and month.

    Attributes:
        freed: The expired seconds to remove; each is as it was read, or nothing is changed.
        outdated: The days and months whose spending nobody asks for any more, to be removed.
        conditions: Predicates over the stored counter, beside those that the change itself needs.
    """

    amounts: dict[int, Amount] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    freed: Sequence[int] = ()
    outdated: Sequence[str] = ()
    conditions: Sequence[str] = ()

    def add(self, second: int, amount: Amount) -> None:
        """Charge an amount to a second."""
        self.amounts.setdefault(second, Amount()).add(amount)


def build_operations(
    partition: Partition, counter_id: str, counter: WindowCounter | None, change: CounterChange
) -> list[BatchOperation]:
    """Build the batch operations of a change, given the counter as it was read; None where there was none."""
    if counter is None:
        return [partition.creating(_create_counter(counter_id, change))]
    steps = [*_change_totals(counter, change)]
    for key, spent in change.spent.items():
        steps.append(_Step(PatchOperation("incr", f"/spent/{key}", spent)))
    for second, amount in change.amounts.items():
        steps += _charge_bucket(counter, second, amount)
    for second in change.freed:
        steps.append(_Step(PatchOperation("remove", f"/b/{_key(second)}"), _require_bucket(counter, second)))
    for key in change.outdated:
        steps.append(_Step(PatchOperation("remove", f"/spent/{key}"), f"IS_DEFINED(c.spent.{key})"))
    if not steps and change.conditions:
        steps.append(_Step(PatchOperation("incr", "/requests", 0)))  # what a condition can stand at
    patches = []
    for start in range(0, len(steps), _MOST_OPERATIONS):
        chunk = steps[start : start + _MOST_OPERATIONS]
        demands = dict.fromkeys(step.condition for step in chunk if step.condition)
        conditions = [*(change.conditions if start == 0 else ()), *demands]
        patch = Patch(tuple(step.operation for step in chunk), " AND ".join(conditions) or None)
        patches.append(partition.patching(counter_id, patch))
    return patches


@dataclass(frozen=True, slots=True)
class _Step:
    operation: PatchOperation
    condition: str = ""


def _change_totals(counter: WindowCounter, change: CounterChange) -> list[_Step]:
    net = Amount()
    for amount in change.amounts.values():
        net.add(amount)
    net = net.minus(sum_buckets(counter, change.freed))
    named = {"tokens": net.tokens, "requests": net.requests, "used": net.used, "done": net.done}
    return [_Step(PatchOperation("incr", f"/{name}", count)) for name, count in named.items() if count]


def _charge_bucket(counter: WindowCounter, second: int, amount: Amount) -> list[_Step]:
    """Add to a bucket, which a patch must not take to be there when it is not, nor the other way round."""
    key = _key(second)
    if key not in counter.b:
        condition = f"NOT IS_DEFINED(c.b.{key})"
        return [_Step(PatchOperation("add", f"/b/{key}", amount.as_bucket()), condition)]
    return [
        _Step(PatchOperation("incr", f"/b/{key}/{name}", count), f"IS_DEFINED(c.b.{key})")
        for name, count in amount.as_bucket().items()
        if count
    ]


def _require_bucket(counter: WindowCounter, second: int) -> str:
    """Demand that a bucket is as it was read: no two free it, and none frees more than is there."""
    key = _key(second)
    return " AND ".join(
        f"c.b.{key}.{name} = {count}" for name, count in bucket_amount(counter, second).as_bucket().items()
    )


def _create_counter(counter_id: str, change: CounterChange) -> WindowCounter:
    sums = Amount()
    for amount in change.amounts.values():
        sums.add(amount)
    return new_counter(counter_id).model_copy(
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
