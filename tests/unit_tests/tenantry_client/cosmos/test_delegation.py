"""What azure-cosmos does in this client's place is counted, by the name of the method."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry_client.cosmos.aio import CosmosClient
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import KEY, URL


class StandIn:
    """azure-cosmos's client, which takes whatever is asked."""

    def get_database_client(self, _: str) -> StandIn:
        return self

    async def create_container(self, *_: object) -> None:
        return None

    async def create_database(self, *_: object) -> None:
        return None

    def list_containers(self) -> list[str]:
        return ["notes"]

    async def close(self) -> None:
        return None


class Client(CosmosClient):
    """A client that is given azure-cosmos's."""

    def __init__(self) -> None:
        super().__init__(URL, KEY)
        self._sdk_client: Any = StandIn()


async def test_calls_of_azure_cosmos_are_counted_and_the_client_s_own_are_not() -> None:
    client = Client()
    database = await client.create_database("shop")
    assert database.list_containers() == ["notes"]
    await database.create_container("notes", {"paths": ["/pk"]})
    (await database.create_container("more", {"paths": ["/pk"]})).client_connection.container("shop", "more")
    assert client.client_connection.delegated == {
        "create_database": 1,
        "list_containers": 1,
        "create_container": 2,
    }
    await client.close()


async def test_what_would_make_a_method_return_something_else_is_refused_by_name() -> None:
    client = Client()
    with pytest.raises(TypeError, match="return_properties"):
        await client.create_database("shop", return_properties=True)
    with pytest.raises(TypeError, match="return_properties"):
        await client.get_database_client("shop").create_container_if_not_exists(
            "notes", {"paths": ["/pk"]}, return_properties=True
        )
    await client.close()
