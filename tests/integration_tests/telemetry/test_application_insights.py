"""What leaves the process for Application Insights: a process of its own, for that SDK keeps global state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration_tests.telemetry.receiver import receiving

ROOT = Path(__file__).parents[3]
KEY = "3f2a9c1e-1111-4222-8333-123456789012"
PROGRAM = """
import asyncio, sys
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

async def main() -> None:
    async with whole_app(APPLICATIONINSIGHTS_CONNECTION_STRING=sys.argv[1]) as app:
        app.runtime.settings
        await app.new_tenant("acme")
        key = await app.new_key("acme", Role.USER)
        await app.must("list_bots", Call(headers=key | {"x-request-id": "r-1"}))

asyncio.run(main())
"""


def test_requests_and_metrics_arrive_with_the_tenant_and_without_a_key() -> None:
    with receiving() as receiver:
        connection = f"InstrumentationKey={KEY};IngestionEndpoint={receiver.address}/"
        done = subprocess.run(  # noqa: S603  # our own interpreter and program
            [sys.executable, "-c", PROGRAM, connection],
            cwd=ROOT,
            # Otherwise the SDK tells its makers how it is used, over the internet.
            env=os.environ | {"APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true"},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    assert done.returncode == 0, done.stderr
    sent: list[Any] = [item for body in receiver.raw for item in json.loads(body)]
    requests = {item["data"]["baseData"]["name"]: item for item in sent if item["name"].endswith("Request")}
    listed = requests["GET /api/v1/bots"]["data"]["baseData"]
    assert (listed["success"], listed["responseCode"]) == (True, "200")
    assert listed["properties"]["tenantry.tenant_id"] == "acme"
    assert listed["properties"]["tenantry.request_id"] == "r-1"
    measured = {
        metric["name"] for item in sent for metric in item["data"]["baseData"].get("metrics", ()) if metric
    }
    assert "http.server.request.duration" in measured
    assert b"tk.acme" not in b"".join(receiver.raw)
