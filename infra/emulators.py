"""`python -m infra.emulators ENDPOINT`: the containers of infra/cosmos.json in the official emulator."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

DEFINITION = Path(__file__).parent / "cosmos.json"
KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
"""Published by Microsoft, the same in every emulator, and worth nothing elsewhere."""

ARGUMENTS = {
    "id": "id",
    "indexingPolicy": "indexing_policy",
    "defaultTtl": "default_ttl",
    "uniqueKeyPolicy": "unique_key_policy",
    "vectorEmbeddingPolicy": "vector_embedding_policy",
    "fullTextPolicy": "full_text_policy",
}
"""What the SDK calls the properties of a definition, its key aside."""


async def create_containers(endpoint: str, definition: dict[str, Any]) -> list[str]:
    """Create the database and its containers where they are not there; return their names."""
    async with CosmosClient(endpoint, KEY, enable_endpoint_discovery=False) as client:
        database = await client.create_database_if_not_exists(definition["database"])
        for container in definition["containers"]:
            await database.create_container_if_not_exists(**read_properties(container))
    return [container["id"] for container in definition["containers"]]


def read_properties(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container of the definition, whole, as the SDK's arguments that create it.

    Raises:
        ValueError: It has a property that would not be created.
    """
    if unknown := container.keys() - ARGUMENTS.keys() - {"partitionKey"}:
        raise ValueError(f"container {container['id']}: cannot create {', '.join(sorted(unknown))}")
    given = {ARGUMENTS[name]: value for name, value in container.items() if name in ARGUMENTS}
    return given | {"partition_key": read_key(container["partitionKey"]["paths"])}


def read_key(paths: list[str]) -> PartitionKey:
    """Return the key of one path, or of several levels."""
    return PartitionKey(paths[0]) if len(paths) == 1 else PartitionKey(paths, kind="MultiHash")


def main(endpoint: str) -> None:
    """Create them and name them."""
    names = asyncio.run(create_containers(endpoint, json.loads(DEFINITION.read_text(encoding="utf-8"))))
    print(f"emulators: {', '.join(names)}")


if __name__ == "__main__":
    main(sys.argv[1])
