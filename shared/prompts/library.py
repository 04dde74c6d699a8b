"""The prompts that a tenant can use: its own, and everybody's where it has none of that name."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from shared.caching.region import Freshness
from shared.contracts import ChatMessage
from shared.errors import PermissionDeniedError, PromptNotFoundError, ValidationError
from shared.prompts.models import Prompt, PromptSource, PromptSummary, PromptVersion, latest_version
from shared.prompts.rendering import render_prompt
from shared.prompts.store import GlobalPromptStore, PromptStore, number_of
from shared.resilience.concurrency import Turns
from shared.tenancy.context import PlatformContext, Role, TenantContext, as_platform, require_tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from shared.caching.region import Cache, Region
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.errors import APIError
    from shared.prompts.changes import Change
    from shared.prompts.models import PromptDraft, PromptHead

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


class ResolvesPrompts(Protocol):
    """What the capabilities ask of a tenant's prompts."""

    async def resolve(
        self, name: str, variables: Mapping[str, str], role: Literal["system", "user"]
    ) -> tuple[ChatMessage, ...]:
        """Render a prompt for a model: a chat's messages, or a text as one message of the given role.

        Raises:
            PromptNotFoundError: There is no such prompt.
            ValidationError: The variables do not fit, or they leave nothing to say.
        """
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A prompt's head in the cache.

    Attributes:
        latest: The version that it embeds.
        read_at: When the read of it began, on the monotonic clock.
        large: Whether it takes too much memory to be kept.
    """

    head: PromptHead
    latest: PromptVersion
    source: PromptSource
    read_at: float
    large: bool = False


class PromptLibrary:
    """The prompts of all tenants, in this process.

    Args:
        container: Where they are.
        clock: Dates changes, and measures ages.
        cache: Where what was read is kept.
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
        self.container = container
        self.clock = clock
        self.falls_back = falls_back
        self.turns = Turns()
        self.heads: Region[Held] = cache.region("prompts", FRESHNESS, MAX_CACHED)
        self.versions = cache.shared_region("prompt-versions", FOR_EVER, MAX_CACHED, PromptVersion)
        self.written: Region[PromptSummary] = cache.region("prompts-written", WRITTEN, MAX_CACHED)
        self._global_edits: Counter[str] = Counter()
        self._own_edits: Counter[str] = Counter()
        self.prefetched = list(dict.fromkeys(prefetched))
        self._seen: set[str] = set()

    async def close(self) -> None:
        """End the reads that are under way in the background."""
        await self.heads.close()
        await self.versions.close()

    def of(self, caller: TenantContext | PlatformContext) -> Prompts:
        """Open what a caller can use.

        A tenant has its own prompts and the global ones, the administrator who acts for none has the latter.

        Raises:
            ValueError: There is no caller.
        """
        return Prompts(self, caller if isinstance(caller, PlatformContext) else require_tenant(caller))

    def key(self, name: str, source: PromptSource | None) -> str:
        """Name a head in the cache: after a change of the global prompt here, nobody finds the old one."""
        return f"{source or 'any'}:{self._global_edits[name]}:{name}"

    def edited_globally(self, name: str) -> None:
        """Let every tenant in this process read the global prompt anew."""
        self._global_edits[name] += 1

    def edited(self, tenant: TenantContext, *names: str) -> None:
        """Let a tenant read prompts of its own anew."""
        self._own_edits[tenant.tenant_id] += 1
        stale = [self.key(name, scope) for name in names for scope in (None, PromptSource.TENANT)]
        self.heads.forget(tenant, *stale)

    def edits_of(self, tenant: TenantContext) -> int:
        """Count a tenant's own edits in this process: who reads during one may have read too early."""
        return self._own_edits[tenant.tenant_id]

    def begins_to_see(self, tenant: TenantContext) -> bool:
        """Tell whether there is something to prefetch for this tenant now; to one caller only."""
        if not self.prefetched or tenant.tenant_id in self._seen:
            return False
        self._seen.add(tenant.tenant_id)
        return True

    def seen(self, tenant: TenantContext, *, prefetched: bool) -> None:
        """Let the next caller try again where it failed."""
        if not prefetched:
            self._seen.discard(tenant.tenant_id)


