"""What is stored for a tenant is purged and exported from the day on which its container is defined."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from functions.tenants.estate import BLOB_CONTAINERS, CONTAINERS
from shared.settings import Settings
from shared.tenancy.credentials import MAX_TTL_SECONDS

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
    hours, minutes, seconds = map(
        int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":")
    )
    longest = timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()

    assert Settings.model_fields["purge_settle_seconds"].default >= longest + MAX_TTL_SECONDS + 30
