"""npm's `@azure/service-bus` against the endpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration_tests.local_servicebus.endpoint import Endpoint

FOLDER = Path(__file__).with_name("node")


@pytest.fixture(scope="module")
def node() -> str:
    """Give the path of Node with the SDK installed next to the check."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    if executable is None or npm is None:
        pytest.skip("Node and npm are not installed")
    if not (FOLDER / "node_modules" / "@azure" / "service-bus").is_dir():
        installed = subprocess.run(  # noqa: S603 - what which() found
            [npm, "ci", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if installed.returncode != 0:
            pytest.skip(f"npm cannot install @azure/service-bus: {installed.stderr.strip()[-300:]}")
    return executable


def test_the_sdk_for_javascript_works_on_queues_and_sessions(endpoint: Endpoint, node: str) -> None:
    done = subprocess.run(  # noqa: S603 - what which() found
        [node, str(FOLDER / "check.mjs"), endpoint.connection_string()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "first": {"body": {"greeting": "hi"}, "id": "1", "n": 7, "count": 0},
        "renewed": True,
        "again": {"body": "abandon", "count": 1, "tried": 1},
        "peeked": [["defer", "deferred"]],
        "deferred": "defer",
        "dead": ["bury", "why", "because"],
        "pump": "function",
        "pumped": "soon",
        "session": "s",
        "state": {"half": "way"},
        "sessionRenewed": True,
        "bodies": ["a", "b"],
        "unknown": "MessagingEntityNotFound",
    }
