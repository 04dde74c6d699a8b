"""What makes the containers of the official emulator, on the local endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from infra.emulators import create_containers
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_emulators_containers_are_those_of_the_definition(tmp_path: Path) -> None:
    """Made once more they stay as they are; the endpoint refuses another definition of one that is there."""
    definition = json.loads((ROOT / "infra" / "cosmos.json").read_text())
    with running_endpoint(tmp_path) as endpoint:
        made = asyncio.run(create_containers(endpoint.address, definition))
        again = asyncio.run(create_containers(endpoint.address, definition | {"database": "another"}))

    assert made == again == [one["id"] for one in definition["containers"]]
