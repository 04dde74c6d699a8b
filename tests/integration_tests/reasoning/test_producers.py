"""Producers that know nothing of the app but its queues; the page docs/queues.md shows both programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.supervisor.addresses import servicebus_connection_string
from tests.integration_tests.local_servicebus.javascript import run_program

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(120)


def test_a_program_in_javascript_sends_a_job_and_reads_its_result(platform: Platform) -> None:
    tenant = platform.new_tenant()
    port = int(platform.addresses["servicebus"].rpartition(":")[2])

    printed = run_program("send_job.mjs", servicebus_connection_string(port), tenant, "ticket-1")

    assert printed.split() == ["SUCCESS", "4711"]
    assert platform.caller(tenant).must("GET", "/api/v1/reasoning/jobs/ticket-1")["status"] == "succeeded"
