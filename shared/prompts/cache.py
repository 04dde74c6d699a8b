"""Cache of heads and versions in this process, and its invalidation by the edits that are made here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.caching.region import Freshness
from shared.prompts.stored_models import (
    Prompt,
    PromptHead,
    PromptSummary,
    PromptVersion,
    latest_version,
)
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.caching.region import Cache, Region
    from shared.tenancy.context import TenantContext

FRESHNESS = Freshness(ttl_seconds=40, stale_seconds=20, keep_last_good=True, last_good_seconds=24 * 3600)
"""After 60 s an edit is seen by every instance: 40 s unasked, and 20 s more while a read in the background is
under way. Only while the store is down may it be more."""

WRITTEN = Freshness(ttl_seconds=600)
"""Heads that this process wrote are never shown: batches are tried on them, and ETags tell which are old."""

FOR_EVER = Freshness(ttl_seconds=24 * 3600)
"""Versions do not change."""

MAX_CACHED = 2_000
MAX_CACHED_CHARACTERS = 32_000
"""Larger prompts are read each time, so that the cache's bound is one of memory too."""


@dataclass(frozen=True, slots=True)
class CachedHead:
    """A prompt's head in the cache.

    Attributes:
        latest: The version that it embeds.
        read_at: When the read of it began, on the monotonic clock.
        large: Whether it takes too much memory to be kept.
    """

    head: PromptHead
    latest: PromptVersion
    source: Source
    read_at: float
    large: bool = False

    @classmethod
    def of(cls, head: PromptHead, source: Source, read_at: float) -> CachedHead:
        """Take a head that was read."""
        large = head.content.characters > MAX_CACHED_CHARACTERS
        return cls(head, latest_version(head), source, read_at, large=large)

    def prompt(self, now: float) -> Prompt:
        """Return its latest version, as old as it is now on the monotonic clock."""
        return Prompt(self.latest, self.head, self.source, now - self.read_at)


class PromptCache:
    """Heads and versions of all tenants, in this process.

    Args:
        cache: The process's cache.
        prefetched: Names that are read, in one request, when a tenant is first seen in this process.
    """

    def __init__(self, cache: Cache, prefetched: Sequence[str] = ()) -> None:
        self.heads: Region[CachedHead] = cache.region("prompts", FRESHNESS, MAX_CACHED)
        self.versions = cache.shared_region("prompt-versions", FOR_EVER, MAX_CACHED, PromptVersion)
        self.written: Region[PromptSummary] = cache.region("prompts-written", WRITTEN, MAX_CACHED)
        self.prefetched = list(dict.fromkeys(prefetched))
        self._global_edits: Counter[str] = Counter()
        self._own_edits: Counter[str] = Counter()
        self._prefetched_for: set[str] = set()

    async def close(self) -> None:
        """End the reads that are under way in the background."""
        await self.heads.close()
        await self.versions.close()

    def head_key(self, name: str, source: Source | None) -> str:
        """Name a head in the cache: after an edit of the global prompt here, nobody finds the old one."""
        return f"{source or 'any'}:{self._global_edits[name]}:{name}"

    def version_key(self, name: str, source: Source, version: int) -> str:
        """Name a version in the cache; each scope has prompts of its own."""
        return f"{source}:{name}:{version}"

    def invalidate_global(self, *names: str) -> None:
        """Let every tenant in this process read global prompts anew."""
        for name in names:
            self._global_edits[name] += 1

    def invalidate(self, tenant: TenantContext, *names: str) -> None:
        """Let a tenant read prompts of its own anew."""
        self._own_edits[tenant.tenant_id] += 1
        stale = [self.head_key(name, scope) for name in names for scope in (None, Source.TENANT)]
        self.heads.forget(tenant, *stale)

    def count_edits(self, tenant: TenantContext) -> int:
        """Count a tenant's own edits in this process: who reads during one may have read too early."""
        return self._own_edits[tenant.tenant_id]

    def claim_prefetch(self, tenant: TenantContext) -> bool:
        """Tell whether there is something to prefetch for this tenant now; to one caller only."""
        if not self.prefetched or tenant.tenant_id in self._prefetched_for:
            return False
        self._prefetched_for.add(tenant.tenant_id)
        return True

    def abandon_prefetch(self, tenant: TenantContext) -> None:
        """Let the next caller try again."""
        self._prefetched_for.discard(tenant.tenant_id)
