"""`python3 -m infra.hooks.smoke`: whether a deployed app works, by a tenant, turns of a bot and a job.

The address is TENANTRY_APP_URL; the administrator's key is ADMIN_API_KEY, or the one in the vault that
AZURE_KEY_VAULT_NAME names. The tenant is purged in the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.hooks.az import AzError, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY_SECONDS = 300.0
JOB_SECONDS = 120.0
_REQUEST_SECONDS = 210
_PAUSE_SECONDS = 1.0
FROM_WITHIN = (
    "the vault has a private address alone; run this from within the network: azd hooks run postdeploy"
)


class SmokeError(Exception):
    """A step that did not do what it has to."""


@dataclass(frozen=True)
class Caller:
    """Somebody with a key.

    Attributes:
        url: The app's address.
        key: An API key; empty for none.
    """

    url: str
    key: str = ""

    def send(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Send a request and return the status and the text of the answer."""
        request = urllib.request.Request(  # noqa: S310  # an address of the operator's own
            self.url.rstrip("/") + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"content-type": "application/json"}
            | ({"authorization": f"Bearer {self.key}"} if self.key else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310  # same
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def must(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON of any shape
        """Send a request that has to succeed.

        Raises:
            SmokeError: It did not.
        """
        status, text = self.send(method, path, body)
        if not 200 <= status < 300:  # noqa: PLR2004  # what success is in HTTP
            raise SmokeError(f"{method} {path}: {status or 'no answer'} {text[:500]}")
        return json.loads(text) if text.strip() else None


def wait_until(ask_for: Callable[[], Any], is_done: Callable[[Any], bool], seconds: float, what: str) -> Any:  # noqa: ANN401  # as the question has it
    """Ask until the answer is the wanted one.

    Raises:
        SmokeError: It did not come in time.
    """
    until = time.monotonic() + seconds
    while not is_done(answer := ask_for()):
        if time.monotonic() > until:
            raise SmokeError(f"{what} within {seconds:.0f} s: {json.dumps(answer)[:500]}")
        time.sleep(_PAUSE_SECONDS)
    return answer


def smoke(url: str, admin_key: str, say: Callable[[str], None]) -> None:
    """Take one way through everything, and remove what was made.

    Raises:
        SmokeError: A step did not do what it has to.
    """
    anybody, admin = Caller(url), Caller(url, admin_key)
    wait_until(
        lambda: anybody.send("GET", "/api/health/ready"),
        lambda answer: answer[0] == 200,  # noqa: PLR2004  # HTTP's own
        READY_SECONDS,
        "the app is not ready",
    )
    say("ready: every dependency answers")
    tenant_id = f"smoke-{uuid.uuid4().hex[:12]}"
    admin.must("POST", "/api/v1/tenants", {"tenant_id": tenant_id, "name": "Smoke test", "tier": "free"})
    try:
        _use(url, admin, tenant_id, say)
    finally:
        admin.must("DELETE", f"/api/v1/tenants/{tenant_id}")
    say(f"tenant {tenant_id}: is being purged")


def _use(url: str, admin: Caller, tenant_id: str, say: Callable[[str], None]) -> None:
    body = {"name": "smoke test", "role": "tenant_admin"}
    key = admin.must("POST", f"/api/v1/tenants/{tenant_id}/keys", body)["key"]
    tenant = Caller(url, key)
    say(f"tenant {tenant_id}: made, with a key")
    tenant.must("PUT", "/api/v1/bots/smoke", SMOKE_BOT)
    turn = tenant.must("POST", "/api/v1/bots/smoke/chat", {"message": "Say that you are there."})
    if not turn["response"]:
        raise SmokeError(f"the bot said nothing: {turn}")
    say(f"chat: {turn['usage']['total_tokens']} tokens")
    _stream(tenant, say)
    job = tenant.must("POST", "/api/v1/reasoning/jobs", {"text": "Is one more than zero?"})
    done = wait_until(
        lambda: tenant.must("GET", f"/api/v1/reasoning/jobs/{job['job_id']}"),
        lambda state: state["status"] in {"succeeded", "failed"},
        JOB_SECONDS,
        "the job is not over",
    )
    if done["status"] != "succeeded":
        raise SmokeError(f"the job failed: {json.dumps(done)[:500]}")
    say("job: through the queue and back")
    used = tenant.must("GET", "/api/v1/usage")
    say(f"usage: {json.dumps(used)[:120]}")


def _stream(tenant: Caller, say: Callable[[str], None]) -> None:
    """See that an answer comes as a stream that ends well."""
    body = {"message": "Count from one to twenty in words.", "stream": True}
    status, text = tenant.send("POST", "/api/v1/bots/smoke/chat", body)
    events = [line.removeprefix("event:").strip() for line in text.splitlines() if line.startswith("event:")]
    if status != 200 or events[-1:] != ["done"] or "token" not in events:  # noqa: PLR2004  # HTTP's own
        raise SmokeError(f"the stream was no stream: {status} {text[-500:]}")
    say(f"stream: {events.count('token')} parts")


SMOKE_BOT = {"system_prompt": "You answer in one short sentence."}


def find_admin_key(environment: Mapping[str, str]) -> str:
    """Return the administrator's key.

    Raises:
        AzError: The vault does not give it.
        SmokeError: Neither it nor a vault is named.
    """
    if environment.get("ADMIN_API_KEY"):
        return environment["ADMIN_API_KEY"]
    vault = environment.get("AZURE_KEY_VAULT_NAME")
    if not vault:
        raise SmokeError("neither ADMIN_API_KEY nor AZURE_KEY_VAULT_NAME is set")
    return str(ask("keyvault", "secret", "show", "--vault-name", vault, "--name", "admin-api-key")["value"])


def resolve_references(environment: Mapping[str, str]) -> None:
    """Let Azure read the app's secrets from the vault again.

    It may have tried before the identity's role was in force, and by itself does so once a day.

    Raises:
        AzError: It refused.
    """
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "TENANTRY_APP_NAME")
    subscription, group, app = (environment.get(name) for name in names)
    if subscription and group and app:
        site = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app}"
        refresh = f"{site}/config/configreferences/appsettings/refresh?api-version=2022-03-01"
        ask("rest", "--method", "post", "--url", refresh)


def main() -> int:
    """Run the test; 1 where a step fails."""
    url = os.environ.get("TENANTRY_APP_URL")
    if not url:
        print("smoke: TENANTRY_APP_URL is not set", file=sys.stderr)
        return 1
    try:
        resolve_references(os.environ)
        try:
            key = find_admin_key(os.environ)
        except AzError as error:
            if os.environ.get("TENANTRY_PRIVATE_NETWORK") != "true":
                raise
            print(f"smoke: SKIPPED, {error}\nsmoke: {FROM_WITHIN}")
            return 0
        smoke(url, key, lambda line: print(f"smoke: {line}", flush=True))
    except (SmokeError, AzError) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    print("smoke: all of it works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
