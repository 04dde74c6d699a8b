"""Cosmos DB on simulated time: it delays requests, loses answers and dies, and so do its clients.

Conditions and patches are those of the local endpoint: its SQL and its patch code run here, over items in
memory, so that hours of a simulation pass in seconds.
"""

from __future__ import annotations

import asyncio
import math
import re
import selectors
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import orjson

from local.cosmos.engine.batch import MAX_OPERATIONS
from local.cosmos.engine.patch import apply_patch, parse_patch
from local.cosmos.sql.query import compile_query
from shared.cosmos.container import (
    ANSWERED_BY,
    BatchFailedError,
    BatchFailure,
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
)
from shared.errors import DependencyTimeoutError, DependencyUnavailableError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from local.cosmos.values import JsonObject, Value
    from shared.cosmos.container import BatchOperation, Json, Key, Patch, Query

START = 1_800_000_000.4
"""The store's time at the simulation's 0, in the middle of a second."""

_VALUES = re.compile(r'\.(?P<name>[a-z]\d+)\b|(?<=[=<>] )(?:(?P<number>-?\d+)|"(?P<text>\w*)")')
"""The parts of a condition that differ from one to the next: a bucket or period, a number, a text."""


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
class SimulatedStore:
    """One account of the store: items by partition and id, and its clocks.

    Attributes:
        place: Says in which physical partition a key is, if answers tell.
        ahead: By how many seconds the clock of a key's physical partition is ahead of the true one.
    """

    partitions: dict[Key, dict[str, bytes]] = field(default_factory=dict)
    writes: int = 0
    requests: int = 0
    tamper: Callable[[Sequence[BatchOperation]], Sequence[BatchOperation]] = lambda operations: operations
    place: Callable[[Key], str | None] = lambda _: None
    ahead: Mapping[Key, float] = field(default_factory=dict)

    def time(self, key: Key) -> float:
        return START + asyncio.get_running_loop().time() + self.ahead.get(key, 0.0)

    def items(self, key: Key, prefix: str = "") -> dict[str, Json]:
        """Return the items of a partition whose ids begin with a prefix."""
        stored = self.partitions.get(key, {})
        return {name: orjson.loads(body) for name, body in stored.items() if name.startswith(prefix)}

    def forget(self, key: Key, item_id: str) -> None:
        """Lose an item, as its time to live does."""
        del self.partitions[key][item_id]

    def read(self, key: Key, item_id: str) -> Json | None:
        body = self.partitions.get(key, {}).get(item_id)
        return None if body is None else orjson.loads(body) | {ANSWERED_BY: self.place(key)}

    def upsert(self, key: Key, body: Json) -> Json:
        self.writes += 1
        kept = body | {"_etag": f'"{self.writes}"', "_ts": math.floor(self.time(key))}
        kept.pop(ANSWERED_BY, None)
        self.partitions.setdefault(key, {})[str(body["id"])] = orjson.dumps(kept)
        return kept | {ANSWERED_BY: self.place(key)}

    def create(self, key: Key, body: Json) -> Json:
        item_id = str(body["id"])
        if item_id in self.partitions.get(key, {}):
            raise ItemExistsError(item_id)
        return self.upsert(key, body)

    def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        found = self.read(key, item_id)
        if found is None:
            raise ItemNotFoundError(item_id)
        if patch.condition is not None and not holds(found, patch.condition):
            raise ItemChangedError(item_id)
        steps = [cast("JsonObject", step.as_json()) for step in patch.operations]
        apply_patch(cast("JsonObject", found), parse_patch([*steps]))
        return self.upsert(key, found)

    def batch(self, key: Key, operations: Sequence[BatchOperation]) -> list[Json]:
        assert len(operations) <= MAX_OPERATIONS
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
                raise BatchFailedError(index, _REASONS[type(error)]) from error
        return done


_REASONS = {
    ItemExistsError: BatchFailure.EXISTS,
    ItemNotFoundError: BatchFailure.MISSING,
    ItemChangedError: BatchFailure.CHANGED,
}


