"""One endpoint for the module, one fresh container per test, through both SDKs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.aio import CosmosClient as AioCosmosClient

from local.cosmos.wire.authorization import EMULATOR_KEY
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


@pytest.fixture(params=["sync", "aio"])
async def sdk(endpoint: Endpoint, request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """A container partitioned by /pk."""
    name = f"c{next(_numbers)}"
    if request.param == "sync":
        with CosmosClient(endpoint.address, EMULATOR_KEY) as client:
            database = client.get_database_client("tenantry")
            yield Driver(database, database.create_container(name, PartitionKey("/pk")), aio=False)
            database.delete_container(name)
    else:
        transport = AioHttpTransport(use_env_settings=False)
        async with AioCosmosClient(endpoint.address, EMULATOR_KEY, transport=transport) as aio_client:
            aio_database = aio_client.get_database_client("tenantry")
            yield Driver(
                aio_database, await aio_database.create_container(name, PartitionKey("/pk")), aio=True
            )
            await aio_database.delete_container(name)
