"""Keys and user tokens over sockets, on two app processes that know of each other only by their store."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from shared.clock import SystemClock
from tests.integration_tests.platform import Caller, Platform, running_platform, wait_for
from tests.support.identity_provider import AUDIENCE, IdentityProvider
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.timeout(300)

SIZE = sized(300)
CACHE_SECONDS = 20 if SOAK else 1
"""The default where the claim is measured in full; the same code with less of it otherwise."""

IN_FORCE_EVERYWHERE_SECONDS = 30
BOTS = "/api/v1/bots"


@contextmanager
def serving(provider: IdentityProvider) -> Iterator[None]:
    """Publish the provider's documents on a port of their own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = provider.document(provider.issuer + self.path)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        provider.jwks_url = provider.issuer + "/keys"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Instances:
    """Two processes of the app on one store."""

    here: Platform
    there: Platform
    provider: IdentityProvider

    def both(self, key: str) -> tuple[Caller, Caller]:
        return Caller(self.here.client, key), Caller(self.there.client, key)


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instances]:
    folder = tmp_path_factory.mktemp("instances")
    provider = IdentityProvider(clock=SystemClock())
    with serving(provider):
        settings = {
            "AUTH_CACHE_SECONDS": str(CACHE_SECONDS),
            "OIDC_ISSUER": provider.issuer,
            "OIDC_AUDIENCE": AUDIENCE,
            "OIDC_ALLOW_HTTP": "true",
        }
        parts = "host,cosmos,servicebus,llm"
        with running_platform(folder / "here", "--only", parts, settings=settings) as here:
            bus = int(here.addresses["servicebus"].rsplit(":", 1)[1])
            settings |= {
                "COSMOS_ENDPOINT": here.addresses["cosmos"],
                "COSMOS_KEY": COSMOS_KEY,
                "SERVICEBUS": servicebus_connection_string(bus),
                "AZURE_OPENAI_ENDPOINT": here.addresses["llm"],
            }
            with running_platform(folder / "there", "--only", "host", settings=settings) as there:
                yield Instances(here, there, provider)


@dataclass(frozen=True)
class Tenant:
    """A tenant with its administrator on the first instance."""

    tenant_id: str
    boss: Caller

    @property
    def keys(self) -> str:
        return f"/api/v1/tenants/{self.tenant_id}/keys"

    def make(self, **body: object) -> dict[str, str]:
        made: dict[str, str] = self.boss.must("POST", self.keys, {"name": "a key"} | body)
        return made


@pytest.fixture
def tenant(instances: Instances) -> Tenant:
    tenant_id = instances.here.new_tenant()
    return Tenant(tenant_id, instances.here.caller(tenant_id))


def asks(caller: Caller) -> int:
    return caller.send("GET", BOTS).status_code


def dies(caller: Caller) -> float:
    """Wait until a key that is in constant use is refused; it must stay so. Returns the seconds."""
    since = time.monotonic()
    statuses: list[int] = []

    def ask() -> int:
        statuses.append(asks(caller))
        return statuses[-1]

    wait_for(ask, lambda status: status == 401)
    seconds = time.monotonic() - since
    assert set(statuses) <= {200, 401}
    assert {asks(caller) for _ in range(20)} == {401}
    return seconds


@SIZE
def test_a_revoked_key_dies_at_once_here_and_soon_on_the_other_instance(
    instances: Instances, tenant: Tenant
) -> None:
    made = tenant.make()
    here, there = instances.both(made["key"])
    assert (asks(here), asks(there)) == (200, 200)

    tenant.boss.must("DELETE", f"{tenant.keys}/{made['key_id']}")

    assert asks(here) == 401
    seconds = dies(there)
    assert seconds < IN_FORCE_EVERYWHERE_SECONDS
    assert CACHE_SECONDS < IN_FORCE_EVERYWHERE_SECONDS
    if SOAK:
        print(f"a revoked key died on the other instance after {seconds:.1f} s")  # noqa: T201  # the sum


