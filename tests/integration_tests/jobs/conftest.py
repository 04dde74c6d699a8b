"""Two instances of the app, whose dead workers are missed after seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.supervisor.options import ROOT
from tests.integration_tests.conftest import PERIODS
from tests.integration_tests.jobs.instances import Instances
from tests.integration_tests.platform import running_platform
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK, HOLD_SECONDS = "PT5S", 12 if SOAK else 6
"""The broker's lock and a worker's lease: much shorter than a deployment's, so that nobody waits. In a soak
what is sent behind a dead worker's job has to be answered before the lease is over: from then on another
worker has that job, and its session."""


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instances]:
    folder = tmp_path_factory.mktemp("jobs")
    flags = ("--instances", "2", "--servicebus-config", str(_write_config(folder)))
    hold = dict.fromkeys(("REASONER_HOLD_SECONDS", "FEEDBACK_HOLD_SECONDS"), str(HOLD_SECONDS))
    with running_platform(folder / "data", *flags, settings=PERIODS | hold) as running:
        yield Instances(running, folder / "data.log")


def _write_config(folder: Path) -> Path:
    """Write the declaration of the queues, with shorter locks."""
    config = json.loads((ROOT / "local" / "servicebus" / "Config.json").read_text())
    for queue in config["UserConfig"]["Namespaces"][0]["Queues"]:
        queue["Properties"]["LockDuration"] = LOCK
    path = folder / "queues.json"
    path.write_text(json.dumps(config))
    return path
