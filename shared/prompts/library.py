"""The prompts that a tenant can use: its own, and everybody's where it has none of that name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.concurrency import Turns
from shared.errors import PermissionDeniedError, PromptNotFoundError, ValidationError
from shared.prompts.models import Prompt, PromptSource
from shared.prompts.rendering import render_prompt
from shared.prompts.store import GlobalPromptStore, PromptStore
from shared.tenancy.context import PlatformContext, Role, TenantContext, as_platform, require_tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.errors import APIError
    from shared.prompts.changes import Change
    from shared.prompts.models import PromptDraft, PromptHead


class ResolvesPrompts(Protocol):
    """What the capabilities ask of a tenant's prompts."""

    async def resolve(self, name: str, variables: Mapping[str, str]) -> str:
        """Render a prompt for a model, which takes no empty text.

        Raises:
            PromptNotFoundError: There is no such prompt.
            ValidationError: The variables do not fit, or they leave nothing to say.
        """
        ...


@dataclass(frozen=True, slots=True)
class PromptLibrary:
    """The prompts of all tenants, in this process.

    Attributes:
        container: Where they are.
        falls_back: Tells whether a tenant uses the global prompts.
    """

    container: Container
    clock: Clock
    falls_back: Callable[[TenantContext], Awaitable[bool]]
    turns: Turns = field(default_factory=Turns)

    def of(self, caller: TenantContext | PlatformContext) -> Prompts:
        """Open what a caller can use.

        A tenant has its own prompts and the global ones, the administrator who acts for none has the latter.

        Raises:
            ValueError: There is no caller.
        """
        return Prompts(self, caller if isinstance(caller, PlatformContext) else require_tenant(caller))


class Prompts:
    """The prompts that one caller can use; made by `PromptLibrary.of`."""

    def __init__(self, library: PromptLibrary, caller: TenantContext | PlatformContext) -> None:
        self._library = library
        self._caller = caller
        shared = (library.container, library.clock, library.turns)
        self._global = GlobalPromptStore(caller.principal, *shared)
        self._own = PromptStore(caller, *shared) if isinstance(caller, TenantContext) else None

    async def read(
        self, name: str, which: int | str | None = None, source: PromptSource | None = None
    ) -> Prompt:
        """Return a version of a prompt.

        Args:
            name: The prompt.
            which: A version's number, a label, or None for the latest.
            source: Whose; the tenant's own where there is one, else everybody's, where None.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
        """
        store, head = await self.found(name, source)
        if head.deleted:
            raise PromptNotFoundError(name)
        return await store.version_of(head, which)

    async def resolve(self, name: str, variables: Mapping[str, str]) -> str:
        """Render a prompt's latest version for a model, which takes no empty text.

        Raises:
            PromptNotFoundError: There is no such prompt.
            ValidationError: The variables do not fit, and it names those missing and unknown; or they leave
                nothing to say.
        """
        text = render_prompt((await self.read(name)).content, variables).text
        if not text:
            raise ValidationError(f"Prompt '{name}' is empty with these variables", {"name": name})
        return text

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
        return await self.writable(source).save(name, draft, if_match)

    async def change(self, change: Change, source: PromptSource = PromptSource.TENANT) -> PromptHead:
        """Make a change that makes no version, and return the head as it is now.

        Raises:
            PromptNotFoundError: There is no such prompt, version or label.
            PreconditionFailedError: The prompt is in another state than `change.if_match`.
            ConflictError: Others kept changing it meanwhile.
            PermissionDeniedError: It is not the caller's to change.
        """
        head, _ = await self.writable(source).commit(change)
        return head

    async def change_all(
        self, wanted: Sequence[Change], source: PromptSource = PromptSource.TENANT
    ) -> list[PromptHead | APIError]:
        """Make one change each of many prompts, and return each one's head or failure in order.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was changed.
            PermissionDeniedError: They are not the caller's to change.
        """
        return await self.writable(source).commit_all(wanted)

    async def read_all(self, names: Sequence[str]) -> dict[str, Prompt]:
        """Return the latest version of each of these prompts that is there.

        It is one request for each 100 of them, and one for each 100 that the tenant has none of its own of.
        """
        found: dict[str, Prompt] = {}
        for store in (self._own, self._global):
            missing = [name for name in names if name not in found]
            if store is None or not missing or (store is self._global and not await self._sees_global()):
                continue
            heads = await store.read_all(missing)
            found |= {name: await store.version_of(head, None) for name, head in heads.items()}
        return found

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
            if store is self._own and source is None and not await self._sees_global():
                break
        if deleted is None:
            raise PromptNotFoundError(name)
        return deleted

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
        if isinstance(caller, PlatformContext) or caller.role is Role.ADMIN:
            return True
        return await self._library.falls_back(caller)
