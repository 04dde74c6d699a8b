"""The release before and this tree on one data folder, under load: neither breaks what the other wrote.

`tests/upgrades/BASE` names the release before, by its commit until the first tag.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from local.azurite.account import connection_string
from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from tests.integration_tests.platform import emulator_addresses, running_platform
from tests.integration_tests.upgrades.story import Story
from tests.support.soak import SOAK, sized
from tests.support.working_copy import ROOT, link_ranks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.platform import Platform

BASE = (ROOT / "tests" / "upgrades" / "BASE").read_text().strip()
ROUNDS = 60 if SOAK else 4
TENANTS = 8 if SOAK else 4
SERVICES = "cosmos,servicebus,llm,azurite"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the release before into a folder."""
    folder = tmp_path_factory.mktemp("base")
    known = subprocess.run(  # noqa: S603  # git, with words of our own
        ["git", "cat-file", "-e", f"{BASE}^{{commit}}"],  # noqa: S607  # whichever git
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    if known.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"this clone does not go back to {BASE}")
    assert known.returncode == 0, f"CI has to fetch {BASE}: fetch-depth: 0"
    archive = folder / "base.tar"
    command = ["git", "archive", "--output", str(archive), BASE]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  # git, with words of our own
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    link_ranks(folder)
    return folder


def settings_for(services: Platform) -> dict[str, str]:
    ports = {name: urlsplit(address).port or 0 for name, address in services.addresses.items()}
    storage = connection_string(ports["blob"])
    return {
        "COSMOS_ENDPOINT": services.addresses["cosmos"],
        "COSMOS_KEY": COSMOS_KEY,
        "SERVICEBUS": servicebus_connection_string(ports["servicebus"]),
        "STORAGE": storage,
        "AzureWebJobsStorage": storage,
        "AZURE_OPENAI_ENDPOINT": services.addresses["llm"],
        "AZURE_OPENAI_API_KEY": "local",
    }


def without_the_model(addresses: dict[str, str]) -> dict[str, str]:
    return {name: address for name, address in addresses.items() if name != "llm"}


@sized(180)
def test_two_releases_beside_each_other_lose_and_break_nothing(base: Path, tmp_path: Path) -> None:
    with ExitStack() as running:
        services = running.enter_context(running_platform(tmp_path / "services", "--only", SERVICES))
        settings = settings_for(services)
        assert emulator_addresses(settings) == without_the_model(services.addresses), "make test-emulators"
        before = running.enter_context(
            running_platform(tmp_path / "before", "--only", "host", settings=settings, root=base)
        )
        now = running.enter_context(running_platform(tmp_path / "now", "--only", "host", settings=settings))
        stories = [Story.begin((before, now), made_on=number % 2) for number in range(TENANTS)]
        with ThreadPoolExecutor(TENANTS) as workers:
            list(workers.map(tell, stories))
        for story in stories:
            story.check()

    assert sum(len(story.turns) for story in stories) == TENANTS * ROUNDS


def tell(story: Story) -> None:
    for number in range(ROUNDS):
        story.go_on(number)