def test_a_suspended_tenants_keys_die_and_live_again_on_both(instances: Instances, tenant: Tenant) -> None:
    made = tenant.make()
    here, there = instances.both(made["key"])
    assert (asks(here), asks(there)) == (200, 200)
    path = f"/api/v1/tenants/{tenant.tenant_id}"

    instances.here.admin.must("PATCH", path, {"status": "suspended"})
    assert asks(here) == 401
    assert dies(there) < IN_FORCE_EVERYWHERE_SECONDS

    instances.here.admin.must("PATCH", path, {"status": "active"})
    assert asks(here) == 200
    assert wait_for(lambda: asks(there), lambda status: status == 200) == 200


def test_a_rotated_key_goes_on_for_the_overlap_and_then_ends_on_both(
    instances: Instances, tenant: Tenant
) -> None:
    old = tenant.make(name="ci", role="tenant_admin")
    old_here, old_there = instances.both(old["key"])
    assert (asks(old_here), asks(old_there)) == (200, 200)

    overlap = CACHE_SECONDS + 2
    new = tenant.boss.must("POST", f"{tenant.keys}/{old['key_id']}/rotate", {"overlap_seconds": overlap})

    new_here, new_there = instances.both(new["key"])
    assert (asks(new_here), asks(new_there)) == (200, 200)
    assert (asks(old_here), asks(old_there)) == (200, 200)
    assert dies(old_here) < overlap + IN_FORCE_EVERYWHERE_SECONDS
    assert dies(old_there) < IN_FORCE_EVERYWHERE_SECONDS
    assert (asks(new_here), asks(new_there)) == (200, 200)


def test_each_change_of_keys_and_each_act_of_the_administrator_is_in_the_trail_of_the_other_instance(
    instances: Instances, tenant: Tenant
) -> None:
    made = tenant.make()
    tenant.boss.must("DELETE", f"{tenant.keys}/{made['key_id']}")
    _, there = instances.both(tenant.boss.key)
    instances.there.admin.must("GET", BOTS, **{"x-tenant-id": tenant.tenant_id})

    entries = there.must("GET", "/api/v1/audit?limit=100")["items"]

    done = {(entry["action"], entry["subject"], entry["actor"]["kind"]) for entry in entries}
    assert ("key.create", made["key_id"], "key") in done
    assert ("key.revoke", made["key_id"], "key") in done
    assert ("admin.act", "list_bots", "administrator") in done
    assert made["key"] not in str(entries)


def test_users_of_one_tenant_see_their_own_conversations_on_both(
    instances: Instances, tenant: Tenant
) -> None:
    tenant.boss.must("PUT", f"{BOTS}/b", {"system_prompt": "Be brief."})
    alice, alice_there = instances.both(instances.provider.token(tid=tenant.tenant_id, sub="alice"))
    bob, bob_there = instances.both(instances.provider.token(tid=tenant.tenant_id, sub="bob"))
    turn = {"message": "mine alone", "conversation_id": "c"}
    alice.must("POST", f"{BOTS}/b/chat", turn)

    def conversation(caller: Caller) -> httpx.Response:
        return caller.send("GET", f"{BOTS}/b/conversations/c")

    assert conversation(alice_there).json()["user_id"] == "alice"
    for stranger in (bob, bob_there):
        assert conversation(stranger).status_code == 404
        assert stranger.send("DELETE", f"{BOTS}/b/conversations/c").status_code == 404
        assert stranger.must("GET", f"{BOTS}/b/conversations")["items"] == []
    begun, continued = [one.must("POST", f"{BOTS}/b/chat", turn) for one in (bob, bob_there)]
    assert (begun["turn"], continued["turn"]) == (1, 2)
    for owner, turns in ((alice_there, 1), (bob, 2), (tenant.boss, 1)):
        assert conversation(owner).json()["turns"] == turns
    assert bob.send("GET", "/api/v1/audit").status_code == 403


def test_forged_tokens_are_refused_by_the_running_app(instances: Instances, tenant: Tenant) -> None:
    provider = instances.provider
    mine = tenant.tenant_id
    assert asks(Caller(instances.here.client, provider.token(tid=mine))) == 200

    for token in (
        provider.unsigned(),
        provider.token(aud="api://other", tid=mine),
        provider.token(exp=int(time.time()) - 120, tid=mine),
        provider.token(headers={"kid": "other"}, tid=mine),
        provider.token(tid="nobody-has-this"),
    ):
        assert asks(Caller(instances.here.client, token)) == 401
