"""How a lock or its settlement changes a scope: pure functions from what is stored to what to write.

A patch takes at most 10 operations. A lock needs 5 of them, the rest frees what has fallen out of the window;
when more has fallen out than fits, the scope is replaced as a whole, on the condition that nobody changed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cosmos.container import Patch, PatchOperation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.tokens.models import ScopeItem
    from shared.tokens.tiers import Limits

WINDOW_SECONDS = 60
_MOST_OPERATIONS = 10
_MOST_BACKLOG = 8
"""So many seconds may wait for a later patch to free them before the scope is replaced."""

_MAPS = ("t", "r", "u", "q")


@dataclass(frozen=True, slots=True)
class Charge:
    """A lock about to be taken: its tokens and one request, charged to one second of the store's clock."""

    nonce: str
    tokens: int
    second: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What counts at one moment; `last_second` is the youngest that does, or None."""

    tokens: int
    requests: int
    used_tokens: int
    used_requests: int
    last_second: int | None


def expired(scope: ScopeItem, time: float) -> list[int]:
    """Return the seconds that no longer count when the store's clock has reached `time`, oldest first."""
    return [second for second in _seconds(scope) if second + WINDOW_SECONDS <= time]


def totals(scope: ScopeItem, time: float) -> Totals:
    """Sum what counts when the store's clock has reached `time`."""
    old = {_key(second) for second in expired(scope, time)}
    counting = [second for second in _seconds(scope) if _key(second) not in old]
    return Totals(
        tokens=scope.tokens - sum(scope.t.get(key, 0) for key in old),
        requests=scope.requests - sum(scope.r.get(key, 0) for key in old),
        used_tokens=sum(count for key, count in scope.u.items() if key not in old),
        used_requests=sum(count for key, count in scope.q.items() if key not in old),
        last_second=counting[-1] if counting else None,
    )


def admission(scope: ScopeItem, charge: Charge, limits: Limits, time: float) -> Patch | ScopeItem | None:
    """Return the write that takes the lock: a conditional patch, a whole new scope, or None: it does not fit.

    `time` is what the store's clock has certainly reached.
    """
    old = expired(scope, time)
    few = _fitting(scope, old)
    if len(old) - len(few) <= _MOST_BACKLOG and _fits(scope, charge, limits, few):
        return _patch(scope, charge, limits, few)
    if _fits(scope, charge, limits, old):
        return _replacement(scope, charge, old)
    return None


def fits_at(scope: ScopeItem, charge: Charge, limits: Limits) -> float:
    """Return when, on the store's clock, enough will have fallen out for the lock if nothing is added."""
    seconds = _seconds(scope)
    for count, second in enumerate(seconds, start=1):
        if _fits(scope, charge, limits, seconds[:count]):
            return second + WINDOW_SECONDS
    raise ValueError("a lock above the limit never fits")


def settlement(second: int, locked: int, used: int, debt_second: int) -> Patch:
    """Return the patch that puts a report in the place of its lock, while the lock counts.

    The use beyond the lock is charged to `debt_second`.
    """
    key, debt = _key(second), max(0, used - locked)
    unused = max(0, locked - used)
    operations = [
        *_incr("/tokens", debt - unused),
        *_incr(f"/t/{key}", -unused),
        *_incr(f"/u/{key}", min(used, locked)),
        PatchOperation("incr", f"/q/{key}", 1),
        *_debt(debt, debt_second),
    ]
    return Patch(tuple(operations), condition=_still_counts(key, unused))


def late_settlement(locked: int, used: int, debt_second: int) -> Patch | None:
    """Return the patch for a report whose lock no longer counts: only use beyond it does."""
    debt = max(0, used - locked)
    if debt == 0:
        return None
    return Patch((PatchOperation("incr", "/tokens", debt), *_debt(debt, debt_second)))


def giving_back(second: int, locked: int) -> Patch:
    """Return the patch that takes a lock out of the scope as if it had never been, while it counts."""
    key = _key(second)
    return Patch(
        (
            PatchOperation("incr", "/tokens", -locked),
            PatchOperation("incr", "/requests", -1),
            PatchOperation("incr", f"/t/{key}", -locked),
            PatchOperation("incr", f"/r/{key}", -1),
        ),
        condition=_still_counts(key, locked),
    )


