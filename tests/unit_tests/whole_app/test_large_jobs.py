"""Large inputs of jobs, through the routes: they are exported and purged with their tenant."""

from __future__ import annotations

import base64
import json
from typing import Any

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app


async def test_a_large_input_is_in_its_tenants_export_and_in_nobody_elses() -> None:
    async with whole_app() as app:
        keys: dict[str, dict[str, str]] = {}
        for tenant_id in ("acme", "globex"):
            await app.new_tenant(tenant_id)
            keys[tenant_id] = await app.new_key(tenant_id, Role.TENANT_ADMIN)
        await app.must("accept_job", Call.of({"id": "j1", "text": "x" * 300_000}, headers=keys["acme"]))

        async def list_blobs(tenant_id: str) -> list[str]:
            query = "limit=100"
            call = Call({"tenant_id": tenant_id}, headers=keys[tenant_id], query=query)
            page: dict[str, Any] = (await app.must("export_tenant", call)).json()
            assert page["next_cursor"] is None
            things = [thing for thing in page["items"] if thing["container"] == "blobs:jobs"]
            return [thing["blob"]["name"] for thing in things]

        [name] = await list_blobs("acme")
        assert await list_blobs("globex") == []
        query = f"container=jobs&name={name}"
        part = await app.must("export_blob", Call({"tenant_id": "acme"}, headers=keys["acme"], query=query))
        kept = json.loads(base64.b64decode(part.json()["content"]))
        stolen = await app.client.call(
            "export_blob", Call({"tenant_id": "globex"}, headers=keys["globex"], query=query)
        )

    assert (kept["tenant_id"], kept["text"]) == ("acme", "x" * 300_000)
    assert stolen.status == 404
