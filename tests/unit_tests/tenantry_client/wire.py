"""The whole app behind the client's sender, without a socket."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from shared.tenancy.context import Role
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService, Reply
from tenantry_client.prompts.deployment import TIMES, Deployment
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from shared.http.route import Route


@dataclass
class Wire:
    """Brings requests to the app's routes, and counts them.

    Attributes:
        script: Answered before the app is asked.
        change: Changes what a path was answered.
    """

    app: WholeApp
    key: Mapping[str, str]
    script: list[Reply] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    change: Callable[[str, Reply], Reply] = lambda _, reply: reply

    def deployment(self, source: str = "tenant") -> Deployment:
        """Open what the command opens."""
        headers = self.app.admin if source == "global" else self.key
        service = HttpService("http://app", FixedKey(headers["authorization"]), self, TIMES)
        return Deployment(service, source)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        parts = urlsplit(url)
        path = unquote(parts.path.removeprefix("/api/"))
        self.requests.append(f"{method} {path}")
        if self.script:
            return self.script.pop(0)
        route, names = self._route(method, path)
        answer = await self.app.client.call(route.name, Call(names, parts.query, headers, body or b""))
        return self.change(path, Reply(answer.status, answer.headers, answer.body))

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self.app.runtime.routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            if route.method == method and (match := re.fullmatch(pattern, path)):
                return route, match.groupdict()
        raise LookupError(path)


@asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    """Open the app with a tenant and its administrator's key."""
    async with app_of("acme") as app:
        yield Wire(app, await app.new_key("acme", Role.TENANT_ADMIN))
