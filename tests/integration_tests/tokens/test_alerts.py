"""Alerts through the real broker, received with the official SDK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusClient

from local.supervisor.addresses import servicebus_connection_string
from shared.contracts import BudgetAlert
from tests.integration_tests.platform import Caller, running_platform
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.platform import Platform

QUEUE = "budget-alerts-out"
PARTS = ("--instances", "2", "--only", "host,cosmos,servicebus,llm")
BUDGET = 1_000


def spender(platform: Platform) -> tuple[str, Caller]:
    """Make a tenant with a small budget for the day."""
    tenant_id = platform.new_tenant()
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant_id}/limits", {"tokens_per_day": BUDGET})
    return tenant_id, platform.caller(tenant_id, "user")


def use(caller: Caller, tokens: int) -> None:
    lock = caller.must("POST", "/api/v1/tokens/lock", {"app_id": "bot", "token_count": tokens})
    body = {"app_id": "bot", "request_id": lock["request_id"], "prompt_tokens": tokens}
    caller.must("POST", "/api/v1/tokens/report", body | {"completion_tokens": 0})


def received(platform: Platform, *, until: tuple[str, int]) -> list[dict[str, Any]]:
    """Take everything off the queue up to a tenant's alert of a percentage."""
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    found = []
    with (
        ServiceBusClient.from_connection_string(
            servicebus_connection_string(port), ssl_context=NO_TLS
        ) as client,
        client.get_queue_receiver(QUEUE, max_wait_time=60) as receiver,
    ):
        for message in receiver:
            alert = BudgetAlert.model_validate_json(str(message))
            assert message.message_id == alert.id
            found.append(json.loads(str(message)))
            receiver.complete_message(message)
            if (alert.tenant_id, alert.percent) == until:
                return found
    raise AssertionError(f"no alert {until} came; seen: {found}")


@pytest.mark.timeout(300)
def test_each_crossing_is_one_message_whatever_is_killed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("BUDGET_ALERTS_SCHEDULE", "* * * * * *")  # so that nobody waits for the sweep
    with running_platform(data, *PARTS) as first:
        tenant_id, caller = spender(first)
        use(caller, BUDGET * 85 // 100)
        first.kill_everything()

    with running_platform(data, *PARTS) as second:
        again = Caller(second.client, caller.key)
        early = received(second, until=(tenant_id, 80))
        use(again, BUDGET * 10 // 100)
        lock = {"app_id": "bot", "token_count": BUDGET * 10 // 100}
        refused = again.must("POST", "/api/v1/tokens/lock", lock)
        late = received(second, until=(tenant_id, 100))
        # What comes of another tenant later comes after all that is still to come of this one.
        other_id, other = spender(second)
        use(other, BUDGET)
        late += received(second, until=(other_id, 80))

    assert refused["allowed"] is False
    told = [
        (alert["percent"], alert["used_tokens"], alert["limit_tokens"], alert["period"])
        for alert in early + late
        if alert["tenant_id"] == tenant_id
    ]
    assert told == [(80, 850, BUDGET, "day"), (100, 950, BUDGET, "day")]
