"""A library of prompts over a store in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.caching.region import Cache
from shared.prompts.library import PromptLibrary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext


@dataclass
class Fallback:
    """The setting `prompts.global_fallback` of every tenant."""

    on: bool = True

    async def __call__(self, _: TenantContext) -> bool:
        return self.on


def library_over(
    container: Container,
    clock: Clock,
    fallback: Fallback | None = None,
    prefetched: Sequence[str] = (),
) -> PromptLibrary:
    """Open what the composition root opens for the app."""
    return PromptLibrary(container, clock, Cache(clock), fallback or Fallback(), prefetched)
