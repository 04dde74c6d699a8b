"""A container in which something else happens just before some of its writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.cosmos.container import BatchFailedError, BatchFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shared.cosmos.container import BatchOperation, Container, Json, Key, Patch, Query

    type Event = Callable[[], Awaitable[object]]


class Interrupted:
    """Lets one event happen before each of the first batches, and before each of the first creates."""

    def __init__(
        self, container: Container, *, batches: Sequence[Event] = (), creates: Sequence[Event] = ()
    ) -> None:
        self._container = container
        self._batches = list(batches)
        self._creates = list(creates)
        self._queries: list[Event] = []
        self._reads: list[Event] = []

    def next_batches(self, *events: Event) -> None:
        """Let these happen before the next batches."""
        self._batches += events

    def calm(self) -> None:
        """Let nothing more happen."""
        self._batches.clear()

    def next_queries(self, *events: Event) -> None:
        """Let these happen after the next queries have their answers, before these arrive."""
        self._queries += events

    def next_reads(self, *events: Event) -> None:
        """Let these happen after the next reads have their answers, before these arrive."""
        self._reads += events

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        if self._batches:
            await self._batches.pop(0)()
        return await self._container.batch(key, operations, minimal=minimal)

    async def create(self, key: Key, body: Json) -> Json:
        if self._creates:
            await self._creates.pop(0)()
        return await self._container.create(key, body)

    async def read(self, key: Key, item_id: str) -> Json | None:
        found = await self._container.read(key, item_id)
        if found is not None and self._reads:
            await self._reads.pop(0)()
        return found

    async def upsert(self, key: Key, body: Json) -> Json:
        return await self._container.upsert(key, body)

    async def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        return await self._container.replace(key, body, etag)

    async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        return await self._container.patch(key, item_id, patch)

    async def delete(self, key: Key, item_id: str, etag: str | None) -> bool:
        return await self._container.delete(key, item_id, etag)

    async def query(self, key: Key, query: Query) -> list[Json]:
        found = await self._container.query(key, query)
        if found and self._queries:
            await self._queries.pop(0)()
        return found


class Refusing(Interrupted):
    """A container that refuses every batch for a reason that no other writer is."""

    async def batch(
        self,
        key: Key,
        operations: Sequence[BatchOperation],
        *,
        minimal: bool = False,  # noqa: ARG002  # it refuses all
    ) -> list[Json]:
        raise BatchFailedError(len(operations) - len(key), BatchFailure.REFUSED)
