"""The whole engine of one endpoint: catalog, items, batches, feeds, limits and faults over one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.cosmos.engine.batch import Batches
from local.cosmos.engine.catalog import Catalog
from local.cosmos.engine.faults import Faults
from local.cosmos.engine.feeds import Feeds
from local.cosmos.engine.items import Items
from local.cosmos.engine.limits import Limits

if TYPE_CHECKING:
    from local.cosmos.engine.catalog import Clock
    from local.cosmos.storage.database import Database

SWEEP_AT_ONCE: Final = 500


class Account:
    """One account."""

    def __init__(self, store: Database, clock: Clock) -> None:
        self._store = store
        self.clock = clock
        self.catalog = Catalog(store, clock)
        self.items = Items(store, clock)
        self.batches = Batches(store, self.items)
        self.feeds = Feeds(self.items)
        self.limits = Limits(clock)
        self.faults = Faults()

    def sweep(self) -> int:
        """Delete items whose time to live is over, a bounded number at once, and tell how many."""
        now, swept = int(self.clock()), 0
        for container in self.catalog.all_containers():
            gone = container.table.expired(now, SWEEP_AT_ONCE)
            if not gone:
                continue
            with self._store.transaction():
                for seq in gone:
                    container.table.delete(seq)
            swept += len(gone)
        return swept