class Prompts:
    """The prompts that one caller can use; made by `PromptLibrary.of`."""

    def __init__(self, library: PromptLibrary, caller: TenantContext | PlatformContext) -> None:
        self._library = library
        self._caller = caller

    async def read(
        self,
        name: str,
        which: int | str | None = None,
        source: PromptSource | None = None,
        *,
        fresh: bool = False,
    ) -> Prompt:
        """Return a version of a prompt, at most 60 s old while the store answers.

        Args:
            name: The prompt.
            which: A version's number, a label, or None for the latest.
            source: Whose; the tenant's own where there is one, else everybody's, where None.
            fresh: Whether to ask the store, whatever the cache has.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
        """
        held = await (self._load(name, source) if fresh else self._held(name, source))
        age = self._library.clock.monotonic() - held.read_at
        head = held.head
        number = number_of(head, which)
        if number == head.version:
            return Prompt(held.latest, head, held.source, age)
        return Prompt(await self._version(held, number), head, held.source, age)

    def at_hand(self, name: str) -> Prompt | None:
        """Return the latest version if the cache has a fresh one; any thread may ask."""
        if isinstance(self._caller, PlatformContext):
            return None
        held = self._library.heads.peek(self._caller, self._library.key(name, None))
        if held is None:
            return None
        age = self._library.clock.monotonic() - held.read_at
        return Prompt(held.latest, held.head, held.source, age)

    @property
    def only_global(self) -> bool:
        """Tell whether the caller has no prompts of its own."""
        return isinstance(self._caller, PlatformContext)

    async def prefetch(self, names: Sequence[str]) -> dict[str, Prompt]:
        """Read prompts, keep them for those who ask next, and return those that are there.

        It is one request for each 100, and one more for each 100 that the tenant has none of its own of.
        """
        caller, library = self._caller, self._library
        if isinstance(caller, PlatformContext):
            return await self.read_all(names)
        edits, keys = library.edits_of(caller), {name: library.key(name, None) for name in names}
        held = await self._heads(names)
        unedited = library.edits_of(caller) == edits
        for name, one in held.items():
            if unedited and not one.large:
                age = library.clock.monotonic() - one.read_at
                library.heads.put(caller, keys[name], one, age_seconds=age)
        return {name: Prompt(one.latest, one.head, one.source) for name, one in held.items()}

    async def resolve(
        self, name: str, variables: Mapping[str, str], role: Literal["system", "user"]
    ) -> tuple[ChatMessage, ...]:
        """Render a prompt's latest version for a model, which takes no empty text.

        Args:
            name: The prompt.
            variables: Its variables' values; a chat that wants lists of messages cannot be rendered so.
            role: Who says it, where the prompt is a text.

        Raises:
            PromptNotFoundError: There is no such prompt.
            ValidationError: The variables do not fit, and it names those missing and unknown; or they leave
                nothing to say.
        """
        rendered = render_prompt((await self.read(name)).content, variables)
        if rendered.messages is not None:
            return rendered.messages
        if not rendered.text:
            raise ValidationError(f"Prompt '{name}' is empty with these variables", {"name": name})
        return (ChatMessage(role=role, content=rendered.text),)

    async def readable(self, source: PromptSource) -> PromptStore:
        """Open one of the stores to read.

        Raises:
            PermissionDeniedError: The tenant does not use the global prompts.
            ValidationError: The administrator names no tenant.
        """
        if source is PromptSource.TENANT:
            return self._tenants()
        if await self._sees_global():
            return self._global
        raise PermissionDeniedError("This tenant does not use the global prompts")

    def writable(self, source: PromptSource) -> PromptStore:
        """Open one of the stores to change.

        Raises:
            PermissionDeniedError: The global prompts are the platform administrator's.
            ValidationError: The administrator names no tenant.
        """
        if source is PromptSource.TENANT:
            return self._tenants()
        as_platform(self._caller)
        return self._global

    async def save(
        self,
        name: str,
        draft: PromptDraft,
        if_match: str | None = None,
        source: PromptSource = PromptSource.TENANT,
    ) -> Prompt:
        """Store a prompt's next version.

        Raises:
            ValidationError: The draft does not fit together.
            PreconditionFailedError: The prompt is in another state than `if_match`.
            ConflictError: Others kept changing it meanwhile.
            PermissionDeniedError: It is not the caller's to change.
        """
        with self._changing([name], source):
            return await self.writable(source).save(name, draft, if_match)

    async def change(self, change: Change, source: PromptSource = PromptSource.TENANT) -> PromptHead:
        """Make a change that makes no version, and return the head as it is now.

        Raises:
            PromptNotFoundError: There is no such prompt, version or label.
            PreconditionFailedError: The prompt is in another state than `change.if_match`.
            ConflictError: Others kept changing it meanwhile.
            PermissionDeniedError: It is not the caller's to change.
        """
        with self._changing([change.name], source):
            head, _ = await self.writable(source).commit(change)
        return head

    async def change_all(
        self, wanted: Sequence[Change], source: PromptSource = PromptSource.TENANT
    ) -> list[PromptSummary | APIError]:
        """Make one change each of many prompts, and return each one's head or failure in order.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be changed.
            PermissionDeniedError: They are not the caller's to change.
        """
        store = self.writable(source)
        known = self._known([change.name for change in wanted], source)
        with self._changing([change.name for change in wanted], source):
            outcomes = await store.commit_all(wanted, known)
        if isinstance(self._caller, TenantContext):
            for head in outcomes:
                if isinstance(head, PromptSummary):
                    self._library.written.put(self._caller, f"{source}:{head.name}", head)
        return outcomes

    async def read_all(self, names: Sequence[str]) -> dict[str, Prompt]:
        """Return the latest version of each of these prompts that is there, as the store has it.

        It is one request for each 100 of them, and one for each 100 that the tenant has none of its own of.
        """
        held = await self._heads(names)
        return {name: Prompt(one.latest, one.head, one.source) for name, one in held.items()}

    async def found(self, name: str, source: PromptSource | None) -> tuple[PromptStore, PromptHead]:
        """Return whose prompt is meant, and its head; that of a deleted one where there is no other.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        deleted: tuple[PromptStore, PromptHead] | None = None
        for store in await self._stores(source):
            head = await store.head(name)
            if head is not None and not head.deleted:
                return store, head
            if head is not None:
                deleted = deleted or (store, head)
            if store is self._own and source is None and not await self._falls_back():
                break
        if deleted is None:
            raise PromptNotFoundError(name)
        return deleted

    async def _held(self, name: str, source: PromptSource | None) -> Held:
        caller, library = self._caller, self._library
        if isinstance(caller, PlatformContext):
            return await self._load(name, source)
        if library.begins_to_see(caller):
            done = False
            try:
                await self.prefetch(library.prefetched)
                done = True
            finally:
                library.seen(caller, prefetched=done)
        if source is PromptSource.GLOBAL:
            await self.readable(source)
        key = library.key(name, source)
        held = await library.heads.get(caller, key, lambda: self._load(name, source))
        if held.large:
            library.heads.forget(caller, key)
        return held

    async def _load(self, name: str, source: PromptSource | None) -> Held:
        began = self._library.clock.monotonic()
        store, head = await self.found(name, source)
        if head.deleted:
            raise PromptNotFoundError(name)
        return _held_now(head, store.source, began)

    async def _version(self, held: Held, number: int) -> PromptVersion:
        """Return an immutable version: once read, it needs no reading again."""
        store = self._global if held.source is PromptSource.GLOBAL else self._tenants()

        async def load() -> PromptVersion:
            return (await store.version_of(held.head, number)).version

        if isinstance(self._caller, PlatformContext):
            return await load()
        key = f"{held.source}:{held.head.name}:{number}"
        version = await self._library.versions.get(self._caller, key, load)
        if version.content.characters > MAX_CACHED_CHARACTERS:
            self._library.versions.forget(self._caller, key)
        return version

    async def _heads(self, names: Sequence[str]) -> dict[str, Held]:
        began = self._library.clock.monotonic()
        found: dict[str, Held] = {}
        for store in await self._stores(None):
            missing = [name for name in names if name not in found]
            if not missing or (store.source is PromptSource.GLOBAL and not await self._falls_back()):
                break
            for name, head in (await store.read_all(missing)).items():
                found[name] = _held_now(head, store.source, began)
        return found

    def _known(self, names: Sequence[str], source: PromptSource) -> dict[str, PromptSummary]:
        """Return the heads that this process wrote lately: good enough to write on, under their ETags."""
        caller = self._caller
        if isinstance(caller, PlatformContext):
            return {}
        heads = (self._library.written.peek(caller, f"{source}:{name}") for name in names)
        return {head.name: head for head in heads if head is not None}

    @contextmanager
    def _changing(self, names: Sequence[str], source: PromptSource) -> Iterator[None]:
        """Drop what is cached of these prompts once they were changed, or may have been."""
        try:
            yield
        finally:
            if source is PromptSource.GLOBAL:
                for name in names:
                    self._library.edited_globally(name)
            elif isinstance(self._caller, TenantContext):
                self._library.edited(self._caller, *names)

    @cached_property
    def _global(self) -> GlobalPromptStore:
        library = self._library
        return GlobalPromptStore(self._caller.principal, library.container, library.clock, library.turns)

    @cached_property
    def _own(self) -> PromptStore | None:
        library, caller = self._library, self._caller
        if isinstance(caller, PlatformContext):
            return None
        return PromptStore(caller, library.container, library.clock, library.turns)

    async def _stores(self, source: PromptSource | None) -> list[PromptStore]:
        if source is not None:
            return [await self.readable(source)]
        return [self._global] if self._own is None else [self._own, self._global]

    def _tenants(self) -> PromptStore:
        if self._own is None:
            raise ValidationError(
                "The administrator names the tenant to act for, or scope=global",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        return self._own

    async def _sees_global(self) -> bool:
        caller = self._caller
        return (isinstance(caller, TenantContext) and caller.role is Role.ADMIN) or await self._falls_back()

    async def _falls_back(self) -> bool:
        """Tell whether global prompts stand in; who acts for a tenant shares its cache, and so its answer."""
        caller = self._caller
        return isinstance(caller, PlatformContext) or await self._library.falls_back(caller)


def _held_now(head: PromptHead, source: PromptSource, read_at: float) -> Held:
    large = head.content.characters > MAX_CACHED_CHARACTERS
    return Held(head, latest_version(head), source, read_at, large=large)
