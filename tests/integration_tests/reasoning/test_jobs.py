"""What the queue brings, however often, and what becomes of what it cannot bring."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from functions.reasoning.inputs import JobInputs
from functions.reasoning.messages import session_of
from functions.reasoning.models import JobRequest
from functions.reasoning.service import JobService
from functions.reasoning.stored_models import REASONING
from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from shared.clock import SystemClock
from shared.jobs.contents import JobContents
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.repository import JobRepository
from shared.messaging.sender import OutgoingMessage
from shared.runtime import Runtime
from shared.settings import Settings
from shared.webhooks.store import WebhookStore
from tests.integration_tests.platform import ADMIN_KEY, wait_for
from tests.integration_tests.reasoning.queues import IN_QUEUE, OUT_QUEUE, Queues, queues_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)

CONTRACT = Path(__file__).parents[3] / "docs" / "contract"

DELIVERIES = 5
"""The in queue's MaxDeliveryCount."""

SESSIONS = 5
"""How many of a job's messages are in work at once."""


@pytest.fixture(scope="module")
def queues(platform: Platform) -> Iterator[Queues]:
    with queues_of(platform) as connected:
        yield connected


@pytest.fixture
def tenant(platform: Platform) -> str:
    return platform.new_tenant()


@pytest.fixture
def boss(platform: Platform, tenant: str) -> Caller:
    return platform.caller(tenant)


def ended(caller: Caller, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = wait_for(
        lambda: caller.send("GET", f"/api/v1/reasoning/jobs/{job_id}").json(),
        lambda answer: answer.get("status") in {"succeeded", "failed"},
    )
    return job


def test_ten_messages_of_an_outsider_for_one_job_and_as_many_later_ones_give_one_result(
    boss: Caller, tenant: str, queues: Queues
) -> None:
    job_id = f"{tenant}-ten"
    body: dict[str, object] = {"tenant_id": tenant, "id": job_id, "taskId": "t1", "text": "Why?"}
    sessions = [f"{tenant}#any{number % SESSIONS}" for number in range(10)]

    queues.send(body, job_id, *sessions)
    job = ended(boss, job_id)
    queues.send(body, job_id, *sessions)
    boss.must("POST", "/api/v1/reasoning/jobs", {"id": job_id, "task_id": "t1", "text": "Why?"})
    boss.must("POST", "/api/v1/reasoning/jobs", {"id": f"{tenant}-last", "text": "And?"})
    last = ended(boss, f"{tenant}-last")

    assert (job["status"], len(job["steps"])) == ("succeeded", 2)
    told = queues.results(job_id, until=f"{tenant}-last")
    # Whoever finds the job ended while its result is on its way to the broker sends it too: the same bytes.
    assert len({json.dumps(message, sort_keys=True) for message in told}) == 1
    assert (told[0]["taskId"], told[0]["message"]) == ("t1", "SUCCESS")
    used = boss.must("GET", "/api/v1/tokens/status?app_id=reasoner")["used_tokens"]
    assert used == job["usage"]["total_tokens"] + last["usage"]["total_tokens"]


def test_the_contracts_example_is_a_job_when_it_is_sent_into_the_tenants_session(
    boss: Caller, tenant: str, queues: Queues
) -> None:
    schema = json.loads((CONTRACT / "messages.json").read_text())["reasoner-in"]["schema"]
    [example] = schema["examples"]

    queues.send(example | {"tenant_id": tenant}, example["id"], tenant)

    job = ended(boss, example["id"])
    assert (job["status"], job["task_id"]) == ("succeeded", example["taskId"])


def test_a_message_without_a_session_is_refused_by_the_broker_as_the_contract_says(queues: Queues) -> None:
    with (
        queues.client.get_queue_sender(IN_QUEUE) as sender,
        pytest.raises(ServiceBusError, match="SessionId"),
    ):
        sender.send_messages(ServiceBusMessage(b"{}", message_id="m"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "MalformedRequestError"),
        (b"\xff\xfe", "MalformedRequestError"),
        (b'{"id": "j1", "text": "Why?"}', "ValidationError"),
        (b'{"tenant_id": "nobody-has-this", "id": "j1", "text": "Why?"}', "TenantNotFoundError"),
        (b'{"tenant_id": "global:tenants", "id": "j1", "text": "Why?"}', "ValidationError"),
    ],
)
def test_what_names_no_tenant_is_kept_by_the_platform(
    tenant: str, queues: Queues, body: bytes, reason: str
) -> None:
    message_id = f"{tenant}-junk"

    queues.send(body, message_id, f"{tenant}#0")

    kept = queues.quarantined("global:quarantine", message_id)
    assert (kept["reason"], kept["queue"]) == (reason, IN_QUEUE)
    assert kept["body"] == body.decode(errors="replace")


