"""A tenant uses everything, is exported whole, and is purged to the last item and blob."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.platform import own_everything, wait_for
from tests.integration_tests.reasoning.queues import queues_of
from tests.integration_tests.tenants.estate import BLOB_CONTAINERS, CONTAINERS, stores_of
from tests.support.isolation import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform
    from tests.integration_tests.tenants.estate import Stores

pytestmark = pytest.mark.timeout(300)

EVERYWHERE = {*CONTAINERS, *(f"blobs:{name}" for name in BLOB_CONTAINERS)}


@dataclass
class World:
    """A tenant that has used everything, and the stores behind the app."""

    platform: Platform
    stores: Stores
    tenant_id: str
    boss: Caller

    @property
    def path(self) -> str:
        return f"/api/v1/tenants/{self.tenant_id}"


@pytest.fixture(scope="module")
def world(platform: Platform) -> Iterator[World]:
    with stores_of(platform) as stores:
        tenant_id = platform.new_tenant("premium")
        boss = platform.caller(tenant_id)
        use_everything(platform, stores, tenant_id, boss)
        wait_for(
            lambda: {name for name, count in stores.owned(tenant_id).items() if not count},
            lambda empty: empty == set(),
            seconds=90,
            hint="empty places; a step of SETUP in tests/support/isolation.py gives a tenant something there",
        )
        yield World(platform, stores, tenant_id, boss)


def use_everything(platform: Platform, stores: Stores, tenant_id: str, boss: Caller) -> None:
    boss.must("PUT", "/api/v1/settings/logs.keep_content", {"value": True})
    names = own_everything(boss, tenant_id)
    for conversation_id in ("c1", "c2"):
        for message in ("The first question", "The second one"):
            body = {"message": message, "conversation_id": conversation_id}
            boss.must("POST", f"/api/v1/bots/{names['bot_id']}/chat", body)
    used = {"app_id": "secretapp", "request_id": names["lock_id"], "prompt_tokens": 3, "completion_tokens": 2}
    boss.must("POST", "/api/v1/tokens/report", used)
    with queues_of(platform) as queues:
        other: dict[str, object] = {"tenant_id": tenant_id, "id": names["job_id"], "text": "something else"}
        queues.send(other, f"{tenant_id}-other", f"{tenant_id}#0")
    platform.admin.must("GET", "/api/v1/bots", **{"x-tenant-id": tenant_id})
    jobs = stores.storage.get_container_client("jobs")
    jobs.upload_blob(f"{tenant_id}/{'0' * 64}.json", b"{}")  # as a crash leaves it before the job is stored


def exported(world: World, limit: int = 40) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = world.boss.must("GET", f"{world.path}/export?limit={limit}{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_an_export_has_everything(world: World) -> None:
    found = exported(world)

    places: dict[str, int] = {}
    for thing in found:
        places[thing["container"]] = places.get(thing["container"], 0) + 1
    stored = world.stores.owned(world.tenant_id)
    still = {"tenants", "prompts", "bots", "conversations", "jobs", "idempotency", "quarantine"}
    assert {name: places[name] for name in still} == {name: stored[name] for name in still}
    assert set(places) == EVERYWHERE
    text = json.dumps(found)
    assert SECRET in text
    assert world.boss.key.rpartition(".")[2] not in text
    assert '"hash"' not in text


def test_a_blob_is_exported_with_its_content(world: World) -> None:
    blobs = [thing["blob"] for thing in exported(world) if thing["container"] == "blobs:logs"]
    part = world.boss.must("GET", f"{world.path}/export/blob?name={blobs[0]['name']}")

    lines = gzip.decompress(base64.b64decode(part["content"])).decode().splitlines()
    assert part["size"] == blobs[0]["size"] > 0
    assert {json.loads(line)["tenant_id"] for line in lines} == {world.tenant_id}
    end = world.boss.must("GET", f"{world.path}/export/blob?name={blobs[0]['name']}&offset={part['size']}")
    assert (end["content"], end["next_offset"], end["size"]) == ("", None, part["size"])
    away = f"{world.tenant_id}/../{world.tenant_id}/x"
    assert world.boss.send("GET", f"{world.path}/export/blob?name={away}").status_code == 404


def test_a_forged_cursor_of_blobs_is_refused_or_stays_in_the_tenants_own(world: World) -> None:
    place = f"blobs:{BLOB_CONTAINERS[0]}"
    for after in ("junk", "\x01", "_platform/2026-01-31/x.jsonl", "2!92!MDAwMDA2IQ--"):
        forged = json.dumps({"place": place, "levels": [], "after": after}).encode()
        cursor = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        answer = world.boss.send("GET", f"{world.path}/export?cursor={cursor}")

        assert answer.status_code in {200, 422}, answer.text
        if answer.status_code == 200:
            names = [thing["blob"]["name"] for thing in answer.json()["items"]]
            assert all(name.startswith(f"{world.tenant_id}/") for name in names)


def test_a_purge_leaves_nothing_anywhere_and_says_so(world: World) -> None:
    neighbour = world.platform.new_tenant()
    world.platform.caller(neighbour).must("PUT", "/api/v1/prompts/mine", {"template": "stays"})
    before = world.stores.owned(neighbour)
    admin = world.platform.admin

    asked = admin.send("DELETE", world.path)
    late = world.boss.send("GET", "/api/v1/bots")
    purged = wait_for(
        lambda: admin.must("GET", asked.headers["location"]),
        lambda tenant: tenant["status"] == "purged",
        seconds=120,
    )

    assert (asked.status_code, late.status_code) == (202, 401)
    nothing = dict.fromkeys(EVERYWHERE, 0)
    assert purged["purge"]["counts"] == nothing | {"quarantine:unattributed": 0}
    assert world.stores.owned(world.tenant_id) == nothing
    assert {name for name, count in purged["purge"]["removed"].items() if count} == EVERYWHERE
    after = world.stores.owned(neighbour)
    grown = {name for name, count in after.items() if count != before[name]}
    assert grown <= {"log_index", "blobs:logs"}, "its logs are shipped meanwhile; nothing else moves"
    again = {"tenant_id": world.tenant_id.upper(), "name": "again"}
    assert admin.send("POST", "/api/v1/tenants", again).status_code == 409
    assert world.boss.send("GET", "/api/v1/bots").status_code == 401
    assert admin.send("GET", "/api/v1/bots", **{"x-tenant-id": world.tenant_id}).status_code == 404
