"""Read path of prompts: the tenant's own, and everybody's where it has none of that name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ValidationError
from shared.prompts.cache import MAX_CACHED_CHARACTERS, CachedHead
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import MAX_CONTENT_BYTES
from shared.prompts.reference import choose_version, find_version, require_version
from shared.prompts.stored_models import Prompt, PromptHead, PromptVersion
from shared.tenancy.context import PlatformContext
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.prompts.access import PromptAccess
    from shared.prompts.cache import PromptCache
    from shared.prompts.store import HeadFilter, PromptStore
    from shared.prompts.stored_models import ChangeItem, PromptSummary, VersionSummary


class VersionList(NamedTuple):
    """Versions of a prompt, the newest first, and its head."""

    head: PromptSummary
    versions: list[VersionSummary]


class PromptsRead(NamedTuple):
    """Prompts by name, and the names of those that there was no room for."""

    prompts: dict[str, Prompt]
    left_out: set[str]


class PromptReader:
    """The prompts that one caller can read.

    Args:
        access: Its stores.
        cache: That of the process.
        clock: Measures ages.
    """

    def __init__(self, access: PromptAccess, cache: PromptCache, clock: Clock) -> None:
        self._access = access
        self._caller = access.caller
        self._cache = cache
        self._clock = clock

    async def read(
        self,
        name: str,
        which: int | str | None = None,
        source: Source | None = None,
        *,
        fresh: bool = False,
    ) -> Prompt:
        """Return a version of a prompt, at most 60 s old while the store answers.

        Args:
            name: The prompt.
            which: A version's number, a label, or None for the latest.
            source: The scope; the tenant's own where there is one, else everybody's, where None.
            fresh: Whether to ask the store, whatever the cache has.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
            PermissionDeniedError: The tenant does not use the global prompts.
        """
        cached, just_read = await self._head(name, source, fresh=fresh)
        if not just_read and find_version(cached.head, which) is None:
            cached = await self._reload(name, source)  # another instance may have made it since
        return await self._at(cached, require_version(cached.head, which))

    async def resolve(self, name: str, label: str | None = None, version: int | None = None) -> Prompt:
        """Return the version that a bot or a job uses.

        It is the one that is named, else that of the label `production` where there is one, else the latest.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
            ValidationError: Both a label and a version are named.
        """
        if label is not None and version is not None:
            raise ValidationError("Name one of version and label", {"name": name})
        if label is not None or version is not None:
            return await self.read(name, version if label is None else label)
        cached, _ = await self._head(name, None, fresh=False)
        return await self._at(cached, choose_version(cached.head))

    def peek(self, name: str) -> Prompt | None:
        """Return the latest version if the cache has a fresh one; any thread may ask."""
        if isinstance(self._caller, PlatformContext):
            return None
        cached = self._cache.heads.peek(self._caller, self._cache.head_key(name, None))
        return None if cached is None else cached.prompt(self._clock.monotonic())

    async def prefetch(self, names: Sequence[str]) -> dict[str, Prompt]:
        """Read prompts, keep them for those who ask next, and return those that are there.

        It is one request for each 100, and one more for each 100 that the tenant has none of its own of.
        """
        caller, cache = self._caller, self._cache
        if isinstance(caller, PlatformContext):
            return (await self.read_all(names)).prompts
        edits, keys = cache.count_edits(caller), {name: cache.head_key(name, None) for name in names}
        heads, _ = await self._heads(names)
        unedited = cache.count_edits(caller) == edits
        for name, one in heads.items():
            if unedited and not one.large:
                age = self._clock.monotonic() - one.read_at
                cache.heads.put(caller, keys[name], one, age_seconds=age)
        return {name: Prompt(one.latest, one.head, one.source) for name, one in heads.items()}

    async def read_all(self, names: Sequence[str], max_bytes: float = math.inf) -> PromptsRead:
        """Return the latest version of each of these prompts that is there, as the store has it.

        It is one request for each 100 of them, and one for each 100 that the tenant has none of its own of;
        large ones are one more each.

        Args:
            names: Names that differ.
            max_bytes: The most that they may have together; those beyond it are left out.
        """
        heads, left_out = await self._heads(names, max_bytes)
        prompts = {name: Prompt(one.latest, one.head, one.source) for name, one in heads.items()}
        return PromptsRead(prompts, left_out)

    async def versions(self, name: str, source: Source | None, before: int | None, limit: int) -> VersionList:
        """Return a prompt's versions without their content, the newest first, below the given number.

        Raises:
            PromptNotFoundError: There is no such prompt.
            PermissionDeniedError: The tenant does not use the global prompts.
        """
        latest = await self.read(name, source=source)
        store = await self._access.readable(latest.source)
        return VersionList(latest.head, await store.versions(name, before, limit))

    async def history(
        self, name: str, source: Source | None, before: int | None, limit: int
    ) -> list[ChangeItem]:
        """Return records of a prompt's changes, the last first, below the given number; of a deleted one too.

        Raises:
            PromptNotFoundError: There is no such prompt.
            PermissionDeniedError: The tenant does not use the global prompts.
        """
        store, _ = await self._find(name, source)
        return await store.history(name, before, limit)

    async def _find(self, name: str, source: Source | None) -> tuple[PromptStore, PromptHead]:
        """Return the store that has a prompt, and its head; a deleted one's where there is no other.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        deleted: tuple[PromptStore, PromptHead] | None = None
        for store in await self._access.in_order(source):
            head = await store.head(name)
            if head is not None and not head.deleted:
                return store, head
            if head is not None:
                deleted = deleted or (store, head)
            if store is self._access.own_store and source is None and not await self._access.falls_back():
                break
        if deleted is None:
            raise PromptNotFoundError(name)
        return deleted

    async def _head(self, name: str, source: Source | None, *, fresh: bool) -> tuple[CachedHead, bool]:
        """Return a prompt's head, and whether it was read for this call."""
        caller, cache = self._caller, self._cache
        if fresh or isinstance(caller, PlatformContext):
            return await self._load(name, source), True
        if cache.claim_prefetch(caller):
            done = False
            try:
                await self.prefetch(cache.prefetched)
                done = True
            finally:
                if not done:
                    cache.abandon_prefetch(caller)
        if source is Source.GLOBAL:
            await self._access.check_global()
        key = cache.head_key(name, source)
        just_read = False

        async def load() -> CachedHead:
            nonlocal just_read
            just_read = True
            return await self._load(name, source)

        cached = await cache.heads.get(caller, key, load)
        if cached.large:
            cache.heads.forget(caller, key)
        return cached, just_read

    async def _reload(self, name: str, source: Source | None) -> CachedHead:
        """Read a head anew, and keep it in the place of the one that is cached."""
        caller, cache = self._caller, self._cache
        if isinstance(caller, PlatformContext):
            return await self._load(name, source)
        edits, key = cache.count_edits(caller), cache.head_key(name, source)
        try:
            read = await self._load(name, source)
        except PromptNotFoundError:
            cache.heads.forget(caller, key)
            raise
        if cache.count_edits(caller) == edits and not read.large:
            cache.heads.put(caller, key, read, age_seconds=self._clock.monotonic() - read.read_at)
        return read

    async def _load(self, name: str, source: Source | None) -> CachedHead:
        began = self._clock.monotonic()
        store, head = await self._find(name, source)
        if head.deleted:
            raise PromptNotFoundError(name)
        return CachedHead.of(head, store.source, began)

    async def _at(self, cached: CachedHead, number: int) -> Prompt:
        latest = cached.prompt(self._clock.monotonic())
        if number == cached.head.version:
            return latest
        return latest._replace(version=await self._version(cached, number))

    async def _version(self, cached: CachedHead, number: int) -> PromptVersion:
        """Return an immutable version: once read, it needs no reading again."""
        access = self._access
        store = access.global_store if cached.source is Source.GLOBAL else access.require_own()

        async def load() -> PromptVersion:
            return (await store.version_of(cached.head, number)).version

        if isinstance(self._caller, PlatformContext):
            return await load()
        key = self._cache.version_key(cached.head.name, cached.source, number)
        version = await self._cache.versions.get(self._caller, key, load)
        if version.content.characters > MAX_CACHED_CHARACTERS:
            self._cache.versions.forget(self._caller, key)
        return version

    async def _heads(
        self, names: Sequence[str], max_bytes: float = math.inf
    ) -> tuple[dict[str, CachedHead], set[str]]:
        began = self._clock.monotonic()
        found: dict[str, CachedHead] = {}
        left_out: set[str] = set()
        room = max_bytes
        for store in await self._access.in_order(None):
            missing = [name for name in names if name not in found and name not in left_out]
            if not missing or (store.source is Source.GLOBAL and not await self._access.falls_back()):
                break
            read = await store.read_all(missing, room)
            found |= {name: CachedHead.of(head, store.source, began) for name, head in read.heads.items()}
            left_out |= read.left_out
            room -= sum(head.size or MAX_CONTENT_BYTES for head in read.heads.values())
        return found, left_out

    async def list(
        self, source: Source, after: str | None, limit: int, only: HeadFilter | None = None
    ) -> list[PromptSummary]:
        """Return prompts of one scope without their content by name, after the given one.

        Raises:
            PermissionDeniedError: The tenant does not use the global prompts.
            ValidationError: The administrator names no tenant.
        """
        store = await self._access.readable(source)
        return await store.list(after, limit, only)
