"""The prompt library: every tenant's prompts in this process, opened for one caller at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from shared.prompts.access import PromptAccess
from shared.prompts.cache import PromptCache
from shared.prompts.edits import PromptEdit, SaveVersion
from shared.prompts.reader import PromptReader
from shared.prompts.stored_models import PromptSummary
from shared.resilience.concurrency import Turns
from shared.tenancy.context import PlatformContext, TenantContext, require_tenant
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from shared.caching.region import Cache
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.prompts.batch_commit import EditOutcome
    from shared.prompts.models import PromptDraft
    from shared.prompts.stored_models import Prompt, PromptHead


class ResolvesPrompts(Protocol):
    """Capabilities' view of a tenant's prompts; `render_for_model` makes messages of the version."""

    async def resolve(self, name: str, label: str | None = None, version: int | None = None) -> Prompt:
        """Return the version that is named, else that of `production` where there is one, else the latest.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
            ValidationError: Both a label and a version are named.
        """
        ...


class PromptLibrary:
    """The prompts of all tenants, in this process.

    Args:
        container: The container of all of them.
        clock: Dates changes, and measures ages.
        cache: The process's cache.
        falls_back: Tells whether a tenant uses the global prompts.
        prefetched: The names that are read, in one request, when a tenant is first seen in this process.
    """

    def __init__(
        self,
        container: Container,
        clock: Clock,
        cache: Cache,
        falls_back: Callable[[TenantContext], Awaitable[bool]],
        prefetched: Sequence[str] = (),
    ) -> None:
        self.cache = PromptCache(cache, prefetched)
        self._container = container
        self._clock = clock
        self._falls_back = falls_back
        self._turns = Turns()

    async def close(self) -> None:
        """End the reads that are under way in the background."""
        await self.cache.close()

    def of(self, caller: TenantContext | PlatformContext) -> Prompts:
        """Open the prompts of a caller.

        A tenant has its own prompts and the global ones, the administrator who acts for none has the latter.

        Raises:
            ValueError: There is no caller.
        """
        caller = caller if isinstance(caller, PlatformContext) else require_tenant(caller)
        access = PromptAccess(caller, self._container, self._clock, self._turns, self._falls_back)
        return Prompts(access, self.cache, self._clock)


class Prompts(PromptReader):
    """The prompts that one caller can use; opened by `PromptLibrary.of`."""

    @property
    def only_global(self) -> bool:
        """Tell whether the caller has no prompts of its own."""
        return isinstance(self._caller, PlatformContext)

    async def save(
        self,
        name: str,
        draft: PromptDraft,
        if_match: str | None = None,
        source: Source = Source.TENANT,
    ) -> Prompt:
        """Store a prompt's next version.

        Raises:
            ValidationError: The draft does not fit together.
            PreconditionFailedError: The prompt is in another state than `if_match`.
            ConflictError: Others kept changing it meanwhile.
            PermissionDeniedError: It is not the caller's to change.
        """
        edit = PromptEdit(name, SaveVersion(draft), if_match, draft.reason)
        store = self._access.writable(source)
        with self._invalidating([name], source):
            head, version = await store.commit(edit)
            return await store.version_of(head, version)

    async def apply(self, edit: PromptEdit, source: Source = Source.TENANT) -> PromptHead:
        """Make an edit that makes no version, and return the head as it is now.

        Raises:
            PromptNotFoundError: There is no such prompt, version or label.
            PreconditionFailedError: The prompt is in another state than `edit.if_match`.
            ConflictError: Others kept changing it meanwhile.
            PermissionDeniedError: It is not the caller's to change.
        """
        store = self._access.writable(source)
        with self._invalidating([edit.name], source):
            head, _ = await store.commit(edit)
        return head

    async def apply_all(
        self, edits: Sequence[PromptEdit], source: Source = Source.TENANT
    ) -> list[EditOutcome]:
        """Make one edit each of many prompts, and return each one's head or failure in order.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be changed.
            PermissionDeniedError: They are not the caller's to change.
        """
        names = [edit.name for edit in edits]
        store = self._access.writable(source)
        with self._invalidating(names, source):
            outcomes = await store.commit_all(edits, self._written(names, source))
        if isinstance(self._caller, TenantContext):
            for head in outcomes:
                if isinstance(head, PromptSummary):
                    self._cache.written.put(self._caller, f"{source}:{head.name}", head)
        return outcomes

    def _written(self, names: Sequence[str], source: Source) -> dict[str, PromptSummary]:
        """Return the heads that this process wrote lately: good enough to write on, under their ETags."""
        caller = self._caller
        if isinstance(caller, PlatformContext):
            return {}
        heads = (self._cache.written.peek(caller, f"{source}:{name}") for name in names)
        return {head.name: head for head in heads if head is not None}

    @contextmanager
    def _invalidating(self, names: Sequence[str], source: Source) -> Iterator[None]:
        """Drop these prompts from the cache once they were edited, or may have been."""
        try:
            yield
        finally:
            if source is Source.GLOBAL:
                self._cache.invalidate_global(*names)
            elif isinstance(self._caller, TenantContext):
                self._cache.invalidate(self._caller, *names)
