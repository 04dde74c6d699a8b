"""`python -m infra.restore`: copy what a tenant has lost from an account that was restored beside its own.

Items that the target has are left alone. Who is logged in needs a role for items on both accounts, as a
deployment's account takes no key; SOURCE_KEY and TARGET_KEY are for accounts that do, as an emulator's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosResourceExistsError
from azure.identity import DefaultAzureCredential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.cosmos import DatabaseProxy

DEFINITION = json.loads((Path(__file__).parent / "cosmos.json").read_text(encoding="utf-8"))
_OF_THE_SERVICE = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts"})


def copy_missing(tenant_id: str, source: DatabaseProxy, target: DatabaseProxy) -> dict[str, tuple[int, int]]:
    """Create each item that the target lacks; return by container how many were read and created."""
    counts = {}
    for container in DEFINITION["containers"]:
        read = created = 0
        into = target.get_container_client(container["id"])
        for item in _items(source, container["id"], tenant_id):
            read += 1
            try:
                into.create_item({name: value for name, value in item.items() if name not in _OF_THE_SERVICE})
                created += 1
            except CosmosResourceExistsError:
                continue
        counts[container["id"]] = (read, created)
    return counts


def _items(database: DatabaseProxy, name: str, tenant_id: str) -> list[dict[str, Any]]:
    found = database.get_container_client(name).query_items(
        "SELECT * FROM c WHERE c.tenant_id = @tenant",
        parameters=[{"name": "@tenant", "value": tenant_id}],
        enable_cross_partition_query=True,
    )
    return list(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy, and say how much of what."""
    parser = argparse.ArgumentParser(prog="python -m infra.restore", description=__doc__)
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--source", required=True, help="the restored account")
    parser.add_argument("--target", required=True, help="the account in use")
    read = parser.parse_args(arguments)
    databases = [
        CosmosClient(url, os.environ.get(key) or DefaultAzureCredential()).get_database_client(
            DEFINITION["database"]
        )
        for url, key in ((read.source, "SOURCE_KEY"), (read.target, "TARGET_KEY"))
    ]
    for name, (found, created) in copy_missing(read.tenant, *databases).items():
        print(f"restore: {name}: {created} of {found} were missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
