"""The client for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from tenantry_client.cosmos.aio.connection_pool import ConnectionPool
from tenantry_client.cosmos.aio.database import DatabaseProxy
from tenantry_client.cosmos.aio.racing import race
from tenantry_client.cosmos.client_core import (
    MAX_CONNECTIONS,
    ClientCore,
    ClientOptions,
    parse_connection_string,
)
from tenantry_client.cosmos.delegation import Delegated, missing_sdk, options_of_sdk, refuse_properties
from tenantry_client.cosmos.transport import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class CosmosClient:
    """An account. One client for a program's life: its connections are what makes it fast.

    Args:
        url: The account's address.
        credential: Its key, resource tokens, or a credential of `azure.identity.aio`.
        options: See `ClientOptions`.
    """

    list_databases = Delegated()
    query_databases = Delegated()

    def __init__(self, url: str, credential: Any, **options: Unpack[ClientOptions]) -> None:  # noqa: ANN401 - whatever the caller or the service has
        pool = ConnectionPool(
            tls_context(options.get("connection_verify", True)),
            options.get("max_connections", MAX_CONNECTIONS),
        )
        self.client_connection: ClientCore = ClientCore(url, credential, options, pool, race)
        self._sdk_client: Any = None

    def __repr__(self) -> str:
        return f"<CosmosClient [{self.client_connection.url}]>"[:1024]

    @classmethod
    def from_connection_string(
        cls,
        conn_str: str,
        *,
        credential: Any = None,  # noqa: ANN401 - see above
        **options: Unpack[ClientOptions],
    ) -> Self:
        """Open the account that a connection string names."""
        url, key = parse_connection_string(conn_str)
        return cls(url, credential or key, **options)

    async def __aenter__(self) -> Self:
        """Read the account's document."""
        await self.client_connection.gateway.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; what is waiting for an answer fails."""
        await self.client_connection.transport.close()
        if self._sdk_client is not None:
            await self._sdk_client.close()

    def get_database_client(self, database: str | DatabaseProxy | Mapping[str, Any]) -> DatabaseProxy:
        """Return a database; whether it is there shows when it is used."""
        if isinstance(database, str):
            return DatabaseProxy(self, database)
        return DatabaseProxy(
            self, database.id if isinstance(database, DatabaseProxy) else str(database["id"])
        )

    async def create_database(self, id: str, **options: Any) -> DatabaseProxy:  # noqa: A002, ANN401 - azure-cosmos's name for it
        """Make a database."""
        refuse_properties(options)
        await self.sdk("create_database").create_database(id, **options)
        return DatabaseProxy(self, id)

    async def create_database_if_not_exists(self, id: str, **options: Any) -> DatabaseProxy:  # noqa: A002, ANN401 - azure-cosmos's name for it
        """Make a database where there is none of this name."""
        refuse_properties(options)
        await self.sdk("create_database_if_not_exists").create_database_if_not_exists(id, **options)
        return DatabaseProxy(self, id)

    async def delete_database(
        self,
        database: str | DatabaseProxy | Mapping[str, Any],
        **options: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> None:
        """Remove a database with all its containers."""
        await self.sdk("delete_database").delete_database(self.get_database_client(database).id, **options)

    def sdk(self, method: str | None = None) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        """Return azure-cosmos's client of the same account, for what this one does not do.

        Args:
            method: What it is to do, to be counted.
        """
        if method is not None:
            self.client_connection.delegated[method] += 1
        if self._sdk_client is None:
            try:
                from azure.cosmos.aio import CosmosClient as SdkClient  # noqa: PLC0415 - optional, and slow to import
            except ImportError as error:
                raise missing_sdk(error) from error
            core = self.client_connection
            self._sdk_client = SdkClient(core.url, core.credential, **options_of_sdk(dict(core.options)))
        return self._sdk_client

    def _sdk(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        return self.sdk()
