"""Tenant B's keys on everything that is tenant A's, on each route that the contract has.

The cases are made from the OpenAPI document: a new route without a way to ask for A's resources fails here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.platform import own_everything, wait_for
from tests.support.isolation import (
    CREATES_OWN,
    EMPTY_UNTIL_A_TIMER_RUNS,
    NAMES,
    SECRET,
    SETUP,
    Operation,
    operations,
)

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)

MOVES_BY_ITSELF = {
    "export_tenant",
    "get_token_status",
    "get_log_summary",
    "list_log_lines",
    "tail_log",
    "list_calls",
    "get_call_summary",
}
"""What a tenant's own timers and passing seconds change."""


@dataclass
class World:
    """Tenant A with something of everything.

    Attributes:
        names: A's resources by path parameter.
        known: All that A can read, as it was before any stranger came, by operation.
    """

    owner_id: str
    owner: Caller
    names: dict[str, str]
    known: dict[str, Any] = field(default_factory=dict)

    def path(self, one: Operation) -> str:
        """Address A's resource."""
        query = one.needed_query(self.names)
        return one.template.format_map(self.names) + (f"?{query}" if query else "")


OWN_FEEDBACKS = sum(step.operation in {"accept_feedback", "import_feedback"} for step in SETUP)


@dataclass(frozen=True)
class Strangers:
    """Tenant B, who has nothing yet, with a key of each role."""

    boss: Caller
    user: Caller


@pytest.fixture(scope="module")
def world(platform: Platform) -> World:
    owner_id = platform.new_tenant()
    owner = platform.caller(owner_id)
    made = World(owner_id, owner, own_everything(owner, owner_id))
    wait_for(
        lambda: made.owner.must("GET", f"/api/v1/reasoning/jobs/{NAMES['job_id']}"),
        lambda job: job["status"] == "succeeded",
    )
    wait_for(  # its own, and the row of its import
        lambda: made.owner.must("GET", "/api/v1/feedback?status=succeeded"),
        lambda page: len(page["items"]) == OWN_FEEDBACKS,
    )
    made.known = everything_of(made)
    return made


@pytest.fixture
def strangers(platform: Platform) -> Strangers:
    tenant_id = platform.new_tenant()
    return Strangers(platform.caller(tenant_id), platform.caller(tenant_id, "user"))


def everything_of(world: World, near: Operation | None = None) -> dict[str, Any]:
    """Read all that A can read and that does not move by itself, or what of it is near an operation."""
    return {
        one.name: world.owner.must("GET", world.path(one))
        for one in operations()
        if one.method == "GET"
        and one.role != "admin"
        and one.name not in MOVES_BY_ITSELF | EMPTY_UNTIL_A_TIMER_RUNS
        and (near is None or resource_of(one) == resource_of(near))
    }


def resource_of(one: Operation) -> str:
    """Return what an operation is about: `bots` of `/api/v1/bots/{bot_id}`."""
    return one.template.removeprefix("/api/").split("/")[1]


def forged_headers(world: World) -> list[dict[str, str]]:
    etag = world.owner.must("GET", f"/api/v1/bots/{NAMES['bot_id']}")["etag"]
    return [
        {},
        {"x-tenant-id": world.owner_id},
        {"if-match": etag},
        {"x-ms-client-principal-id": world.owner_id},
    ]


@pytest.mark.parametrize("case", operations(), ids=lambda case: case.name)
def test_another_tenants_key_sees_and_changes_nothing(
    world: World, strangers: Strangers, case: Operation
) -> None:
    path, body = world.path(case), case.body(world.names)

    for headers in forged_headers(world):
        for caller in (strangers.boss, strangers.user):
            answer = caller.send(case.method, path, body, **headers)

            assert SECRET not in answer.text
            assert world.owner_id not in answer.text.replace(path, "") or answer.status_code == 404
            if case.name in CREATES_OWN or not case.parameters:
                assert answer.status_code < 500
            else:
                # What is absent has no state that an If-Match could name.
                absent = {404, 412} if "if-match" in headers else {404}
                forbidden = set() if case.role == "user" else {403}
                assert answer.status_code in absent | forbidden, answer.text
    if case.method != "GET":  # what reading has changed, or a write elsewhere, is found at the end
        seen = everything_of(world, case)
        assert seen == {name: world.known[name] for name in seen}


@pytest.mark.parametrize("case", operations(), ids=lambda case: case.name)
def test_without_a_valid_key_there_is_nothing_at_all(
    platform: Platform, world: World, case: Operation
) -> None:
    path = world.path(case)
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


def test_after_all_of_this_the_owner_has_what_they_had(world: World) -> None:
    assert everything_of(world) == world.known
