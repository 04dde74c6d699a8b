"""Access to stores: which prompts a caller may read, and which it may change."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.errors import PermissionDeniedError, ValidationError
from shared.prompts.store import GlobalPromptStore, PromptStore
from shared.tenancy.context import PlatformContext, Role, TenantContext, as_platform
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.resilience.concurrency import Turns


class PromptAccess:
    """Stores of one caller; they do not leave this package.

    Args:
        caller: A tenant has its own prompts and the global ones, the administrator who acts for none has the
            latter.
        container: The container of both.
        clock: Dates changes.
        turns: Those of the process.
        falls_back: Tells whether a tenant uses the global prompts.
    """

    def __init__(
        self,
        caller: TenantContext | PlatformContext,
        container: Container,
        clock: Clock,
        turns: Turns,
        falls_back: Callable[[TenantContext], Awaitable[bool]],
    ) -> None:
        self.caller = caller
        self._container = container
        self._clock = clock
        self._turns = turns
        self._falls_back = falls_back

    async def readable(self, source: Source) -> PromptStore:
        """Open one of the stores to read.

        Raises:
            PermissionDeniedError: The tenant does not use the global prompts.
            ValidationError: The administrator names no tenant.
        """
        if source is Source.TENANT:
            return self.require_own()
        await self.check_global()
        return self.global_store

    async def check_global(self) -> None:
        """Refuse a caller that may not read the global prompts.

        Raises:
            PermissionDeniedError: The tenant does not use them.
        """
        caller = self.caller
        if (
            not (isinstance(caller, TenantContext) and caller.role is Role.ADMIN)
            and not await self.falls_back()
        ):
            raise PermissionDeniedError("This tenant does not use the global prompts")

    def writable(self, source: Source) -> PromptStore:
        """Open one of the stores to change.

        Raises:
            PermissionDeniedError: The global prompts are the platform administrator's.
            ValidationError: The administrator names no tenant.
        """
        if source is Source.TENANT:
            return self.require_own()
        as_platform(self.caller)
        return self.global_store

    async def in_order(self, source: Source | None) -> list[PromptStore]:
        """Return the stores to look in, one after the other.

        Raises:
            PermissionDeniedError: The tenant does not use the global prompts.
            ValidationError: The administrator names no tenant.
        """
        if source is not None:
            return [await self.readable(source)]
        return [self.global_store] if self.own_store is None else [self.own_store, self.global_store]

    async def falls_back(self) -> bool:
        """Tell whether global prompts stand in; who acts for a tenant shares its cache, and so its answer."""
        return isinstance(self.caller, PlatformContext) or await self._falls_back(self.caller)

    @cached_property
    def global_store(self) -> GlobalPromptStore:
        """The global prompts."""
        return GlobalPromptStore(self.caller.principal, self._container, self._clock, self._turns)

    @cached_property
    def own_store(self) -> PromptStore | None:
        """The tenant's own prompts; None where the caller is no tenant."""
        if isinstance(self.caller, PlatformContext):
            return None
        return PromptStore(self.caller, self._container, self._clock, self._turns)

    def require_own(self) -> PromptStore:
        """Open the tenant's own prompts.

        Raises:
            ValidationError: The administrator names no tenant.
        """
        if self.own_store is None:
            raise ValidationError(
                "The administrator names the tenant to act for, or scope=global",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        return self.own_store
