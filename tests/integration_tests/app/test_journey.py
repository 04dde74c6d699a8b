"""The main job, end to end: through HTTP, the stores, the queue and the model, over the real SDKs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusClient

import function_app
from local.supervisor.addresses import servicebus_connection_string
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def tenant(platform: Platform) -> str:
    return platform.new_tenant()


@pytest.fixture
def boss(platform: Platform, tenant: str) -> Caller:
    return platform.caller(tenant)


def test_the_host_finds_every_function_of_the_app(platform: Platform) -> None:
    """The worker runtime's own indexing: what it misses, Azure would miss."""
    declared = {function.get_function_name() for function in function_app.app.get_functions()}

    listed = platform.client.get("/admin/host/status").json()["functions"]
    assert {function["name"] for function in listed} == declared
    assert len(declared) >= 20


def test_every_dependency_is_up(platform: Platform) -> None:
    ready = platform.client.get("/api/health/ready")

    assert ready.status_code == 200
    states = {dependency["name"]: dependency["state"] for dependency in ready.json()["dependencies"]}
    assert set(states.values()) == {"up"}
    assert {"Cosmos DB", "Service Bus", "Model"} <= set(states)


def test_a_conversation_of_two_turns(platform: Platform, tenant: str, boss: Caller) -> None:
    boss.must("PUT", "/api/v1/prompts/greeting", {"template": "You help the customers of {company}."})
    boss.must("PUT", "/api/v1/bots/helpdesk", {"prompt": {"name": "greeting"}})
    user = platform.caller(tenant, "user")

    turns = [
        user.must(
            "POST",
            "/api/v1/bots/helpdesk/chat",
            {"message": message, "conversation_id": "c1", "variables": {"company": "Acme"}},
        )
        for message in ("The first question", "The second one")
    ]

    assert [turn["turn"] for turn in turns] == [1, 2]
    assert "Message 2 of this conversation" in turns[1]["response"]
    assert turns[1]["usage"]["prompt_tokens"] > turns[0]["usage"]["prompt_tokens"]
    stored = user.must("GET", "/api/v1/bots/helpdesk/conversations/c1")
    assert [item["message"] for item in stored["items"]] == ["The first question", "The second one"]
    assert [item["response"] for item in stored["items"]] == [turn["response"] for turn in turns]
    status = user.must("GET", "/api/v1/tokens/status?app_id=bot:helpdesk")
    assert status["used_tokens"] == sum(turn["usage"]["total_tokens"] for turn in turns)
    assert status["locked_tokens"] == 0


def test_a_job_goes_from_http_through_the_queue_to_a_stored_result_and_the_out_queue(
    platform: Platform, tenant: str, boss: Caller
) -> None:
    accepted = boss.send(
        "POST", "/api/v1/reasoning/jobs", {"id": f"{tenant}-j", "task_id": "t9", "text": "Why?"}
    )
    assert accepted.status_code == 202

    job = wait_for(
        lambda: boss.must("GET", accepted.headers["location"]), lambda found: found["status"] == "succeeded"
    )
    assert [step["name"] for step in job["steps"]] == ["reason", "summarise"]
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    with (
        ServiceBusClient.from_connection_string(
            servicebus_connection_string(port), ssl_context=NO_TLS
        ) as client,
        client.get_queue_receiver("reasoner-out", max_wait_time=20) as receiver,
    ):
        for message in receiver:
            body = json.loads(str(message))
            receiver.complete_message(message)
            if body["id"] == f"{tenant}-j":
                break
    assert (body["tenant_id"], body["taskId"], body["message"]) == (tenant, "t9", "SUCCESS")
    assert body["summary"] == job["result"]["summary"]
    assert body["usage"] == job["usage"]


def test_the_administrator_is_not_asked_which_tenant_when_the_path_says(
    platform: Platform, tenant: str
) -> None:
    shown = platform.admin.must("GET", f"/api/v1/tenants/{tenant}")

    assert shown["tenant_id"] == tenant
    listed = platform.admin.must("GET", "/api/v1/tenants?limit=100")
    assert listed["items"]


def test_a_tenants_id_is_taken_in_every_spelling(platform: Platform, tenant: str) -> None:
    again = platform.admin.send(
        "POST", "/api/v1/tenants", {"tenant_id": tenant.upper(), "name": "Other", "tier": "free"}
    )

    assert again.status_code == 409


def test_an_unknown_path_answers_in_the_documented_shape(platform: Platform) -> None:
    answer = platform.client.get("/api/v1/nothing/here", headers={"x-request-id": "r-1"})

    assert answer.status_code == 404
    assert answer.json()["error"] == "RouteNotFoundError"
    assert answer.headers["x-request-id"] == "r-1"


def test_the_openapi_document_is_the_committed_one(platform: Platform) -> None:
    from tests.contract.documents import API, committed  # noqa: PLC0415  # it imports the app's routes

    assert platform.client.get("/api/openapi.json").json() == committed(API)
