"""Start the platform and the app as `python -m local` does, and speak to the app as its users do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.isolation import KEY_OF_A_REQUEST, NAMES, SETUP, operation
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
FREE_PORTS = ("--port", "--cosmos-port", "--servicebus-port", "--llm-port", "--azurite-port")
ADMIN_KEY = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]["ADMIN_API_KEY"]


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    client: httpx.Client
    key: str

    def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request and return whatever comes."""
        content = None if body is None else json.dumps(body)
        sent = {"authorization": f"Bearer {self.key}"} | headers
        return self.client.request(method, path, content=content, headers=sent)

    def must(self, method: str, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401  # JSON of any shape
        """Send a request that has to succeed and return its JSON."""
        answer = self.send(method, path, body, **headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


@dataclass
class Platform:
    """A running platform with the app on it."""

    process: subprocess.Popen[str]
    addresses: dict[str, str]
    client: httpx.Client
    new_tenants: list[str] = field(default_factory=list)
    shared_tenants: list[str] = field(default_factory=list)

    @property
    def admin(self) -> Caller:
        """The platform's administrator."""
        return Caller(self.client, ADMIN_KEY)

    def caller(self, tenant_id: str, role: str = "tenant_admin") -> Caller:
        """Make a key for a tenant."""
        body = {"name": "a test's", "role": role}
        key = self.admin.must("POST", f"/api/v1/tenants/{tenant_id}/keys", body)
        return Caller(self.client, key["key"])

    def new_tenant(self, tier: str = "standard") -> str:
        """Create a tenant that no other test knows."""
        tenant_id = f"t-{uuid.uuid4().hex[:12]}"
        self.admin.must("POST", "/api/v1/tenants", {"tenant_id": tenant_id, "name": tenant_id, "tier": tier})
        self.new_tenants.append(tenant_id)
        return tenant_id

    def share_new_tenants(self) -> None:
        """Keep the tenants that were made since the last test for those to come."""
        self.shared_tenants += self.new_tenants
        self.new_tenants.clear()

    def suspend_tenants(self, *, shared: bool) -> None:
        """Suspend the tenants that a test has made: a sweep looks through the active ones alone.

        Args:
            shared: Whether those that several tests share are done with, too.
        """
        if shared:
            self.share_new_tenants()
        done_with = self.shared_tenants if shared else self.new_tenants
        while done_with:
            answer = self.admin.send("PATCH", f"/api/v1/tenants/{done_with.pop()}", {"status": "suspended"})
            assert answer.status_code in {200, 404, 409}, answer.text  # a test may have removed it

    def kill_everything(self) -> None:
        """Kill -9 the supervisor and all that it started, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def running_platform(
    data_dir: Path, *flags: str, settings: Mapping[str, str] | None = None, root: Path = ROOT
) -> Iterator[Platform]:
    """Run everything on free ports until the block ends, and check that it stops cleanly unless killed.

    Args:
        data_dir: Where it stores.
        flags: Of the command.
        settings: Of the environment.
        root: The tree whose code it is.
    """
    ports = [part for option in FREE_PORTS for part in (option, "0")]
    with (data_dir.parent / f"{data_dir.name}.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-m", "local", *ports, "--data-dir", str(data_dir), *flags],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**_without_a_model(os.environ), **(settings or {})},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready "), f"the platform did not start, see {log.name}: {line}"
            addresses = json.loads(line.removeprefix("ready "))
            with httpx.Client(
                base_url=addresses.get("app", ""), timeout=60, trust_env=False, verify=NO_TLS
            ) as client:
                yield Platform(process, addresses, client)
        finally:
            if process.stdout is not None:
                process.stdout.close()
            if process.poll() is None:
                process.terminate()
                assert process.wait(60) == 0, "the platform did not stop cleanly"


def emulator_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the addresses of services that run by themselves, by the names of the ready line.

    They are those of the environment's settings, else of the sample's.
    """
    settings = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"] | environment
    broker = re.search(r"sb://([^;/]+)", settings["SERVICEBUS"])
    blobs = re.search(r"BlobEndpoint=([^;]+)", settings["STORAGE"])
    assert broker is not None
    assert blobs is not None
    return {
        "cosmos": settings["COSMOS_ENDPOINT"],
        "servicebus": f"sb://{broker[1]}",
        "blob": blobs[1].rstrip("/"),
    }


def _without_a_model(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out a model of the developer's own: tests pay for none."""
    return {name: value for name, value in environment.items() if not name.startswith("AZURE_OPENAI_")}


def own_everything(owner: Caller, tenant_id: str) -> dict[str, str]:
    """Let a tenant come by something of everything; return what that is called, by path parameter."""
    names = dict(NAMES) | {"tenant_id": tenant_id}
    for step in SETUP:
        one = operation(step.operation)
        path = one.template.format_map(one.address(names))
        key = {"idempotency-key": KEY_OF_A_REQUEST + step.operation} if one.method == "POST" else {}
        answer = owner.must(one.method, path, step.body, **key)
        names |= {name: answer[member] for name, member in step.learns.items()}
    return names


def wait_for[T](
    ask: Callable[[], T], done: Callable[[T], bool], seconds: float = 60, hint: str = "last seen"
) -> T:
    """Ask until the answer is the wanted one, and return it; the hint says what the last one was."""
    until = time.monotonic() + seconds
    while not done(answer := ask()):
        assert time.monotonic() < until, f"it did not come about within {seconds} s; {hint}: {answer}"
        time.sleep(0.05)
    return answer