def test_another_request_under_a_jobs_id_is_a_409_over_http_and_kept_from_the_queue(
    boss: Caller, tenant: str, queues: Queues
) -> None:
    boss.must("POST", "/api/v1/reasoning/jobs", {"id": "mine", "text": "Why?"})
    answer = boss.send("POST", "/api/v1/reasoning/jobs", {"id": "mine", "text": "How?"})
    queues.send({"tenant_id": tenant, "id": "mine", "text": "How?"}, f"{tenant}-other", f"{tenant}#0")

    assert (answer.status_code, answer.json()["error"]) == (409, "JobConflictError")
    kept = queues.quarantined(tenant, f"{tenant}-other")
    assert (kept["reason"], kept["tenant_id"]) == ("JobConflictError", tenant)
    assert ended(boss, "mine")["status"] == "succeeded"


def test_a_prompt_that_is_not_there_fails_the_job_and_is_told(
    boss: Caller, tenant: str, queues: Queues
) -> None:
    job_id = f"{tenant}-nowhere"
    asked = {"id": job_id, "prompt_name": "nowhere"}
    refused = boss.send("POST", "/api/v1/reasoning/jobs", asked)
    queues.send({"tenant_id": tenant, **asked}, job_id, f"{tenant}#0")

    job = ended(boss, job_id)

    assert (refused.status_code, list(refused.json()["detail"]["fields"])) == (422, ["body.prompt_name"])
    assert (job["status"], job["result"]) == ("failed", None)
    [told] = queues.results(job_id, until=job_id)
    assert told["message"] == job["error"] == "PromptNotFoundError: Prompt 'nowhere' not found"


def test_what_exhausts_its_deliveries_fails_its_job_is_told_and_kept_with_the_brokers_reason(
    boss: Caller, tenant: str, queues: Queues
) -> None:
    job_id, session = f"{tenant}-dead", f"{tenant}#mine"
    with queues.session(session) as receiver:
        queues.send({"tenant_id": tenant, "id": job_id, "text": "Why?"}, job_id, session)
        for _ in range(DELIVERIES):
            [message] = receiver.receive_messages(max_message_count=1, max_wait_time=20)
            receiver.abandon_message(message)

    job = ended(boss, job_id)

    assert job["status"] == "failed"
    assert job["error"].startswith("No delivery is left.")
    [told] = queues.results(job_id, until=job_id)
    assert told["message"] == job["error"]
    kept = queues.quarantined(tenant, job_id)
    assert kept["detail"] == "Dead-lettered by the broker: MaxDeliveryCountExceeded"
    assert kept["reason"] == "DeliveriesExhaustedError"


def test_a_job_larger_than_a_megabyte_is_refused_at_once(boss: Caller) -> None:
    answer = boss.send("POST", "/api/v1/reasoning/jobs", {"id": "big", "text": "x" * 1_048_577})

    assert answer.status_code == 413
    assert boss.send("GET", "/api/v1/reasoning/jobs/big").status_code == 404


def test_a_job_as_large_as_a_message_may_be_is_done(boss: Caller) -> None:
    boss.must("POST", "/api/v1/reasoning/jobs", {"id": "big", "text": "Why? " * 39_000})

    assert ended(boss, "big")["status"] == "succeeded"


