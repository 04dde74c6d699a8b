"""The ledger over the real SDK and the local endpoint's engine, each of its requests failing in each way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError

from shared.contracts import Usage
from shared.cosmos.container import Query
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.tenancy.store import Tier
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import TIER_LIMITS
from shared.tokens.lock_ids import LockIds
from tests.support.fakes import FakeClock, tenant_context
from tests.support.memory_cosmos import MemoryCosmos, memory_cosmos
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.core.pipeline.transport import HttpRequest

    from shared.tokens.stored_models import Lock

TENANT = tenant_context("acme")
LIMIT = TIER_LIMITS[Tier.FREE].tokens_per_minute
APP, MODEL = "app", "gpt-4o"
MOST_REQUESTS = 60

type Watch = Callable[[HttpRequest], None]


class KilledError(BaseException):
    """The process ends here."""


class World:
    """A store, and instances of the ledger over it."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos = cosmos
        self.clock = clock
        self.ledger = self.instance()

    def instance(self) -> TokenLedger:
        """Start another instance."""
        return TokenLedger(self.cosmos.container("ledger"), LockIds(["a secret of this test"]), self.clock)

    async def rows(self, text: str) -> list[dict[str, object]]:
        """Query the tenant's part of the ledger."""
        return await self.cosmos.container("ledger").query(("acme",), Query(text, limit=100))

    async def counted(self) -> list[tuple[object, ...]]:
        """Return what each scope counts, which is the same in all of them, and is the sum of its buckets."""
        rows = await self.rows(
            "SELECT c.tokens, c.requests, c.used, c.done, c.b FROM c WHERE STARTSWITH(c.id, 'scope:')"
        )
        found = set()
        for row in rows:
            buckets = cast("dict[str, dict[str, int]]", row["b"]).values()
            totals = tuple(row[name] for name in ("tokens", "requests", "used", "done"))
            assert totals == tuple(sum(bucket[part] for bucket in buckets) for part in "truq")
            assert all(count >= 0 for bucket in buckets for count in bucket.values())
            found.add(totals)
        return list(found)

    async def used(self) -> int:
        """Return what all usage items sum up to."""
        rows = await self.rows("SELECT c.prompt_tokens FROM c WHERE STARTSWITH(c.id, 'usage:')")
        return sum(int(str(row["prompt_tokens"])) for row in rows)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    async with memory_cosmos(clock) as cosmos:
        yield World(cosmos, clock)


def used(tokens: int) -> Usage:
    return Usage(prompt_tokens=tokens, completion_tokens=0)


class Life:
    """What one process does before it is killed, and what it was told."""

    def __init__(self, ledger: TokenLedger) -> None:
        self.ledger = ledger
        self.taken: list[Lock] = []
        self.reported = 0

    async def live(self) -> None:
        """Take three locks; report one within its size, one beyond it, and release the third."""
        for size in (500, 400, 300):
            self.taken.append(await self.ledger.lock(TENANT, APP, size, MODEL))
        for lock, tokens in zip(self.taken, (100, 450), strict=False):
            await self.ledger.report(TENANT, APP, lock.lock_id, used(tokens))
            self.reported += tokens
        await self.ledger.release(TENANT, APP, self.taken[2].lock_id)


def after(count: int, act: Watch) -> Watch:
    """Act at the request of this number, counted from 0."""
    numbers = iter(range(MOST_REQUESTS))

    def watch(request: HttpRequest) -> None:
        if next(numbers) == count:
            act(request)

    return watch


def kill(_: HttpRequest) -> None:
    raise KilledError


