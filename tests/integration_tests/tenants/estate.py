"""What a tenant owns, as somebody with the platform's connection strings sees it: past the app."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient
from azure.storage.blob import BlobServiceClient

from local.azurite.account import connection_string
from local.supervisor.addresses import COSMOS_KEY
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Platform

CONTAINERS = [one["id"] for one in json.loads((ROOT / "infra" / "cosmos.json").read_text())["containers"]]
BLOB_CONTAINERS = json.loads((ROOT / "infra" / "storage.json").read_text())["containers"]


@dataclass
class Stores:
    """The stores themselves."""

    cosmos: CosmosClient
    storage: BlobServiceClient

    def owned(self, tenant_id: str) -> dict[str, int]:
        """Count a tenant's items and blobs by where they are."""
        database = self.cosmos.get_database_client("tenantry")
        found: dict[str, int] = {}
        for name in CONTAINERS:
            asked = "SELECT VALUE COUNT(1) FROM c WHERE c.tenant_id = @id"
            counted: Any = database.get_container_client(name).query_items(
                asked,
                parameters=[{"name": "@id", "value": tenant_id}],
                enable_cross_partition_query=True,
            )
            [found[name]] = counted
        for name in BLOB_CONTAINERS:
            blobs = self.storage.get_container_client(name).list_blobs(name_starts_with=f"{tenant_id}/")
            found[f"blobs:{name}"] = sum(1 for _ in blobs)
        return found


@contextmanager
def stores_of(platform: Platform) -> Iterator[Stores]:
    """Connect to a platform's stores."""
    port = int(platform.addresses["blob"].rpartition(":")[2].partition("/")[0])
    with (
        CosmosClient(platform.addresses["cosmos"], COSMOS_KEY) as cosmos,
        BlobServiceClient.from_connection_string(
            connection_string(port), api_version="2025-07-05"
        ) as storage,
    ):
        yield Stores(cosmos, storage)
