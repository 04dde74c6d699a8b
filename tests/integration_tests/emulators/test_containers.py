"""What makes the containers of the official emulator, on the local endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient

from infra.emulators import ARGUMENTS, create_containers
from local.supervisor.addresses import COSMOS_KEY
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ETAG = {"path": '/"_etag"/?'}
"""The service leaves it out of each index, whatever the definition says."""


def test_the_emulators_containers_are_those_of_the_definition(tmp_path: Path) -> None:
    """Key, time to live and index of each are read back; made once more they stay as they are."""
    definition = json.loads((ROOT / "infra" / "cosmos.json").read_text())
    with running_endpoint(tmp_path) as endpoint:
        by_platform = read_back(endpoint.address, definition["database"])
        made = asyncio.run(create_containers(endpoint.address, definition | {"database": "another"}))
        by_emulators = read_back(endpoint.address, "another")
        again = asyncio.run(create_containers(endpoint.address, definition | {"database": "another"}))
        afterwards = read_back(endpoint.address, "another")

    assert made == again == [one["id"] for one in definition["containers"]]
    wanted = {one["id"]: one for one in definition["containers"]}
    for one in wanted.values():
        excluded = one["indexingPolicy"]["excludedPaths"]
        if ETAG not in excluded:
            excluded.append(ETAG)
    assert by_platform == by_emulators == afterwards == wanted


def read_back(address: str, database: str) -> dict[str, dict[str, Any]]:
    """Read the containers of a database, of each what a definition can have."""
    with CosmosClient(address, COSMOS_KEY) as client:
        found = list(client.get_database_client(database).list_containers())
    known = {*ARGUMENTS, "partitionKey"}
    return {one["id"]: {name: value for name, value in one.items() if name in known} for one in found}
