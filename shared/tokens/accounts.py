"""What one process remembers of each tenant's ledger between calls: only ever a hint.

Each write is conditional on what is really stored, so that a stale account costs a round trip, nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shared.errors import DependencyUnavailableError
from shared.tokens.models import ClockItem, ScopeItem
from shared.tokens.store_clock import StoreClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shared.clock import Clock
    from shared.cosmos.partition import Partition

MOST_ACCOUNTS = 4096
_LONGEST_TURN_SECONDS = 15.0


class Account:
    """One tenant's scope as this process last saw it, and the clock of the partition that it is in.

    Args:
        partition: The tenant's part of the ledger.
        clock: Its monotonic side times the store's answers.
        store_clock: What is known of the store's time.
    """

    def __init__(self, partition: Partition, clock: Clock, store_clock: StoreClock) -> None:
        self.partition = partition
        self.seen: ScopeItem | None = None
        self._clock = clock
        self._store_clock = store_clock
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Exchange one lock of the tenant at a time: two would fight over what falls out of the window.

        Raises:
            DependencyUnavailableError: The exchanges before it take too long.
        """
        try:
            async with asyncio.timeout(_LONGEST_TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError as error:
            raise DependencyUnavailableError("The token ledger", "is too slow") from error
        try:
            yield
        finally:
            self._turn.release()

    def earliest(self) -> float:
        """Return a time that the store's clock has certainly reached."""
        return self._store_clock.earliest(self._clock.monotonic())

    def latest(self) -> float:
        """Return a time that the store's clock has certainly not passed."""
        return self._store_clock.latest(self._clock.monotonic())

    def elapsed_since(self, moment: float) -> float:
        """Return the seconds since a moment on the monotonic clock."""
        return self._clock.monotonic() - moment

    def now(self) -> float:
        """Return the monotonic clock."""
        return self._clock.monotonic()

    async def know_the_time(self) -> None:
        """Learn the store's time, unless it is known precisely enough."""
        if not self._store_clock.is_precise(self._clock.monotonic()):
            await self.timed(lambda: self.partition.upsert(ClockItem()))

    async def read(self) -> ScopeItem:
        """Read the scope as it is now; the first one creates it."""
        self.seen = await self.partition.read(ScopeItem, ScopeItem().id)
        if self.seen is None:
            self.seen, _ = await self.partition.create_or_read(ScopeItem())
        return self.seen

    async def timed[T: ClockItem | ScopeItem](self, write: Callable[[], Awaitable[T]]) -> T:
        """Write, and learn the store's time from its answer."""
        sent = self._clock.monotonic()
        written = await write()
        self.observe(written.ts, sent)
        return written

    def saw(self, scope: ScopeItem, sent: float) -> None:
        """Remember the scope that a write, sent at a moment of the monotonic clock, has left."""
        self.seen = scope
        self.observe(scope.ts, sent)

    def observe(self, second: int, sent: float) -> None:
        """Learn that the store, asked at a moment of the monotonic clock, wrote at `second`."""
        self._store_clock.observe(second, sent, self._clock.monotonic())


class Accounts:
    """The accounts in use lately, a bounded number of them.

    Args:
        clock: The app's time.
        store_clock: Makes what learns a partition's time.
    """

    def __init__(self, clock: Clock, store_clock: Callable[[], StoreClock] = StoreClock) -> None:
        self._clock = clock
        self._store_clock = store_clock
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def of(self, tenant_id: str, partition: Partition) -> Account:
        """Return a tenant's account."""
        account = self._accounts.pop(tenant_id, None)
        if account is None:
            account = Account(partition, self._clock, self._store_clock())
        self._accounts[tenant_id] = account
        if len(self._accounts) > MOST_ACCOUNTS:
            self._accounts.popitem(last=False)
        return account
