"""The endpoint as a process of its own, as the supervisor runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "SAS_KEY_VALUE"
QUEUES: dict[str, dict[str, object]] = {
    "plain": {},
    "brief": {"LockDuration": "PT1S", "MaxDeliveryCount": 2},
    "short": {"LockDuration": "PT4S"},
    "crowded": {},
    "sessions": {"RequiresSession": True},
    "brief-sessions": {"RequiresSession": True, "LockDuration": "PT2S"},
    "dedup": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT10M"},
    "mortal": {"DefaultMessageTimeToLive": "PT1S", "DeadLetteringOnMessageExpiration": True},
    "vanishing": {"DefaultMessageTimeToLive": "PT1S", "DeadLetteringOnMessageExpiration": False},
    "node": {},
    "node-sessions": {"RequiresSession": True},
}


@dataclass
class Endpoint:
    """A running endpoint."""

    process: subprocess.Popen[str]
    port: int

    def connection_string(self, key: str = KEY) -> str:
        return (
            f"Endpoint=sb://localhost:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            f"SharedAccessKey={key};UseDevelopmentEmulator=true;"
        )

    def admin(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as response:  # noqa: S310 - to localhost
            return json.load(response)

    def depth(self, queue: str) -> dict[str, int]:
        found: dict[str, int] = next(
            entry for entry in self.admin("GET", "/status")["queues"] if entry["name"] == queue
        )
        return found


def write_config(folder: Path) -> Path:
    """Write a Config.json that declares all queues of the tests."""
    queues = [{"Name": name, "Properties": properties} for name, properties in QUEUES.items()]
    topics = [{"Name": "a-topic", "Properties": {}, "Subscriptions": []}]
    path = folder / "Config.json"
    namespace = {"Name": "sbemulatorns", "Queues": queues, "Topics": topics}
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "File"}}}))
    return path


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[Endpoint]:
    """Run an endpoint on the folder's data; it ends when the block does."""
    command = [
        sys.executable,
        "-m",
        "local.servicebus",
        "--port",
        str(port),
        "--data-dir",
        str(folder / "data"),
    ]
    command += ["--config", str(write_config(folder))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), line
        try:
            yield Endpoint(process, json.loads(line.removeprefix("listening "))["port"])
        finally:
            process.stdin.close()
            process.wait(timeout=10)
