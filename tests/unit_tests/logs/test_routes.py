"""The index and `GET /logs/summary` over the edge: each tenant sees its own, whatever comes twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from shared.logging.configure import configure_logging, current_file, stop_logging
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.settings import LoggingSettings
from shared.tenancy.context import Role
from tests.support.fakes import FakeClock, StillClock, tenant_context
from tests.unit_tests.logs.fakes import DAY, line
from tests.unit_tests.logs.log_app import LogApp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.memory_cosmos import MemoryCosmos


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> LogApp:
    return LogApp(cosmos, clock)


async def test_a_manifest_counts_per_level_and_hour(app: LogApp) -> None:
    content = (
        line("acme", f"{DAY}T10:30:00+00:00")
        + line("acme", f"{DAY}T09:00:00+00:00", "ERROR")
        + line("acme", f"{DAY}T10:45:00+00:00")
        + "torn\n"
    )
    await app.index(f"acme/{DAY}/a.jsonl", content)

    assert await app.manifests("acme") == [
        {
            "id": "a.jsonl",
            "blob": f"acme/{DAY}/a.jsonl",
            "lines": 4,
            "bytes": len(content),
            "counts": {"ERROR": {"09": 1}, "INFO": {"10": 2}, "UNREADABLE": {"10": 1}},
            "first_at": f"{DAY}T09:00:00Z",
            "last_at": f"{DAY}T10:45:00Z",
        }
    ]


async def test_a_blob_that_comes_twice_counts_once(app: LogApp) -> None:
    for _ in range(2):
        await app.index(f"acme/{DAY}/a.jsonl", line("acme") * 2)
    await app.index(f"acme/{DAY}/b.jsonl", line("acme", level="WARNING"))

    assert await app.summary("acme") == {
        "days": [{"day": DAY, "lines": 3, "chunks": 2, "levels": {"INFO": 2, "WARNING": 1}, "events": {}}],
        "chunks": 2,
    }


async def test_a_tenant_sees_nothing_of_another(app: LogApp) -> None:
    await app.index(f"acme/{DAY}/a.jsonl", line("acme"))
    await app.index(f"_platform/{DAY}/a.jsonl", line(None) * 5)

    assert await app.summary("globex") == {"days": [], "chunks": 0}
    assert (await app.summary("acme"))["days"][0]["lines"] == 1
    assert len(await app.manifests("global:logs")) == 1


async def test_an_unknown_tenants_blob_and_a_strangers_are_left(app: LogApp) -> None:
    await app.index(f"ghost/{DAY}/a.jsonl", line("ghost"))
    for name in ("acme/a.jsonl", "acme/20260131/a.jsonl", f"acme/{DAY}/", f"acme/{DAY}/x/a.jsonl", "x/y/z"):
        await app.index(name, line("acme"))

    assert await app.manifests("ghost") == []
    assert await app.summary("acme") == {"days": [], "chunks": 0}


async def test_days_are_both_included_and_in_order(app: LogApp) -> None:
    for day in ("2026-01-28", "2026-01-29", "2026-01-30", DAY):
        await app.index(f"acme/{day}/a.jsonl", line("acme", f"{day}T00:00:00+00:00"))

    async def days(query: str) -> list[str]:
        return [day["day"] for day in (await app.summary("acme", query))["days"]]

    assert await days("") == [DAY]
    assert await days("from=2026-01-29&to=2026-01-30") == ["2026-01-29", "2026-01-30"]
    assert await days("from=2026-01-30") == ["2026-01-30", DAY]
    assert await days("to=2026-01-28") == ["2026-01-28"]
    assert await days("from=2026-02-05") == []
    assert len(await days("from=2026-01-01&to=2026-01-31")) == 4


async def test_a_blob_that_is_no_chunk_is_left(app: LogApp) -> None:
    await app.index(f"acme/{DAY}/a.jsonl.gz", "no gzip")

    assert await app.manifests("acme") == []


@pytest.mark.slow
async def test_a_day_of_more_manifests_than_a_page_is_summed_up_whole(app: LogApp) -> None:
    for number in range(501):
        await app.index(f"acme/{DAY}/{number:04}.jsonl", line("acme"))

    assert (await app.summary("acme"))["chunks"] == 501


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-31&to=2026-01-30", "query.from"),
        ("from=2026-01-01&to=2026-02-01", "query.from"),
        ("from=yesterday", "query.from"),
        ("to=x", "query.to"),
        ("from_=2026-01-01", "query.from_"),
        ("day=2026-01-01", "query.day"),
    ],
)
async def test_days_that_make_no_sense_are_refused_by_name(app: LogApp, query: str, field: str) -> None:
    status, detail = await app.summary("acme", query)

    assert (status, list(detail["fields"])) == (422, [field])


async def test_only_the_tenants_administrators_may_look(app: LogApp) -> None:
    user = app.authenticator.add("user", tenant_context("acme", Role.USER))

    assert (await app.status(user), await app.search_status(user)) == (403, 403)
    assert (await app.status({}), await app.search_status({})) == (401, 401)


@pytest.fixture
def _logging_to(tmp_path: Path) -> Iterator[None]:
    configure_logging(LoggingSettings(log_dir=tmp_path))
    yield
    stop_logging()


@pytest.mark.usefixtures("_logging_to")
async def test_the_timer_ships_what_this_worker_has_written_so_far(app: LogApp, tmp_path: Path) -> None:
    app.settings.log_dir = tmp_path
    app.runtime.clock = StillClock()
    with logging_as(tenant_id="acme"):
        get_logger("functions.x").info("Hello")
    await app.functions["ship_logs"](SimpleNamespace())

    ((name, content),) = app.blobs.blobs.items()
    assert name.startswith("acme/")
    assert names(tmp_path) == []

    await app.functions["ship_logs"](SimpleNamespace())
    assert len(app.blobs.uploads) == 1, "shipping must not write lines that need shipping"
    await app.index(name, content)
    day = name.split("/")[1]
    assert (await app.summary("acme", f"from={day}&to={day}"))["days"][0]["levels"] == {"INFO": 1}
    assert current_file() is not None


async def test_without_a_folder_the_timer_does_nothing(app: LogApp) -> None:
    await app.functions["ship_logs"](SimpleNamespace())

    assert app.blobs.uploads == []


async def test_without_a_log_file_the_timer_ships_the_others(app: LogApp, tmp_path: Path) -> None:
    app.settings.log_dir = tmp_path
    app.runtime.clock = StillClock()
    (tmp_path / "tenantry-vm-7.log").write_text(line("acme"))
    await app.functions["ship_logs"](SimpleNamespace())

    assert len(app.blobs.uploads) == 1
