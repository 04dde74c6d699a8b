"""Tenant B's keys on everything that is tenant A's, on each route that the contract has.

The cases are made from the OpenAPI document: a new route without a way to ask for A's resources fails here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.documents import API, committed
from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)

SECRET = "the-owners-words"  # noqa: S105  # nobody's password
NAMES = {
    "name": "secretprompt",
    "bot_id": "secretbot",
    "conversation_id": "secretconversation",
    "job_id": "secretjob",
}
BODIES: dict[str, dict[str, Any]] = {
    "create_tenant": {"tenant_id": "intruder", "name": "x"},
    "create_key": {"name": "x"},
    "render_prompt": {"variables": {}},
    "chat": {"message": "x", "conversation_id": NAMES["conversation_id"]},
    "lock_tokens": {"app_id": "secretapp", "token_count": 1},
    "report_tokens": {"app_id": "secretapp", "request_id": "a:b", "prompt_tokens": 1, "completion_tokens": 1},
    "release_tokens": {"app_id": "secretapp", "request_id": "a:b"},
    # These make a resource of the caller's own, of the same name: A's must not change.
    "save_prompt": {"template": "mine"},
    "save_bot": {"system_prompt": "mine"},
    "accept_job": {"id": NAMES["job_id"], "text": "mine"},
}
CREATES_OWN = {"save_prompt", "save_bot", "accept_job"}


@dataclass(frozen=True)
class Case:
    """One documented operation."""

    name: str
    method: str
    path: str
    role: str

    @property
    def addresses_something(self) -> bool:
        """Tell whether the path names a resource."""
        return "{" in self.path


def cases() -> list[Case]:
    return [
        Case(operation["operationId"], method.upper(), path, operation["x-role"])
        for path, operations in committed(API)["paths"].items()
        for method, operation in operations.items()
        if "x-role" in operation
    ]


@dataclass(frozen=True)
class World:
    """Tenant A with something of everything."""

    owner_id: str
    owner: Caller


@dataclass(frozen=True)
class Strangers:
    """Tenant B, who has nothing yet, with a key of each role."""

    boss: Caller
    user: Caller


@pytest.fixture(scope="module")
def world(platform: Platform) -> World:
    owner_id = platform.new_tenant()
    owner = platform.caller(owner_id)
    owner.must("PUT", f"/api/v1/prompts/{NAMES['name']}", {"template": SECRET})
    owner.must(
        "PUT", f"/api/v1/bots/{NAMES['bot_id']}", {"prompt_name": NAMES["name"], "description": SECRET}
    )
    owner.must(
        "POST",
        f"/api/v1/bots/{NAMES['bot_id']}/chat",
        {"message": SECRET, "conversation_id": NAMES["conversation_id"]},
    )
    owner.must("POST", "/api/v1/reasoning/jobs", {"id": NAMES["job_id"], "text": SECRET})
    wait_for(
        lambda: owner.must("GET", f"/api/v1/reasoning/jobs/{NAMES['job_id']}"),
        lambda job: job["status"] == "succeeded",
    )
    return World(owner_id, owner)


@pytest.fixture
def strangers(platform: Platform) -> Strangers:
    tenant_id = platform.new_tenant()
    return Strangers(platform.caller(tenant_id), platform.caller(tenant_id, "user"))


def everything_of(owner: Caller) -> list[Any]:
    conversation = f"/api/v1/bots/{NAMES['bot_id']}/conversations/{NAMES['conversation_id']}"
    return [
        owner.must("GET", f"/api/v1/prompts/{NAMES['name']}"),
        owner.must("GET", f"/api/v1/bots/{NAMES['bot_id']}"),
        owner.must("GET", conversation),
        owner.must("GET", f"/api/v1/reasoning/jobs/{NAMES['job_id']}"),
        owner.must("GET", "/api/v1/prompts"),
        owner.must("GET", "/api/v1/bots"),
        owner.must("GET", "/api/v1/reasoning/jobs"),
    ]


def forged_headers(world: World) -> list[dict[str, str]]:
    etag = world.owner.must("GET", f"/api/v1/bots/{NAMES['bot_id']}")["etag"]
    return [
        {},
        {"x-tenant-id": world.owner_id},
        {"if-match": etag},
        {"x-ms-client-principal-id": world.owner_id},
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_another_tenants_key_sees_and_changes_nothing(world: World, strangers: Strangers, case: Case) -> None:
    before = everything_of(world.owner)
    path = case.path.format_map(NAMES | {"tenant_id": world.owner_id})
    body = BODIES.get(case.name)
    assert body is not None or case.method in {"GET", "DELETE"}, "a new route needs a body here"

    for headers in forged_headers(world):
        for caller in (strangers.boss, strangers.user):
            answer = caller.send(case.method, path, body, **headers)

            assert SECRET not in answer.text
            assert world.owner_id not in answer.text.replace(path, "") or answer.status_code == 404
            if case.name in CREATES_OWN or not case.addresses_something:
                assert answer.status_code < 500
            else:
                assert answer.status_code in {403, 404}, answer.text
                if case.role == "user":
                    assert answer.status_code == 404, answer.text
    assert everything_of(world.owner) == before


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_without_a_valid_key_there_is_nothing_at_all(platform: Platform, world: World, case: Case) -> None:
    path = case.path.format_map(NAMES | {"tenant_id": world.owner_id})
    broken = world.owner.key[:-1] + ("0" if world.owner.key[-1] != "0" else "1")

    for authorization in (None, "Bearer", "Bearer junk", f"Bearer {broken}", f"Basic {world.owner.key}"):
        headers = {} if authorization is None else {"authorization": authorization}
        answer = platform.client.request(case.method, path, headers=headers, content="{}")
        assert answer.status_code == 401
        assert SECRET not in answer.text


def test_foreign_and_absent_look_the_same(world: World, strangers: Strangers) -> None:
    assert world.owner.send("GET", f"/api/v1/reasoning/jobs/{NAMES['job_id']}").status_code == 200

    foreign = strangers.boss.send("GET", f"/api/v1/reasoning/jobs/{NAMES['job_id']}")
    absent = strangers.boss.send("GET", "/api/v1/reasoning/jobs/nobodysjob")

    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["message"].replace(NAMES["job_id"], "nobodysjob") == absent.json()["message"]


def test_a_suspended_look_alike_id_reaches_no_partition(platform: Platform, world: World) -> None:
    for tenant_id in (f"{world.owner_id}x", world.owner_id.upper(), "global:tenants", "../acme", "%2e%2e"):
        answer = platform.admin.send("GET", "/api/v1/prompts", **{"x-tenant-id": tenant_id})
        assert answer.status_code == 404
