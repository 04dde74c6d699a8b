"""The app runs on services that run by themselves; what makes the emulator's containers makes them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from infra.emulators import create_containers
from local.azurite.account import connection_string
from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.platform import ROOT, emulator_addresses, running_platform

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow(120)
def test_the_app_runs_on_services_that_run_by_themselves(tmp_path: Path) -> None:
    with running_platform(tmp_path / "services", "--only", "cosmos,servicebus,azurite") as services:
        ports = {name: urlsplit(address).port or 0 for name, address in services.addresses.items()}
        settings = {
            "COSMOS_ENDPOINT": services.addresses["cosmos"],
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": servicebus_connection_string(ports["servicebus"]),
            "STORAGE": connection_string(ports["blob"]),
            "AzureWebJobsStorage": connection_string(ports["blob"]),
        }
        assert emulator_addresses(settings) == services.addresses
        with running_platform(tmp_path / "app", "--only", "host,llm", settings=settings) as app:
            ready = app.client.get("/api/health/ready")

    assert ready.status_code == 200, ready.text


def test_the_emulators_containers_are_those_of_the_definition(tmp_path: Path) -> None:
    """Made once more they stay as they are; the endpoint refuses another definition of one that is there."""
    definition = json.loads((ROOT / "infra" / "cosmos.json").read_text())
    with running_endpoint(tmp_path) as endpoint:
        made = asyncio.run(create_containers(endpoint.address, definition))
        again = asyncio.run(create_containers(endpoint.address, definition | {"database": "another"}))

    assert made == again == [one["id"] for one in definition["containers"]]