async def killed_at(number: int, *, when_done: bool) -> bool:
    """Kill a process at one of its requests, and let another finish; tell whether it came so far."""
    async with world() as here:
        life = Life(here.ledger)
        transport = here.cosmos.transport
        setattr(transport, "watch_done" if when_done else "watch", after(number, kill))
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        killed = False
        try:
            await life.live()
        except KilledError:
            killed = True
        transport.watch = transport.watch_done = lambda _: None
        other = here.instance()
        for lock, tokens in zip(life.taken, (100, 450, None), strict=False):
            if tokens is None:
                await other.release(TENANT, APP, lock.lock_id)
            else:
                await other.report(TENANT, APP, lock.lock_id, used(tokens))
        told = {0: 0, 1: 100, 2: 550, 3: 550}[len(life.taken)]
        assert life.reported <= told == await here.used()
        (counts,) = await here.counted() or [(0, 0, 0, 0)]
        never_told = cast("int", counts[0]) - told
        assert never_told in {0, (500, 400, 300, 0)[len(life.taken)]}
        here.clock.advance(64)
        await other.lock(TENANT, APP, LIMIT, MODEL)
        return killed


@pytest.mark.parametrize("when_done", [False, True])
@pytest.mark.slow
async def test_a_kill_at_any_request_loses_and_mints_nothing(*, when_done: bool) -> None:
    number = 0
    while await killed_at(number, when_done=when_done):
        number += 1
    assert number >= 8


def throttle(_: HttpRequest) -> None:
    raise CosmosHttpResponseError(429)  # type: ignore[no-untyped-call]  # the SDK's


def fail(_: HttpRequest) -> None:
    raise CosmosHttpResponseError(503)  # type: ignore[no-untyped-call]  # the SDK's


def refuse(_: HttpRequest) -> None:
    raise ConnectionRefusedError


FAILURES = {"429": throttle, "503": fail, "refused": refuse}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("when_done", [False, True])
async def test_a_failing_store_admits_nothing_says_so_and_loses_nothing(
    failure: str, *, when_done: bool
) -> None:
    async with world() as here:
        kept = await here.ledger.lock(TENANT, APP, 500, MODEL)
        transport = here.cosmos.transport
        setattr(transport, "watch_done" if when_done else "watch", FAILURES[failure])
        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: here.ledger.lock(TENANT, APP, 400, MODEL),
            lambda: here.ledger.report(TENANT, APP, kept.lock_id, used(100)),
        ]
        for attempt in attempts:
            with pytest.raises(DependencyUnavailableError, match="Cosmos DB") as caught:
                await attempt()
            assert (caught.value.status, (caught.value.retry_after or 0) > 0) == (503, True)
        transport.watch = transport.watch_done = lambda _: None
        here.clock.advance(6)  # the breaker lets a probe through
        await here.ledger.report(TENANT, APP, kept.lock_id, used(100))
        last = await here.ledger.lock(TENANT, APP, 300, MODEL)
        assert await here.counted() == [(400, 2, 100, 1)]
        assert await here.used() == 100
        await here.ledger.release(TENANT, APP, last.lock_id)
        assert await here.counted() == [(100, 1, 100, 1)]


@sized(60)
async def test_every_patch_and_batch_is_one_that_the_service_takes() -> None:
    async with world() as here:
        instances = [here.ledger, here.instance()]
        for round_number in range(40 if SOAK else 14):
            here.clock.advance(1.7 if round_number % 10 else 75)
            taking = [one.lock(TENANT, f"app-{n % 3}", 100 + n, MODEL) for n, one in enumerate(instances * 3)]
            found = await asyncio.gather(*taking, return_exceptions=True)
            for number, lock in enumerate(found):
                if isinstance(lock, BudgetExceededError):
                    continue
                assert not isinstance(lock, BaseException), lock
                tokens = number * 60
                reporter = instances[(number + round_number) % 2]
                await reporter.report(
                    TENANT, f"app-{number % 3}", lock.lock_id, used(tokens), user=f"u{number}"
                )
        rows = await here.rows("SELECT c.tokens, c.b FROM c WHERE STARTSWITH(c.id, 'scope:')")
        for row in rows:
            buckets = cast("dict[str, dict[str, int]]", row["b"]).values()
            assert row["tokens"] == sum(bucket["t"] for bucket in buckets)


async def test_an_error_of_the_ledger_is_one_of_the_app() -> None:
    async with world() as here:
        here.cosmos.transport.lose_requests = MOST_REQUESTS
        with pytest.raises(APIError):
            await here.ledger.status(TENANT, APP)
