"""A Cosmos DB account by its address, for code that has no composition root."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.cosmos.aio import CosmosClient

    from shared.cosmos.container import Container


class OpensContainers(Protocol):
    """Something that opens containers on the running loop, and closes what it opened."""

    def container(self, database_name: str, container_name: str) -> Container:
        """Return a container."""
        ...

    async def close(self) -> None:
        """Close the client, if one was opened."""
        ...


class CosmosAccount:
    """An account; its client is opened on the loop that first asks for a container.

    Args:
        endpoint: The account's address.
        credential: Its key, or an identity.
    """

    def __init__(self, endpoint: str, credential: str | AsyncTokenCredential) -> None:
        self._endpoint = endpoint
        self._credential = credential

    def container(self, database_name: str, container_name: str) -> Container:
        """Return a container, behind the one retry layer."""
        from shared.cosmos.sdk import SdkContainer  # noqa: PLC0415  # the SDK loads when first used

        proxy = self._client.get_database_client(database_name).get_container_client(container_name)
        return SdkContainer(proxy, self._dependency)

    async def close(self) -> None:
        """Close the client, if one was opened."""
        client: CosmosClient | None = self.__dict__.pop("_client", None)
        if client is not None:
            await client.close()

    @cached_property
    def _client(self) -> CosmosClient:
        from shared.cosmos.sdk import open_client  # noqa: PLC0415  # the SDK loads when first used

        return open_client(self._endpoint, self._credential)

    @cached_property
    def _dependency(self) -> Dependency:
        from shared.cosmos.sdk import classify  # noqa: PLC0415  # the SDK loads when first used

        return Dependency("Cosmos DB", classify, Policy(attempt_seconds=5, total_seconds=12))
