"""Feedback from HTTP, CSV and the queue to its analysis, with the real SDKs between the parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.supervisor.addresses import servicebus_connection_string
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

IN_QUEUE, OUT_QUEUE = "feedback-form-in", "feedback-form-out"


@pytest.fixture
def broker(platform: Platform) -> Iterator[ServiceBusClient]:
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    with ServiceBusClient.from_connection_string(
        servicebus_connection_string(port), ssl_context=NO_TLS
    ) as client:
        yield client


@pytest.fixture
def tenant(platform: Platform) -> str:
    return platform.new_tenant()


@pytest.fixture
def boss(platform: Platform, tenant: str) -> Caller:
    return platform.caller(tenant)


def send(broker: ServiceBusClient, *bodies: dict[str, str]) -> None:
    with broker.get_queue_sender(IN_QUEUE) as sender:
        for body in bodies:
            sender.send_messages(ServiceBusMessage(json.dumps(body), message_id=body["id"]))


def results(broker: ServiceBusClient, tenant: str, until: str) -> list[dict[str, Any]]:
    """Take everything off the out queue up to one result of a tenant; return the tenant's."""
    found: list[dict[str, Any]] = []
    with broker.get_queue_receiver(OUT_QUEUE, max_wait_time=30) as receiver:
        for message in receiver:
            told = json.loads(str(message))
            receiver.complete_message(message)
            if told["tenant_id"] == tenant:
                found.append(told)
                if told["id"] == until:
                    return found
    raise AssertionError(f"no result of {until} arrived")


def test_a_message_that_comes_three_times_gives_one_analysis(
    broker: ServiceBusClient, tenant: str, boss: Caller
) -> None:
    body = {"tenant_id": tenant, "id": "f1", "taskId": "t1", "language": "en"}
    slow = body | {"text": "The new search is slow, says ann@example.com"}

    send(broker, slow, slow, slow)
    shown = wait_for(
        lambda: boss.send("GET", "/api/v1/feedback/f1"), lambda answer: "succeeded" in answer.text
    ).json()
    send(broker, body | {"id": "last", "text": "Great!"})
    told = results(broker, tenant, "last")

    first = [one for one in told if one["id"] == "f1"]
    assert first == [told[0]] * len(first)  # who finds it done sends it again, under the same id
    assert [one["id"] for one in told[len(first) :]] == ["last"]
    assert (told[0]["hashtag"], told[0]["taskId"], told[0]["message"]) == ("#performance", "t1", "SUCCESS")
    assert told[0]["contains_pii"] is True
    assert "ann@example.com" not in json.dumps(told)
    usage = boss.must("GET", "/api/v1/usage?group_by=app_id")
    used = sum(one["usage"]["total_tokens"] for one in (shown, boss.must("GET", "/api/v1/feedback/last")))
    assert [row["total_tokens"] for row in usage["items"] if row["app_id"] == "feedback"] == [used]


def test_a_csv_file_is_analysed_row_by_row(boss: Caller) -> None:
    rows = "".join(f"en,It crashed {number} times\n" for number in range(25))
    answer = boss.client.post(
        "/api/v1/feedback/import",
        content=f"language,text\n{rows}nowhere-land-x,Hello\n".encode(),
        headers={"authorization": f"Bearer {boss.key}", "content-type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    where = answer.headers["location"]

    shown = wait_for(lambda: boss.must("GET", where), lambda shown: shown["finished"] == 25)

    assert (shown["rows"], shown["refused"], shown["by_status"]) == (26, 1, {"succeeded": 25})
    assert {row["analysis"]["hashtag"] for row in shown["items"][:25]} == {"#bug"}
    assert list(shown["items"][25]["fields"]) == ["language"]
    counted = boss.must("GET", "/api/v1/feedback/summary")
    assert (counted["total"], counted["by_hashtag"]) == (25, {"#bug": 25})
