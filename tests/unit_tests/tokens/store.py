"""A store on simulated time that loses answers, delays requests and dies, and the processes that use it."""

from __future__ import annotations

import asyncio
import math
import re
import selectors
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import orjson

from shared.cosmos.container import (
    ANSWERED_BY,
    BatchFailedError,
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
)
from shared.errors import DependencyUnavailableError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from shared.cosmos.container import BatchOperation, Json, Key, Patch, Query

START = 1_800_000_000.4
"""The store's time at the simulation's 0, in the middle of a second."""

_PART = re.compile(r"(?P<sign>[+-]?) ?(?:\(c\.(?P<maybe>[\w.]+) \?\? 0\)|c\.(?P<path>[\w.]+))")
_COMPARISON = re.compile(r'(?P<left>.+) (?P<operator><=|>=|=) (?P<value>-?\d+|"\w*")')
_DEFINED = re.compile(r"(?P<no>NOT )?IS_DEFINED\(c\.(?P<path>[\w.]+)\)")


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer: hours pass in moments, the same way each time."""

    def __init__(self) -> None:
        self._simulated = 0.0
        super().__init__(_JumpingSelector(self))
        self.set_exception_handler(_without_the_dead)

    def time(self) -> float:
        return self._simulated

    def jump(self, seconds: float) -> None:
        self._simulated += seconds


def _without_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if not isinstance(context.get("exception"), KilledError):
        loop.default_exception_handler(context)


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the simulation waits for nothing")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


@dataclass
class ProcessClock:
    """One process's clocks: they started somewhere else, run a little fast or slow, and the wall is wrong."""

    began: float = 0.0
    rate: float = 1.0
    wall_error: float = 0.0

    def monotonic(self) -> float:
        return self.began + asyncio.get_running_loop().time() * self.rate

    def now(self) -> datetime:
        return datetime.fromtimestamp(START + asyncio.get_running_loop().time() + self.wall_error, UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)


