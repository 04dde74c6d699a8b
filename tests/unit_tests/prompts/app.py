"""The prompts' routes over a store in memory, with a caller of each kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from functions.prompts.trigger import blueprint
from shared.resilience.concurrency import Paces
from shared.tenancy.context import Role
from tests.support.fakes import (
    Call,
    FakeAuthenticator,
    RouteClient,
    generous_rates,
    platform_context,
    tenant_context,
)
from tests.unit_tests.prompts.library import Fallback, library_over

if TYPE_CHECKING:
    from shared.runtime import Runtime
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


class App:
    """The routes, and who calls them; `fallback` is the tenants' setting."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        authenticator = FakeAuthenticator()
        self.editor = authenticator.add("editor", tenant_context("acme", Role.TENANT_ADMIN))
        self.user = authenticator.add("user", tenant_context("acme"))
        self.stranger = authenticator.add("stranger", tenant_context("globex", Role.TENANT_ADMIN))
        self.admin = authenticator.add("admin", platform_context())
        self.fallback = Fallback()
        runtime = SimpleNamespace(
            routes=[],
            rate_limiter=generous_rates(clock),
            paces=Paces(clock),
            clock=clock,
            authenticator=authenticator,
            prompts=library_over(cosmos.container("prompts"), clock, self.fallback),
        )
        blueprint(cast("Runtime", runtime))
        self.client = RouteClient(cast("Runtime", runtime))

    async def save(self, name: str = "p", *, headers: dict[str, str] | None = None, **body: object) -> Answer:
        call = Call.of({"template": "Hello {who}"} | body, headers=self.editor | (headers or {}), name=name)
        return await self.client.call("save_prompt", call)

    async def save_global(self, name: str = "p", **body: object) -> Answer:
        sent = Call.of({"template": "Hello from all {who}"} | body, headers=self.admin, name=name)
        call = Call(path=sent.path, query="scope=global", headers=sent.headers, body=sent.body)
        return await self.client.call("save_prompt", call)

    async def get(self, query: str = "", *, headers: dict[str, str] | None = None) -> Answer:
        call = Call(path={"name": "p"}, query=query, headers=headers or self.user)
        return await self.client.call("get_prompt", call)

    async def ask(
        self, route: str, query: str = "", *, headers: dict[str, str] | None = None, **path: str
    ) -> Answer:
        """Call a route of prompt `p` that takes no body, as the editor unless it is said."""
        call = Call(path={"name": "p"} | path, query=query, headers=headers or self.editor)
        return await self.client.call(route, call)

    async def label(self, label: str, version: int, **more: str) -> Answer:
        """Point a label of prompt `p` at a version; `more` are headers."""
        call = Call.of(
            {"version": version, "reason": "tried"}, headers=self.editor | more, name="p", label=label
        )
        return await self.client.call("move_prompt_label", call)

    async def render(self, variables: object, *, headers: dict[str, str] | None = None) -> Answer:
        call = Call.of({"variables": variables}, headers=headers or self.user, name="p")
        return await self.client.call("render_prompt", call)

    async def batch(self, route: str, body: object, *, headers: dict[str, str] | None = None) -> Answer:
        """Call one of the batch routes."""
        return await self.client.call(route, Call.of(body, headers=headers or self.editor))
