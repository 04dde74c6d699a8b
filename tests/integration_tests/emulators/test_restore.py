"""What a tenant lost comes back from an account beside; what it has, and what is others', stays as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from azure.cosmos import CosmosClient

from infra.emulators import create_containers
from infra.restore import copy_missing
from local.supervisor.addresses import COSMOS_KEY
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = "SELECT VALUE c.text FROM c WHERE c.tenant_id = 'acme' ORDER BY c.text"


async def test_only_what_is_missing_is_created_and_only_the_tenants(tmp_path: Path) -> None:
    definition = json.loads((ROOT / "infra" / "cosmos.json").read_text())
    with running_endpoint(tmp_path) as endpoint:
        await create_containers(endpoint.address, definition | {"database": "restored"})
        with CosmosClient(endpoint.address, COSMOS_KEY) as client:
            source, target = (client.get_database_client(name) for name in ("restored", "tenantry"))
            then, now = (one.get_container_client("prompts") for one in (source, target))
            then.create_item({"id": "lost", "tenant_id": "acme", "text": "lost"})
            then.create_item({"id": "kept", "tenant_id": "acme", "text": "old"})
            then.create_item({"id": "lost", "tenant_id": "globex", "text": "another's"})
            now.create_item({"id": "kept", "tenant_id": "acme", "text": "new"})

            counts = copy_missing("acme", source, target)
            again = copy_missing("acme", source, target)
            left = list(now.query_items(TEXTS, enable_cross_partition_query=True))
            foreign = list(now.query_items("SELECT VALUE c.id FROM c", partition_key="globex"))

    assert counts["prompts"] == (2, 1)
    assert again["prompts"] == (2, 0)
    assert left == ["lost", "new"]
    assert foreign == []