def holds(item: Json, condition: str) -> bool:
    """Tell whether an item meets a condition, by the local endpoint's SQL.

    What differs between conditions of one form becomes parameters, so that each form is compiled once.
    """
    values: dict[str, Value] = {}

    def name_value(match: re.Match[str]) -> str:
        name = f"@v{len(values)}"
        number = match["number"]
        values[name] = int(number) if number else match["name"] or match["text"]
        return f"[{name}]" if match["name"] else name

    form = _VALUES.sub(name_value, condition)
    query = compile_query(f"SELECT VALUE 1 FROM c WHERE {form}")  # noqa: S608  # the ledger's own conditions
    return query.matches(cast("JsonObject", item), values, 0)


class KilledError(BaseException):
    """The process that asked is dead: nobody learns an answer."""


class SimulatedContainer:
    """One process's way to the store. A request can be lost, its answer can be, and each leg takes time.

    Like the app's own container it tries three times, so that a write can be done twice.

    Attributes:
        hangs: Whether nothing is answered in time.
        when_answered: Is called right after an answer was handed over, before whoever waits for it goes on.
    """

    def __init__(self, store: SimulatedStore, chance: random.Random, faults: Faults = NO_FAULTS) -> None:
        self._store = store
        self._chance = chance
        self.faults = faults
        self.dead = False
        self.down = False
        self.hangs = False
        self.answers_to_lose = 0
        self.when_answered: Callable[[], None] = lambda: None

    async def read(self, key: Key, item_id: str) -> Json | None:
        return await self._request(lambda: self._store.read(key, item_id))

    async def create(self, key: Key, body: Json) -> Json:
        return await self._request(lambda: self._store.create(key, body))

    async def upsert(self, key: Key, body: Json) -> Json:
        return await self._request(lambda: self._store.upsert(key, body))

    async def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        raise NotImplementedError

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
        if self.hangs:
            await asyncio.sleep(20)
            raise DependencyTimeoutError("Cosmos DB", 20)
        for _ in range(3):
            self._store.requests += 1
            try:
                return await self._send(work)
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(self._chance.uniform(0, 0.2))
        raise DependencyUnavailableError("Cosmos DB")

    def _send[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Put a request on its way: it arrives even if its sender gives up waiting, or is dead by then."""
        if self.dead:
            raise KilledError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        there, back = self._leg(), self._leg()
        loop.call_later(there, self._arrive, work, answer, back)
        if there + back > self.faults.patience_seconds:
            loop.call_later(self.faults.patience_seconds, _fail, answer, TimeoutError())
        return answer

    def _arrive[T](self, work: Callable[[], T], answer: asyncio.Future[T], back: float) -> None:
        if self.down or self._happens(self.faults.lost_request):
            _fail(answer, ConnectionError())
            return
        try:
            done = work()
        except (ItemExistsError, ItemNotFoundError, ItemChangedError, BatchFailedError) as error:
            self._answer(back, answer, _fail, error)
        else:
            self._answer(back, answer, _succeed, done)

    def _answer[T, V](
        self,
        seconds: float,
        answer: asyncio.Future[T],
        act: Callable[[asyncio.Future[T], V], None],
        outcome: V,
    ) -> None:
        def answered() -> None:
            if self.dead:
                _fail(answer, KilledError())
            elif self._answer_is_lost():
                _fail(answer, ConnectionError())
            else:
                act(answer, outcome)
                self.when_answered()

        asyncio.get_running_loop().call_later(seconds, answered)

    def _answer_is_lost(self) -> bool:
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            return True
        return self._happens(self.faults.lost_answer)

    def _leg(self) -> float:
        slow = self._happens(self.faults.slow)
        return self._chance.uniform(0, self.faults.slow_seconds if slow else self.faults.leg_seconds)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability


def _succeed[T](answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail[T](answer: asyncio.Future[T], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
