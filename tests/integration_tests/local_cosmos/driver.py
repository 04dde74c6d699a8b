"""One way to call both SDKs, so that each test runs through the sync and the aio one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy, DatabaseProxy
    from azure.cosmos.aio import ContainerProxy as AioContainerProxy
    from azure.cosmos.aio import DatabaseProxy as AioDatabaseProxy

    from tenantry_client.cosmos import ContainerProxy as OwnContainerProxy
    from tenantry_client.cosmos import DatabaseProxy as OwnDatabaseProxy
    from tenantry_client.cosmos.aio import ContainerProxy as OwnAioContainerProxy
    from tenantry_client.cosmos.aio import DatabaseProxy as OwnAioDatabaseProxy

type AnyDatabase = DatabaseProxy | AioDatabaseProxy | OwnDatabaseProxy | OwnAioDatabaseProxy
type AnyContainer = ContainerProxy | AioContainerProxy | OwnContainerProxy | OwnAioContainerProxy


class Driver:
    """Calls a container of either SDK, or of `tenantry_client.cosmos`, which is `own`."""

    def __init__(self, database: AnyDatabase, container: AnyContainer, *, aio: bool) -> None:
        self.own = type(container).__module__.startswith("tenantry_client.")
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
