"""One way to call both SDKs, so that each test runs through the sync and the aio one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy, DatabaseProxy
    from azure.cosmos.aio import ContainerProxy as AioContainerProxy
    from azure.cosmos.aio import DatabaseProxy as AioDatabaseProxy

type AnyDatabase = DatabaseProxy | AioDatabaseProxy
type AnyContainer = ContainerProxy | AioContainerProxy


class Driver:
    """Calls a container of either SDK."""

    def __init__(self, database: AnyDatabase, container: AnyContainer, *, aio: bool) -> None:
        self.database = database
        self.container = container
        self.aio = aio

    async def call(self, method: str, /, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - the SDK's own
        """Call a method that answers once."""
        answer = getattr(self.container, method)(*arguments, **options)
        return await answer if inspect.isawaitable(answer) else answer

    async def on_database(self, method: str, /, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - the SDK's own
        """Call a method of the database."""
        answer = getattr(self.database, method)(*arguments, **options)
        return await answer if inspect.isawaitable(answer) else answer

    async def all(self, method: str, /, *arguments: object, **options: object) -> list[Any]:
        """Call a method that answers with pages, and collect them all."""
        answer = getattr(self.container, method)(*arguments, **options)
        if self.aio:
            return [item async for item in answer]
        return list(answer)

    async def pages(self, method: str, /, *arguments: object, **options: object) -> list[list[Any]]:
        """Call a method that answers with pages, and keep them apart."""
        pages = getattr(self.container, method)(*arguments, **options).by_page()
        if self.aio:
            return [[item async for item in page] async for page in pages]
        return [list(page) for page in pages]

    async def query(self, text: str, **options: object) -> list[Any]:
        """Run a query, over all partitions where no key is given."""
        if not self.aio and "partition_key" not in options and "feed_range" not in options:
            options["enable_cross_partition_query"] = True
        return await self.all("query_items", text, **options)
