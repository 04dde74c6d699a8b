"""Retention and reconciliation of shipped logs, on the app in memory."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest

from functions.logs.retention import LogRetention
from shared.errors import DependencyUnavailableError
from tests.support.fakes import EPOCH, Call
from tests.support.whole_app import MemoryBlobs, whole_app
from tests.unit_tests.logs.fakes import DAY, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp

TODAY = EPOCH.date()


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app(LOG_RETENTION_DAYS_PLATFORM="3") as app:
        for tenant, tier in (("free-1", "free"), ("standard-1", "standard"), ("own-1", "own")):
            await app.new_tenant(tenant, tier)
        yield app


def put(app: WholeApp, owner: str, day: date, name: str = "x.jsonl.gz", lines: int = 1) -> str:
    blob = f"{owner}/{day.isoformat()}/{name}"
    tenant = None if owner == "_platform" else owner
    app.blobs[blob] = gzip.compress((line(tenant, f"{day.isoformat()}T10:00:00Z") * lines).encode())
    return blob


async def manifests(app: WholeApp, owner: str, day: date = TODAY) -> list[dict[str, Any]]:
    proxy = app.cosmos.client.get_database_client("tenantry").get_container_client("log_index")
    key = "global:logs" if owner == "_platform" else owner
    query = proxy.query_items("SELECT c.blob, c.lines, c.ttl FROM c", partition_key=[key, day.isoformat()])
    return [item async for item in query]


async def test_chunks_are_removed_when_the_days_of_their_tenants_tier_are_over(app: WholeApp) -> None:
    days = {"free-1": 7, "standard-1": 30, "own-1": 90, "_platform": 3}
    kept = {put(app, owner, TODAY - timedelta(days=kept)) for owner, kept in days.items()}
    for owner, last in days.items():
        for more in (1, 2, 600):
            for number in range(3):
                put(app, owner, TODAY - timedelta(days=last + more), f"{number}.jsonl.gz")
    await app.tick("tidy_logs")

    assert set(app.blobs) == kept


async def test_more_chunks_than_a_page_go_and_strange_names_stay(app: WholeApp) -> None:
    strange = {"free-1/0", "free-1/20260101/x", "free-10/2020-01-01/x"}
    app.blobs.update(dict.fromkeys(strange, b""))
    for number in range(1_100):
        put(app, "free-1", date(2025, 1, 1), f"{number}.jsonl.gz")
    today = put(app, "free-1", TODAY)
    await app.tick("tidy_logs")

    assert set(app.blobs) == {*strange, today}


async def test_chunks_whose_event_was_lost_are_indexed(app: WholeApp) -> None:
    for owner in ("free-1", "_platform"):
        for back in range(3):
            put(app, owner, TODAY - timedelta(days=back), lines=back + 1)
    known = put(app, "free-1", TODAY, "known.jsonl.gz")
    event = func.blob.InputStream(data=app.blobs[known], name=f"logs/{known}")
    await app.functions["index_logs"](event)
    for _ in range(2):
        await app.tick("tidy_logs")

    for owner, counts in (("free-1", (2, 1, 0)), ("_platform", (1, 1, 0))):
        for back, count in enumerate(counts):
            found = await manifests(app, owner, TODAY - timedelta(days=back))
            assert [len(found), *{item["lines"] for item in found}] == [count, *([back + 1] if count else [])]


async def test_a_manifest_is_forgotten_two_days_after_its_chunk(app: WholeApp) -> None:
    put(app, "free-1", TODAY)
    await app.tick("tidy_logs")

    ((found),) = await manifests(app, "free-1")
    assert EPOCH + timedelta(seconds=found["ttl"]) == datetime(2026, 2, 10, tzinfo=UTC)
    retention = LogRetention({"free": 7}, 3)
    assert retention.seconds_left(7, date(2020, 1, 1), EPOCH) == 1


async def test_what_fails_for_one_tenant_keeps_no_other_waiting(app: WholeApp) -> None:
    class Broken(MemoryBlobs):
        async def page(self, prefix: str, cursor: str | None, limit: int) -> Any:  # noqa: ANN401  # as it is there
            if prefix.startswith("free-1/"):
                raise DependencyUnavailableError("Blob Storage")
            if prefix.startswith("own-1/"):
                raise ValueError("a defect")
            return await super().page(prefix, cursor, limit)

    old = [put(app, owner, date(2020, 1, 1)) for owner in ("_platform", "free-1", "own-1", "standard-1")]
    app.runtime.__dict__["blobs"] = Broken(app.blobs)
    with pytest.raises(ExceptionGroup) as defects:
        await app.tick("tidy_logs")

    assert [str(one) for one in defects.value.exceptions] == ["a defect"]
    assert set(app.blobs) == set(old[1:3])


async def test_a_suspended_tenants_logs_stay(app: WholeApp) -> None:
    old = put(app, "free-1", date(2020, 1, 1))
    suspension = Call.of({"status": "suspended"}, headers=app.admin, tenant_id="free-1")
    await app.must("update_tenant", suspension)
    await app.tick("tidy_logs")

    assert set(app.blobs) == {old}


async def test_a_chunk_that_is_gone_meanwhile_is_passed_over(app: WholeApp) -> None:
    class Gone(MemoryBlobs):
        async def read(self, name: str) -> bytes | None:  # noqa: ARG002  # as it is there
            return None

    put(app, "free-1", TODAY)
    app.runtime.__dict__["blobs"] = Gone(app.blobs)
    await app.tick("tidy_logs")

    assert (DAY, await manifests(app, "free-1")) == (TODAY.isoformat(), [])
