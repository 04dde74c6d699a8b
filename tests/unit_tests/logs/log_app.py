"""The capability bound to fakes, and chunks for its index."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import azure.functions as func

from functions.logs.chunks import ChunkWriter
from functions.logs.trigger import blueprint
from shared.resilience.concurrency import Paces
from shared.tenancy.context import Role
from shared.tenancy.purges import Purges
from tests.support.fakes import (
    Call,
    FakeAuthenticator,
    FakeClock,
    RouteClient,
    generous_rates,
    tenant_context,
)
from tests.unit_tests.logs.fakes import DAY, FakeBlobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from shared.runtime import Runtime
    from tests.support.fakes import Answer, StreamReader
    from tests.support.memory_cosmos import MemoryCosmos


class LogApp:
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

    async def search(self, tenant: str, query: str = "") -> Any:  # noqa: ANN401  # asserted by the test
        """Ask for a page of lines."""
        answer = await self._routes.call("list_log_lines", Call(query=query, headers=self.admin[tenant]))
        return answer.json() if answer.status == 200 else (answer.status, answer.json()["detail"])

    async def get(self, tenant: str, route: str, query: str = "", **path: str) -> Any:  # noqa: ANN401  # asserted by the test
        """Call a route; return its answer, or the status and details of a refusal."""
        answer = await self._routes.call(route, Call(path, query, self.admin[tenant]))
        return answer.json() if answer.status == 200 else (answer.status, answer.json()["detail"])

    async def stream(self, tenant: str, query: str) -> Answer:
        """Ask for all lines as JSON lines."""
        headers = self.admin[tenant] | {"accept": "application/x-ndjson"}
        return await self._routes.call("list_log_lines", Call(query=query, headers=headers))

    async def tail(self, tenant: str, query: str = "") -> StreamReader:
        """Follow the log as events."""
        headers = self.admin[tenant] | {"accept": "text/event-stream"}
        return await self._routes.stream("tail_log", Call(query=query, headers=headers))

    async def walk(self, tenant: str, query: str, limit: int) -> list[list[str]]:
        """Go through all pages; return the messages of each."""
        pages: list[list[str]] = []
        cursor = ""
        while True:
            page = await self.search(tenant, f"{query}&limit={limit}{cursor}")
            pages.append([line["message"] for line in page["items"]])
            if page["next_cursor"] is None:
                return pages
            cursor = f"&cursor={page['next_cursor']}"

    async def ship(
        self, folder: Path, owner: str, lines: Iterable[Mapping[str, Any]], source: str = "w"
    ) -> str:
        """Put lines into a chunk as a shipper does, and index it; return its name."""
        texts = [(json.dumps(line) + "\n", datetime.fromisoformat(line["timestamp"])) for line in lines]
        writer = ChunkWriter(folder / "chunk", owner, texts[0][1].date(), source)
        for text, at in texts:
            writer.append(text.encode(), at)
        name = str(writer.finish())
        content = writer.path.read_bytes()
        writer.path.unlink()
        self.blobs.blobs[name] = content
        await self.index(name, content)
        return name

    async def status(self, headers: dict[str, str]) -> int:
        return (await self._routes.call("get_log_summary", Call(headers=headers))).status

    async def search_status(self, headers: dict[str, str]) -> int:
        return (await self._routes.call("list_log_lines", Call(headers=headers))).status

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
