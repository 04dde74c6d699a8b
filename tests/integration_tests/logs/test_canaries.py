"""Secrets, prompts and personal data, other ones in each run, are in no log of app or platform."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import BlobServiceClient

from tests.integration_tests.conftest import PERIODS
from tests.integration_tests.local_host.parts import blob_connection
from tests.integration_tests.platform import running_platform, wait_for
from tests.support.canaries import Canaries
from tests.support.isolation import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.integration_tests.platform import Caller, Platform
    from tests.support.canaries import CanaryCall

SETTINGS = PERIODS | {
    "WEBHOOKS_ALLOW_LOOPBACK": "true",
    "LOG_LEVEL": "DEBUG",
    "WEBHOOK_SCHEDULE": "*/1 * * * * *",
    "REQUESTS_PER_MINUTE_PREMIUM": "1000000",
}


class _Receiver(BaseHTTPRequestHandler):
    """Takes deliveries whose path ends so, and fails all others; it notes what they said."""

    told: list[bytes]

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200 if self.path.endswith("taken") else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[tuple[str, list[bytes]]]:
    """Receive webhooks on this machine; gives the address and what is told."""
    told: list[bytes] = []
    handler = type("Receiver", (_Receiver,), {"told": told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(caller: Caller, call: CanaryCall) -> httpx.Response:
    """Send a call, and read all of a stream."""
    path = call.operation.template.format_map(dict(call.path))
    address = f"{path}?{call.query}" if call.query else path
    headers = {"authorization": f"Bearer {caller.key}"} | dict(call.headers)
    content = None if call.body is None else json.dumps(call.body)
    return caller.client.request(call.operation.method, address, content=content, headers=headers)


def tell_webhooks(caller: Caller, canaries: Canaries, address: str, told: list[bytes]) -> None:
    """Let the ends of jobs be told to a receiver that takes them, and to one that fails."""
    for ending in ("taken", "failed"):
        url = f"{address}/{canaries.word()}/{ending}"
        canaries.learn(caller.must("POST", "/api/v1/webhooks", {"url": url, "events": ["job.succeeded"]}))
        job = {"id": f"told-{ending}", "text": canaries.text(), "callback_url": url}
        caller.must("POST", "/api/v1/reasoning/jobs", job)
    wait_for(lambda: len(told), lambda count: count >= 2, 90)


def own_something(platform: Platform, canaries: Canaries, tenant: str) -> tuple[Caller, dict[str, str]]:
    """Let a tenant come by something of everything; return its administrator, and what that is called."""
    boss = platform.caller(tenant)
    canaries.known.add(boss.key)
    names = dict(NAMES) | {"tenant_id": tenant}
    for call in canaries.setup(names):
        answer = send(boss, call)
        if answer.is_success:
            learnt: Any = answer.json()
            names |= {name: learnt[member] for name, member in call.learns.items()}
            canaries.learn(learnt)
    return boss, names


def use_everything(
    platform: Platform, canaries: Canaries, tenant: str, address: str, told: list[bytes]
) -> None:
    """Call each operation with canaries: as it should be, broken, as a stream."""
    boss, names = own_something(platform, canaries, tenant)
    tell_webhooks(boss, canaries, address, told)
    for call in canaries.calls(names):
        answer = send(boss, call)
        if answer.is_success and answer.headers.get("content-type") == "application/json":
            canaries.learn(answer.json())
    last = "the-last-one-of-this-test"
    boss.must("GET", "/api/v1/me", **{"x-request-id": last})
    wait_for(lambda: boss.must("GET", f"/api/v1/logs?request_id={last}")["items"], bool, 90)


def read_blobs(platform: Platform) -> dict[str, dict[str, str]]:
    """Return the text of each blob, by container and name."""
    port = int(platform.addresses["blob"].rpartition(":")[2].partition("/")[0])
    found: dict[str, dict[str, str]] = {"logs": {}, "content": {}}
    with BlobServiceClient.from_connection_string(blob_connection(port)) as client:
        for container, texts in found.items():
            opened = client.get_container_client(container)
            for blob in opened.list_blobs():
                content = opened.download_blob(blob.name).readall()
                plain = gzip.decompress(content) if blob.name.endswith(".gz") else content
                texts[blob.name] = plain.decode()
    return found


@pytest.mark.timeout(400)
@pytest.mark.slow(120)
def test_no_canary_is_in_any_log_of_the_app_or_of_the_platform(tmp_path: Path) -> None:
    canaries = Canaries()
    data = tmp_path / "data"
    with receiving() as (address, told), running_platform(data, settings=SETTINGS) as platform:
        keeping, silent = platform.new_tenant("premium"), platform.new_tenant("premium")
        platform.caller(keeping).must("PUT", "/api/v1/settings/logs.keep_content", {"value": True})
        own_something(platform, canaries, silent)
        use_everything(platform, canaries, keeping, address, told)
        blobs = read_blobs(platform)
        manifests = platform.caller(silent).must("GET", "/api/v1/logs/summary")
    said = (tmp_path / "data.log").read_text(errors="replace")
    left = "".join(path.read_text(errors="replace") for path in (data / "logs").iterdir())
    logged = {"the platform's": said, "files": left} | blobs["logs"]

    assert manifests["chunks"] > 0
    assert len(said) > 100_000, "the platform did log"
    assert {name: found for name, text in logged.items() if (found := canaries.found_in(text))} == {}
    contents = blobs["content"]
    assert {name.partition("/")[0] for name in contents} == {keeping}
    assert {canary for text in contents.values() for canary in canaries.found_in(text)}