@dataclass(frozen=True)
class Faults:
    """How badly the way to the store behaves: probabilities per request, seconds per leg."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    slow: float = 0.0
    leg_seconds: float = 0.004
    slow_seconds: float = 3.0
    patience_seconds: float = 60.0


NO_FAULTS = Faults()


@dataclass
class MemoryStore:
    """One account of the store: items by partition and id, and its clocks.

    Attributes:
        place: Says in which physical partition a key is, if answers tell.
        ahead: By how many seconds the clock of a key's physical partition is ahead of the true one.
    """

    partitions: dict[Key, dict[str, Json]] = field(default_factory=dict)
    writes: int = 0
    requests: int = 0
    tamper: Callable[[Sequence[BatchOperation]], Sequence[BatchOperation]] = lambda operations: operations
    place: Callable[[Key], str | None] = lambda _: None
    ahead: Mapping[Key, float] = field(default_factory=dict)

    def time(self, key: Key) -> float:
        return START + asyncio.get_running_loop().time() + self.ahead.get(key, 0.0)

    def stored(self, key: Key, body: Json) -> Json:
        self.writes += 1
        kept = _copied(body) | {"_etag": f'"{self.writes}"', "_ts": math.floor(self.time(key))}
        kept.pop(ANSWERED_BY, None)
        self.partitions.setdefault(key, {})[str(body["id"])] = kept
        return self.answer(key, kept)

    def find(self, key: Key, item_id: str) -> Json | None:
        found = self.partitions.get(key, {}).get(item_id)
        return None if found is None else self.answer(key, found)

    def answer(self, key: Key, body: Json) -> Json:
        return _copied(body) | {ANSWERED_BY: self.place(key)}

    def create(self, key: Key, body: Json) -> Json:
        if self.find(key, str(body["id"])) is not None:
            raise ItemExistsError(str(body["id"]))
        return self.stored(key, body)

    def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        found = self.find(key, str(body["id"]))
        if found is None:
            raise ItemNotFoundError(str(body["id"]))
        if etag is not None and found["_etag"] != etag:
            raise ItemChangedError(str(body["id"]))
        return self.stored(key, body)

    def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        found = self.find(key, item_id)
        if found is None:
            raise ItemNotFoundError(item_id)
        if not _holds(found, patch.condition):
            raise ItemChangedError(item_id)
        assert len(patch.operations) <= 10
        for step in patch.operations:
            *parents, name = step.path.strip("/").split("/")
            target = found
            for parent in parents:
                target = cast("Json", target[parent])
            if step.op == "remove":
                del target[name]
            elif step.op == "incr":
                target[name] = cast("int", target.get(name, 0)) + cast("int", step.value)
            else:
                target[name] = step.value
        return self.stored(key, found)

    def batch(self, key: Key, operations: Sequence[BatchOperation]) -> list[Json]:
        assert len(operations) <= 100
        before = dict(self.partitions.get(key, {}))
        done = []
        for index, operation in enumerate(self.tamper(operations)):
            try:
                if operation.kind == "create":
                    done.append(self.create(key, operation.body or {}))
                else:
                    assert operation.kind == "patch"
                    assert operation.patch is not None
                    done.append(self.patch(key, operation.item_id, operation.patch))
            except (ItemExistsError, ItemNotFoundError, ItemChangedError) as error:
                self.partitions[key] = before
                raise BatchFailedError(index, error.status) from error
        return done


def _copied(body: Json) -> Json:
    return cast("Json", orjson.loads(orjson.dumps(body)))


def _heard[T](attempt: asyncio.Task[T]) -> None:
    """Take note of what became of a request that nobody may wait for any more."""
    if not attempt.cancelled():
        attempt.exception()


def _holds(body: Json, condition: str | None) -> bool:
    return condition is None or all(_term_holds(body, term) for term in condition.split(" AND "))


def _term_holds(body: Json, text: str) -> bool:
    if defined := _DEFINED.fullmatch(text):
        return (_value(body, defined["path"]) is None) == bool(defined["no"])
    match = _COMPARISON.fullmatch(text)
    assert match is not None, text
    left, operator, value = match["left"], match["operator"], match["value"]
    if value.startswith('"'):
        return _value(body, left.removeprefix("c.")) == value.strip('"')
    total = 0
    for part in _PART.finditer(left):
        found = _value(body, part["maybe"] or part["path"])
        if found is None and part["path"]:
            return False
        total += int(str(found or 0)) * (-1 if part["sign"] == "-" else 1)
    number = int(value)
    return {"<=": total <= number, ">=": total >= number, "=": total == number}[operator]


def _value(body: Json, path: str) -> object:
    found: object = body
    for name in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


class KilledError(BaseException):
    """The process that asked is dead: nobody learns an answer."""


class SimulatedContainer:
    """One process's way to the store. A request can be lost, its answer can be, and each leg takes time.

    Like the app's own container it tries three times, so that a write can be done twice.
    """

    def __init__(self, store: MemoryStore, chance: random.Random, faults: Faults = NO_FAULTS) -> None:
        self._store = store
        self._chance = chance
        self.faults = faults
        self.dead = False
        self.down = False
        self.answers_to_lose = 0

    async def read(self, key: Key, item_id: str) -> Json | None:
        return await self._request(lambda: self._store.find(key, item_id))

    async def create(self, key: Key, body: Json) -> Json:
        return await self._request(lambda: self._store.create(key, body))

    async def upsert(self, key: Key, body: Json) -> Json:
        return await self._request(lambda: self._store.stored(key, body))

    async def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        return await self._request(lambda: self._store.replace(key, body, etag))

    async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        return await self._request(lambda: self._store.patch(key, item_id, patch))

    async def delete(self, key: Key, item_id: str, etag: str | None) -> bool:
        raise NotImplementedError

    async def batch(
        self,
        key: Key,
        operations: Sequence[BatchOperation],
        *,
        minimal: bool = False,  # noqa: ARG002  # never asked
    ) -> list[Json]:
        return await self._request(lambda: self._store.batch(key, operations))

    async def query(self, key: Key, query: Query) -> list[Json]:
        raise NotImplementedError

    async def _request[T](self, work: Callable[[], T]) -> T:
        for _ in range(3):
            self._store.requests += 1
            attempt = asyncio.ensure_future(self._attempt(work))
            attempt.add_done_callback(_heard)
            try:
                # Who gives up waiting does not stop the request: it may be done later than the next one.
                return await asyncio.wait_for(asyncio.shield(attempt), self.faults.patience_seconds)
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(self._chance.uniform(0, 0.2))
        raise DependencyUnavailableError("Cosmos DB")

    async def _attempt[T](self, work: Callable[[], T]) -> T:
        if self.dead:
            raise KilledError
        await self._leg()
        # The request is on its way: it arrives even if who sent it is dead by then.
        if self.down or self._chance.random() < self.faults.lost_request:
            raise ConnectionError
        try:
            return work()
        finally:
            await self._leg()
            if self.dead:
                raise KilledError
            if self._answer_is_lost():
                raise ConnectionError

    def _answer_is_lost(self) -> bool:
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            return True
        return self._chance.random() < self.faults.lost_answer

    async def _leg(self) -> None:
        slow = self._chance.random() < self.faults.slow
        longest = self.faults.slow_seconds if slow else self.faults.leg_seconds
        await asyncio.sleep(self._chance.uniform(0, longest))
