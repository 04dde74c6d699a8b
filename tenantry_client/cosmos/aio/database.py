"""A database for asyncio: the way to its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from tenantry_client.cosmos.aio.container import ContainerProxy
from tenantry_client.cosmos.database_reading import read_database
from tenantry_client.cosmos.delegation import ClientFace, Delegated, refuse_properties

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.answers import CosmosDict
    from tenantry_client.cosmos.client_core import ClientCore
    from tenantry_client.cosmos.partition_key import PartitionKey
    from tenantry_client.cosmos.request_options import RequestOptions


class DatabaseProxy:
    """One database. All but reading it and reaching its containers is done by azure-cosmos.

    Args:
        client: The client.
        database_id: The database.
    """

    list_containers = Delegated()
    query_containers = Delegated()
    replace_container = Delegated()
    get_throughput = Delegated()
    replace_throughput = Delegated()
    list_users = Delegated()
    query_users = Delegated()
    get_user_client = Delegated()
    create_user = Delegated()
    upsert_user = Delegated()
    replace_user = Delegated()
    delete_user = Delegated()

    def __init__(self, client: ClientFace, database_id: str) -> None:
        self.id = database_id
        self.database_link = f"dbs/{database_id}"
        self._client = client

    def __repr__(self) -> str:
        return f"<DatabaseProxy [{self.database_link}]>"[:1024]

    @property
    def client_connection(self) -> ClientCore:
        """The client behind this."""
        return self._client.client_connection

    async def read(self, **options: Unpack[RequestOptions]) -> CosmosDict:
        """Return the database's properties."""
        return await read_database(self.client_connection, self.id, options)

    def get_container_client(self, container: str | ContainerProxy | Mapping[str, Any]) -> ContainerProxy:
        """Return a container; whether it is there shows when it is used."""
        name = container if isinstance(container, str) else _id_of(container)
        return ContainerProxy(self._client, self.id, name)

    async def create_container(
        self,
        id: str,  # noqa: A002 - azure-cosmos's name for it
        partition_key: PartitionKey | Mapping[str, Any],
        **options: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> ContainerProxy:
        """Make a container."""
        refuse_properties(options)
        await self._sdk("create_container").create_container(id, partition_key, **options)
        return self.get_container_client(id)

    async def create_container_if_not_exists(
        self,
        id: str,  # noqa: A002 - azure-cosmos's name for it
        partition_key: PartitionKey | Mapping[str, Any],
        **options: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> ContainerProxy:
        """Make a container where there is none of this name."""
        refuse_properties(options)
        await self._sdk("create_container_if_not_exists").create_container_if_not_exists(
            id, partition_key, **options
        )
        return self.get_container_client(id)

    async def delete_container(
        self,
        container: str | ContainerProxy | Mapping[str, Any],
        **options: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> None:
        """Remove a container with all its items."""
        name = container if isinstance(container, str) else _id_of(container)
        await self._sdk("delete_container").delete_container(name, **options)
        self.client_connection.container(self.id, name).forget()

    def _sdk(self, method: str | None = None) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        return self._client.sdk(method).get_database_client(self.id)


def _id_of(named: ContainerProxy | Mapping[str, Any]) -> str:
    return named.id if isinstance(named, ContainerProxy) else str(named["id"])
