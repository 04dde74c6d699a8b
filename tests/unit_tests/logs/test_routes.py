"""The index and `GET /logs/summary` over the edge: each tenant sees its own, whatever comes twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import azure.functions as func
import pytest

from functions.logs.trigger import blueprint
from shared.logging.configure import configure_logging, current_file, stop_logging
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.concurrency import Paces
from shared.settings import LoggingSettings
from shared.tenancy.context import Role
from shared.tenancy.purges import Purges
from tests.support.fakes import (
    Call,
    FakeAuthenticator,
    FakeClock,
    RouteClient,
    StillClock,
    generous_rates,
    tenant_context,
)
from tests.unit_tests.logs.fakes import DAY, FakeBlobs, line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from shared.runtime import Runtime
    from tests.support.memory_cosmos import MemoryCosmos


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class App:
    """The capability bound to fakes, its functions by name."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos = cosmos
        self.authenticator = FakeAuthenticator()
        self.admin = {
            tenant: self.authenticator.add(tenant, tenant_context(tenant, Role.TENANT_ADMIN))
            for tenant in ("acme", "globex")
        }
        self.blobs = FakeBlobs()
        days = {f"log_retention_days_{of}": 7 for of in ("free", "standard", "premium", "platform")}
        self.settings = SimpleNamespace(log_dir=None, app_name="tenantry", **days)
        self.built: dict[object, Any] = {}
        self.runtime = cast(
            "Runtime",
            SimpleNamespace(
                routes=[],
                rate_limiter=generous_rates(clock),
                paces=Paces(clock),
                clock=clock,
                authenticator=self.authenticator,
                container=cosmos.container,
                purges=Purges(cosmos.container("tenants"), clock),
                blobs=self.blobs,
                settings=self.settings,
                begin_with=lambda _: None,
                once=self.once,
            ),
        )
        app = func.FunctionApp()
        app.register_functions(blueprint(self.runtime))
        self.functions: dict[str, Callable[..., Awaitable[None]]] = {
            str(found.get_function_name()): found.get_user_function() for found in app.get_functions()
        }
        self._routes = RouteClient(self.runtime)

    def once(self, build: Any) -> Any:  # noqa: ANN401  # as the composition root does
        if build not in self.built:
            self.built[build] = build(self.runtime)
        return self.built[build]

    async def summary(self, tenant: str, query: str = "") -> Any:  # noqa: ANN401  # asserted by the test
        answer = await self._routes.call("get_log_summary", Call(query=query, headers=self.admin[tenant]))
        return answer.json() if answer.status == 200 else (answer.status, answer.json()["detail"])

    async def status(self, headers: dict[str, str]) -> int:
        return (await self._routes.call("get_log_summary", Call(headers=headers))).status

    async def index(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        blob = func.blob.InputStream(data=data, name=f"logs/{name}")
        await self.functions["index_logs"](blob)

    async def manifests(self, owner: str, day: str = DAY) -> list[dict[str, Any]]:
        proxy = self.cosmos.client.get_database_client("tenantry").get_container_client("log_index")
        pages = proxy.query_items(
            "SELECT c.id, c.blob, c.lines, c.bytes, c.counts, c.first_at, c.last_at FROM c",
            partition_key=[owner, day],
        )
        return [item async for item in pages]


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> App:
    return App(cosmos, clock)


async def test_a_manifest_counts_per_level_and_hour(app: App) -> None:
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


async def test_a_blob_that_comes_twice_counts_once(app: App) -> None:
    for _ in range(2):
        await app.index(f"acme/{DAY}/a.jsonl", line("acme") * 2)
    await app.index(f"acme/{DAY}/b.jsonl", line("acme", level="WARNING"))

    assert await app.summary("acme") == {
        "days": [{"day": DAY, "lines": 3, "chunks": 2, "levels": {"INFO": 2, "WARNING": 1}}],
        "chunks": 2,
    }


async def test_a_tenant_sees_nothing_of_another(app: App) -> None:
    await app.index(f"acme/{DAY}/a.jsonl", line("acme"))
    await app.index(f"_platform/{DAY}/a.jsonl", line(None) * 5)

    assert await app.summary("globex") == {"days": [], "chunks": 0}
    assert (await app.summary("acme"))["days"][0]["lines"] == 1
    assert len(await app.manifests("global:logs")) == 1


async def test_an_unknown_tenants_blob_and_a_strangers_are_left(app: App) -> None:
    await app.index(f"ghost/{DAY}/a.jsonl", line("ghost"))
    for name in ("acme/a.jsonl", "acme/20260131/a.jsonl", f"acme/{DAY}/", f"acme/{DAY}/x/a.jsonl", "x/y/z"):
        await app.index(name, line("acme"))

    assert await app.manifests("ghost") == []
    assert await app.summary("acme") == {"days": [], "chunks": 0}


async def test_days_are_both_included_and_in_order(app: App) -> None:
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


async def test_a_blob_that_is_no_chunk_is_left(app: App) -> None:
    await app.index(f"acme/{DAY}/a.jsonl.gz", "no gzip")

    assert await app.manifests("acme") == []


@pytest.mark.slow
async def test_a_day_of_more_manifests_than_a_page_is_summed_up_whole(app: App) -> None:
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
async def test_days_that_make_no_sense_are_refused_by_name(app: App, query: str, field: str) -> None:
    status, detail = await app.summary("acme", query)

    assert (status, list(detail["fields"])) == (422, [field])


async def test_only_the_tenants_administrators_may_look(app: App) -> None:
    user = app.authenticator.add("user", tenant_context("acme", Role.USER))

    assert await app.status(user) == 403
    assert await app.status({}) == 401


@pytest.fixture
def _logging_to(tmp_path: Path) -> Iterator[None]:
    configure_logging(LoggingSettings(log_dir=tmp_path))
    yield
    stop_logging()


@pytest.mark.usefixtures("_logging_to")
async def test_the_timer_ships_what_this_worker_has_written_so_far(app: App, tmp_path: Path) -> None:
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


async def test_without_a_folder_the_timer_does_nothing(app: App) -> None:
    await app.functions["ship_logs"](SimpleNamespace())

    assert app.blobs.uploads == []


async def test_without_a_log_file_the_timer_ships_the_others(app: App, tmp_path: Path) -> None:
    app.settings.log_dir = tmp_path
    app.runtime.clock = StillClock()
    (tmp_path / "tenantry-vm-7.log").write_text(line("acme"))
    await app.functions["ship_logs"](SimpleNamespace())

    assert len(app.blobs.uploads) == 1
