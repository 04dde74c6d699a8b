"""The whole app behind httpx, without a socket."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from shared.prompts.models import PromptSource
from shared.tenancy.context import Role
from tenantry_client.cli.deployment import Deployment
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shared.http.route import Route


@dataclass
class Wire:
    """Brings requests to the app's routes, and counts them; `busy` of them are answered 503 first."""

    app: WholeApp
    key: Mapping[str, str]
    busy: int = 0
    requests: list[str] = field(default_factory=list)

    def deployment(self, source: PromptSource = PromptSource.TENANT) -> Deployment:
        """Open what the program opens."""
        headers = self.app.admin if source is PromptSource.GLOBAL else dict(self.key)
        return Deployment(self.client(headers), source, self.app.clock)

    def client(self, headers: Mapping[str, str]) -> httpx.AsyncClient:
        """Open a client of the app."""
        return httpx.AsyncClient(
            base_url="http://app", headers=dict(headers), transport=httpx.MockTransport(self._answer)
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/")
        self.requests.append(f"{request.method} {path}")
        if self.busy:
            self.busy -= 1
            return httpx.Response(503, headers={"retry-after": "2"})
        route, names = self._route(request.method, path)
        call = Call(names, request.url.query.decode(), dict(request.headers), request.content)
        answer = await self.app.client.call(route.name, call)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self.app.runtime.routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            if route.method == method and (match := re.fullmatch(pattern, path)):
                return route, match.groupdict()
        raise LookupError(path)


@asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    """Open the app with a tenant and its administrator's key."""
    async with whole_app() as app:
        await app.new_tenant("acme")
        yield Wire(app, await app.new_key("acme", Role.TENANT_ADMIN))