def test_a_job_that_was_accepted_while_the_broker_could_not_be_reached_is_swept(
    platform: Platform, boss: Caller, tenant: str
) -> None:
    """An instance of the app that reaches the store alone; another one's sweeper sends its message."""
    asyncio.run(_accept_without_a_broker(platform, tenant, "cut-off"))

    assert platform.client.post("/admin/functions/sweep_outbox", json={"input": ""}).is_success
    assert ended(boss, "cut-off")["status"] == "succeeded"


class AMinuteAgo(SystemClock):
    """The time at which the job was accepted, so that no test waits until its message is overdue."""

    def now(self) -> datetime:
        return super().now() - timedelta(minutes=1)


def _settings(platform: Platform, broker_port: int) -> Settings:
    return Settings.model_validate(
        {
            "ADMIN_API_KEY": ADMIN_KEY,
            "COSMOS_ENDPOINT": platform.addresses["cosmos"],
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": servicebus_connection_string(broker_port),
            "STORAGE": "not used here",
            "AZURE_OPENAI_ENDPOINT": platform.addresses["llm"],
        }
    )


def test_a_message_for_later_is_delivered_at_its_time_and_not_before(
    platform: Platform, boss: Caller, tenant: str
) -> None:
    not_before = datetime.now(UTC) + timedelta(seconds=3)

    asyncio.run(_send_for_later(platform, tenant, "later", not_before))

    assert boss.send("GET", "/api/v1/reasoning/jobs/later").status_code == 404
    assert datetime.fromisoformat(ended(boss, "later")["created_at"]) >= not_before


async def _send_for_later(platform: Platform, tenant_id: str, job_id: str, not_before: datetime) -> None:
    settings = _settings(platform, int(platform.addresses["servicebus"].rpartition(":")[2]))
    runtime = Runtime(lambda: settings)
    try:
        tenant = await runtime.authenticator.for_platform(tenant_id)
        body = json.dumps({"tenant_id": tenant_id, "id": job_id, "text": "Why?"}).encode()
        message = OutgoingMessage(job_id, body, session_of(tenant_id, job_id), not_before)
        await runtime.sender.send(tenant, IN_QUEUE, message)
    finally:
        await runtime.close()


async def _accept_without_a_broker(platform: Platform, tenant_id: str, job_id: str) -> None:
    with socket.socket() as unheard:  # bound, so that nobody gets the port, and never listening
        unheard.bind(("127.0.0.1", 0))
        settings = _settings(platform, unheard.getsockname()[1])
        runtime = Runtime(lambda: settings, AMinuteAgo())
        try:
            tenant = await runtime.authenticator.for_platform(tenant_id)
            jobs = JobRepository(tenant, runtime.container("jobs"), runtime.clock, REASONING)
            queues = {"request": IN_QUEUE, "result": OUT_QUEUE}
            outbox = JobOutbox(jobs, open_outbox(tenant, jobs, runtime.sender, queues))
            require = partial(runtime.models.require, tenant)
            inputs = JobInputs(JobContents(tenant, lambda: runtime.job_blobs))
            webhooks = WebhookStore(tenant, runtime.container("webhooks"))
            prompts = runtime.prompts.of(tenant)
            service = JobService(tenant, jobs, outbox, inputs, webhooks, prompts, require, runtime.clock)
            accepted = await service.accept(JobRequest(id=job_id, text="Why?"))
        finally:
            await runtime.close()
    assert accepted.job_id == job_id


def test_two_tenants_jobs_of_one_id_are_two_jobs_with_their_own_words(platform: Platform) -> None:
    callers = [platform.caller(platform.new_tenant(), "user") for _ in range(2)]
    for number, caller in enumerate(callers):
        caller.must("POST", "/api/v1/reasoning/jobs", {"id": "same", "text": f"Of number {number}"})

    found = [ended(caller, "same") for caller in callers]

    assert {job["status"] for job in found} == {"succeeded"}
    assert "number 1" not in json.dumps(found[0])
    assert "number 0" not in json.dumps(found[1])
