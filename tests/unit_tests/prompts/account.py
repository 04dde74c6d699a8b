"""A Cosmos account in memory that belongs to the loop which first asks for a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.fakes import FakeClock
from tests.support.memory_cosmos import MemoryCosmos

if TYPE_CHECKING:
    from shared.cosmos.container import Container


class MemoryAccount:
    """Opens the app's containers whatever database is named; `cosmos` counts requests."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.opened: list[tuple[str, str]] = []
        self._cosmos: MemoryCosmos | None = None

    @property
    def cosmos(self) -> MemoryCosmos:
        """The account; a test may ask once a container was opened."""
        assert self._cosmos is not None
        return self._cosmos

    def container(self, database_name: str, container_name: str) -> Container:
        if self._cosmos is None:
            self._cosmos = MemoryCosmos(self.clock)
        self.opened.append((database_name, container_name))
        return self._cosmos.container(container_name)

    async def close(self) -> None:
        if self._cosmos is not None:
            await self._cosmos.close()
            self._cosmos = None
