"""Where a test's values come from: loads that are counted, held and made to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from shared.errors import DependencyUnavailableError


def outage() -> DependencyUnavailableError:
    return DependencyUnavailableError("the store")


@dataclass
class Source:
    """Answers with `value`, or raises `failure`, as either is when a load begins."""

    value: object = "first"
    failure: Exception | None = None
    loads: int = 0
    cancelled: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def hold(self) -> None:
        """Let no load end until `release`."""
        self.gate.clear()

    def release(self) -> None:
        self.gate.set()

    async def __call__(self) -> object:
        self.loads += 1
        value, failure = self.value, self.failure
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if failure is not None:
            raise failure
        return value


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)