def _still_counts(key: str, at_least: int) -> str:
    return f"c.t.{key} >= {at_least} AND c.r.{key} >= 1"


def _debt(tokens: int, second: int) -> list[PatchOperation]:
    key = _key(second)
    return [*_incr(f"/t/{key}", tokens), *_incr(f"/u/{key}", tokens)]


def _incr(path: str, value: int) -> list[PatchOperation]:
    return [PatchOperation("incr", path, value)] if value else []


def _patch(scope: ScopeItem, charge: Charge, limits: Limits, freed: Sequence[int]) -> Patch:
    key = _key(charge.second)
    tokens, requests = _net(scope, charge, freed)
    conditions = [
        f"c.tokens <= {limits.tokens - tokens}",
        f"c.requests <= {limits.requests - requests}",
        # The client repeats a write whose answer was lost: this one must not be done twice in a row.
        f'c.last != "{charge.nonce}"',
    ]
    operations = [
        PatchOperation("incr", "/tokens", tokens),
        PatchOperation("incr", "/requests", requests),
        PatchOperation("incr", f"/t/{key}", charge.tokens),
        PatchOperation("incr", f"/r/{key}", 1),
        PatchOperation("set", "/last", charge.nonce),
    ]
    for second in freed:
        conditions += [_unchanged(scope, name, _key(second)) for name in _MAPS]
        operations += [PatchOperation("remove", path) for path in _paths(scope, second)]
    return Patch(tuple(operations), condition=" AND ".join(conditions))


def _unchanged(scope: ScopeItem, name: str, key: str) -> str:
    """Demand that a second is as it was seen: no two locks free it, and none frees more than is there."""
    count = _map(scope, name).get(key)
    return f"NOT IS_DEFINED(c.{name}.{key})" if count is None else f"c.{name}.{key} = {count}"


def _replacement(scope: ScopeItem, charge: Charge, freed: Sequence[int]) -> ScopeItem:
    old = {_key(second) for second in freed}
    kept = {
        name: {key: count for key, count in _map(scope, name).items() if key not in old} for name in _MAPS
    }
    for name, count in (("t", charge.tokens), ("r", 1)):
        key = _key(charge.second)
        kept[name][key] = kept[name].get(key, 0) + count
    tokens, requests = _net(scope, charge, freed)
    changed: dict[str, object] = {
        "tokens": scope.tokens + tokens,
        "requests": scope.requests + requests,
        "last": charge.nonce,
        **kept,
    }
    return scope.model_copy(update=changed)


def _fits(scope: ScopeItem, charge: Charge, limits: Limits, freed: Sequence[int]) -> bool:
    tokens, requests = _net(scope, charge, freed)
    return scope.tokens + tokens <= limits.tokens and scope.requests + requests <= limits.requests


def _net(scope: ScopeItem, charge: Charge, freed: Sequence[int]) -> tuple[int, int]:
    tokens = charge.tokens - sum(scope.t.get(_key(second), 0) for second in freed)
    return tokens, 1 - sum(scope.r.get(_key(second), 0) for second in freed)


def _fitting(scope: ScopeItem, old: Sequence[int]) -> list[int]:
    room = _MOST_OPERATIONS - 5
    chosen: list[int] = []
    for second in old:
        room -= len(_paths(scope, second))
        if room < 0:
            break
        chosen.append(second)
    return chosen


def _paths(scope: ScopeItem, second: int) -> list[str]:
    key = _key(second)
    return [f"/{name}/{key}" for name in _MAPS if key in _map(scope, name)]


def _seconds(scope: ScopeItem) -> list[int]:
    return sorted({int(key[1:]) for name in _MAPS for key in _map(scope, name)})


def _map(scope: ScopeItem, name: str) -> dict[str, int]:
    return {"t": scope.t, "r": scope.r, "u": scope.u, "q": scope.q}[name]


def _key(second: int) -> str:
    return f"s{second}"
