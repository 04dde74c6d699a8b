"""What is stored for a tenant is purged and exported from the day on which its container is defined."""

from __future__ import annotations

import json
from pathlib import Path

from shared.settings import Settings
from shared.tenancy.credentials import MAX_TTL_SECONDS
from shared.tenancy.owned_data import BLOB_CONTAINERS, CONTAINERS
from tests.support.fakes import host_limit_seconds

ROOT = Path(__file__).parents[3]


def test_every_container_that_is_defined_belongs_to_the_estate() -> None:
    defined = json.loads((ROOT / "infra" / "cosmos.json").read_text())["containers"]
    keys = {
        container["id"]: [path.removeprefix("/") for path in container["partitionKey"]["paths"]]
        for container in defined
    }

    assert {name: ["tenant_id", *levels] for name, levels in CONTAINERS.items()} == keys


def test_every_container_of_blobs_that_is_defined_belongs_to_the_estate() -> None:
    defined = json.loads((ROOT / "infra" / "storage.json").read_text())["containers"]

    assert list(BLOB_CONTAINERS) == defined


def test_a_purge_waits_for_whatever_may_still_write() -> None:
    settle_seconds = Settings.model_fields["purge_settle_seconds"].default
    assert settle_seconds >= host_limit_seconds() + MAX_TTL_SECONDS + 30
