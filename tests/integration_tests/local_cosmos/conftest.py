"""One endpoint for the module, one fresh container per test, through both SDKs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.aio import CosmosClient as AioCosmosClient

from local.cosmos.wire.authorization import EMULATOR_KEY
from tenantry_client.cosmos import CosmosClient as OwnClient
from tenantry_client.cosmos.aio import CosmosClient as OwnAioClient
from tests.integration_tests.local_cosmos.driver import Driver
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration_tests.local_cosmos.endpoint import Endpoint

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running_endpoint(tmp_path_factory.mktemp("cosmos")) as running:
        yield running


@pytest.fixture(params=["sync", "aio", "own-sync", "own-aio"])
async def sdk(endpoint: Endpoint, request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """A container partitioned by /pk, through azure-cosmos and through `tenantry_client.cosmos`."""
    name = f"c{next(_numbers)}"
    kind = CosmosClient if request.param == "sync" else OwnClient
    if request.param.endswith("sync"):
        with kind(endpoint.address, EMULATOR_KEY) as client:
            database = client.get_database_client("tenantry")
            yield Driver(database, database.create_container(name, PartitionKey("/pk")), aio=False)
            database.delete_container(name)
        return
    transport = AioHttpTransport(use_env_settings=False)
    opened = (
        AioCosmosClient(endpoint.address, EMULATOR_KEY, transport=transport)
        if request.param == "aio"
        else OwnAioClient(endpoint.address, EMULATOR_KEY)
    )
    async with opened as aio_client:
        aio_database = aio_client.get_database_client("tenantry")
        yield Driver(aio_database, await aio_database.create_container(name, PartitionKey("/pk")), aio=True)
        await aio_database.delete_container(name)
