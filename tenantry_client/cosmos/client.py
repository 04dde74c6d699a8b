"""The client without asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from tenantry_client.cosmos.blocking_pool import BlockingPool, run_to_end
from tenantry_client.cosmos.client_core import (
    MAX_CONNECTIONS,
    ClientCore,
    ClientOptions,
    parse_connection_string,
)
from tenantry_client.cosmos.database import DatabaseProxy
from tenantry_client.cosmos.delegation import Delegated, missing_sdk, options_of_sdk, refuse_properties
from tenantry_client.cosmos.transport import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class CosmosClient:
    """An account. One client for a program's life: its connections are what makes it fast.

    Args:
        url: The account's address.
        credential: Its key, resource tokens, or a credential of `azure.identity`.
        options: See `ClientOptions`.

    Threads may share it. No call starts a thread: each runs the coroutine that the other client runs, over
    connections that block.
    """

    list_databases = Delegated()
    get_database_account = Delegated()
    query_databases = Delegated()

    def __init__(self, url: str, credential: Any, **options: Unpack[ClientOptions]) -> None:  # noqa: ANN401 - whatever the caller or the service has
        pool = BlockingPool(
            tls_context(options.get("connection_verify", True)),
            options.get("max_connections", MAX_CONNECTIONS),
        )
        self.client_connection: ClientCore = ClientCore(url, credential, options, pool)
        self._sdk_client: Any = None
        run_to_end(self.client_connection.gateway.open())

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

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections; what is waiting for an answer fails."""
        run_to_end(self.client_connection.transport.close())
        if self._sdk_client is not None:
            self._sdk_client.__exit__(None, None, None)

    def get_database_client(self, database: str | DatabaseProxy | Mapping[str, Any]) -> DatabaseProxy:
        """Return a database; whether it is there shows when it is used."""
        if isinstance(database, str):
            return DatabaseProxy(self, database)
        return DatabaseProxy(
            self, database.id if isinstance(database, DatabaseProxy) else str(database["id"])
        )

    def create_database(self, id: str, **options: Any) -> DatabaseProxy:  # noqa: A002, ANN401 - azure-cosmos's name for it
        """Make a database."""
        refuse_properties(options)
        self.sdk("create_database").create_database(id, **options)
        return DatabaseProxy(self, id)

    def create_database_if_not_exists(self, id: str, **options: Any) -> DatabaseProxy:  # noqa: A002, ANN401 - azure-cosmos's name for it
        """Make a database where there is none of this name."""
        refuse_properties(options)
        self.sdk("create_database_if_not_exists").create_database_if_not_exists(id, **options)
        return DatabaseProxy(self, id)

    def delete_database(
        self,
        database: str | DatabaseProxy | Mapping[str, Any],
        **options: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> None:
        """Remove a database with all its containers."""
        self.sdk("delete_database").delete_database(self.get_database_client(database).id, **options)

    def sdk(self, method: str | None = None) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        """Return azure-cosmos's client of the same account, for what this one does not do.

        Args:
            method: What it is to do, to be counted.
        """
        if method is not None:
            self.client_connection.delegated[method] += 1
        if self._sdk_client is None:
            try:
                from azure.cosmos import CosmosClient as SdkClient  # noqa: PLC0415 - optional, and slow to import
            except ImportError as error:
                raise missing_sdk(error) from error
            core = self.client_connection
            self._sdk_client = SdkClient(core.url, core.credential, **options_of_sdk(dict(core.options)))
        return self._sdk_client

    def _sdk(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        return self.sdk()
