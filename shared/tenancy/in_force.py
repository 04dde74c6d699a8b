"""Answers that go on for minutes: they end when the key that they were asked with does."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from shared.tenancy.context import TenantContext


async def while_in_force[T](
    tenant: TenantContext, check: Callable[[TenantContext], Awaitable[None]], items: AsyncGenerator[T]
) -> AsyncGenerator[T]:
    """Give what an answer has, each item only while its caller may have it.

    Args:
        tenant: The caller.
        check: Raises where the caller's credential is not in force any more.
        items: The answer; closed with this.

    Raises:
        AuthenticationError: The key was revoked meanwhile, or is over.
        TenantSuspendedError: The tenant was suspended meanwhile.
    """
    async with aclosing(items):
        async for item in items:
            await check(tenant)
            yield item
