"""The blob trigger: scans a container, runs the function once for each version of a blob."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from local.host.clock import sleep_unless, unless_stopped
from local.host.executor import Call
from local.host.invocation import Json
from local.host.logs import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local.host.bindings import BlobTrigger, Function
    from local.host.clock import Clock
    from local.host.expressions import BlobPattern
    from local.host.hostjson import BlobOptions
    from local.host.invocation import Value
    from local.host.listeners.listener import Runner

# Azure's scan of a new blob takes up to ten minutes; a developer waits less.
_SCAN_SECONDS = 1.0
_SECONDS_FOR_A_BLOB = 0.002
"""A scan of many blobs is made as much less often: listing them would soon be all that the host does."""


@dataclass(frozen=True, slots=True)
class BlobVersion:
    """One version of a blob; a new content has a new ETag."""

    container: str
    name: str
    etag: str

    @property
    def path(self) -> str:
        """The container and the name."""
        return f"{self.container}/{self.name}"


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A blob as a function is given it."""

    content: bytes
    uri: str
    properties_json: str
    metadata_json: str


class BlobSource(Protocol):
    """A storage account."""

    def list_blobs(self, container: str, prefix: str) -> AsyncIterator[BlobVersion]:
        """Yield the blobs of a container; none where the container is not there."""
        ...

    async def read(self, version: BlobVersion) -> BlobContent | None:
        """Return that version's content, or None if it is there no more."""
        ...


class BlobAccount(BlobSource, Protocol):
    """A storage account in which a blob can be looked up by its name."""

    async def current(self, container: str, name: str) -> BlobVersion | None:
        """Return the version that a blob has now, or None if there is no such blob."""
        ...


class Receipts(Protocol):
    """Records of the work on each version of each blob, shared by the instances of a host."""

    def claim(self, function: str, version: BlobVersion) -> int | None:
        """Take a version to work on; return how often it failed, or None if it is done or another's."""
        ...

    def done(self, function: str, version: BlobVersion) -> None:
        """Record success."""
        ...

    def release(self, function: str, version: BlobVersion) -> None:
        """Give a claim back, as if it had not been made."""
        ...

    def failed(self, function: str, version: BlobVersion, *, poison: bool) -> None:
        """Record a failure, and whether it was the last one."""
        ...


@dataclass(frozen=True, slots=True)
class BlobListener:
    """Runs a function on each new or changed blob of a container."""

    function: Function
    trigger: BlobTrigger
    pattern: BlobPattern
    options: BlobOptions
    source: BlobSource
    receipts: Receipts
    runner: Runner
    clock: Clock

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name

    async def listen(self, stopped: asyncio.Event) -> None:
        """Scan until `stopped` is set, then finish the blobs that were begun."""
        slots = asyncio.Semaphore(self.options.max_degree_of_parallelism)
        async with asyncio.TaskGroup() as group:
            while not stopped.is_set():
                # A scan may be cancelled anywhere: a claim that it leaves is given back when the host ends.
                listed = await unless_stopped(stopped, self._scan(group, slots)) or 0
                await sleep_unless(stopped, self.clock, max(_SCAN_SECONDS, listed * _SECONDS_FOR_A_BLOB))

    async def _scan(self, group: asyncio.TaskGroup, slots: asyncio.Semaphore) -> int:
        listed = 0
        async for version in self.source.list_blobs(self.pattern.container, self.pattern.prefix):
            listed += 1
            if self.pattern.match(version.name) is None:
                continue
            failures = self.receipts.claim(self.name, version)
            if failures is not None:
                await slots.acquire()
                task = group.create_task(self._process(version, failures))
                task.add_done_callback(lambda _: slots.release())
        return listed

    async def _process(self, version: BlobVersion, failures: int) -> None:
        try:
            await self._run(version, failures)
        except Exception as error:  # noqa: BLE001 -- storage out of reach for one blob must not end the work on others
            self.receipts.release(self.name, version)
            log.error("Blob '%s' could not be read: %s: %s", version.path, type(error).__name__, error)
        except asyncio.CancelledError:
            self.receipts.release(self.name, version)
            raise

    async def _run(self, version: BlobVersion, failures: int) -> None:
        blob = await self.source.read(version)
        if blob is None:
            # Deleted, or replaced by a version that the next scan finds.
            self.receipts.done(self.name, version)
            return
        outcome = await self.runner.run(blob_call(self.function, self.trigger, self.pattern, version, blob))
        if outcome.succeeded:
            self.receipts.done(self.name, version)
            return
        poison = failures + 1 >= self.options.poison_blob_threshold
        self.receipts.failed(self.name, version, poison=poison)
        if poison:
            log.error(
                "Message has reached MaxDequeueCount of %d. 'Functions.%s' gives up on blob '%s' (ETag %s).",
                self.options.poison_blob_threshold, self.name, version.path, version.etag,
            )  # fmt: skip


def blob_call(
    function: Function, trigger: BlobTrigger, pattern: BlobPattern, version: BlobVersion, blob: BlobContent
) -> Call:
    """Return the call for one version of a blob."""
    tokens = pattern.match(version.name) or {}
    metadata: dict[str, Value] = {
        "BlobTrigger": version.path,
        "Uri": blob.uri,
        "Properties": Json(blob.properties_json),
        "Metadata": Json(blob.metadata_json),
        **tokens,
    }
    data: dict[str, Any] = {"BlobTrigger": version.path, "Uri": blob.uri, **tokens}
    return Call(
        function=function,
        value=blob.content.decode("utf-8", "replace") if trigger.text else blob.content,
        metadata=metadata,
        data=data,
        reason=f"New blob detected({version.container}): {version.name}",
    )
