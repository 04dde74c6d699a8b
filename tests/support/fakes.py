"""Fakes behind the app's Protocols, and a way to call routes without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from starlette.requests import Request

from shared.errors import AuthenticationError
from shared.http.pipeline import serve
from shared.http.rate_limiter import RequestRateLimiter
from shared.http.streaming import EventStreamResponse
from shared.tenancy.context import PlatformContext, Role, TenantContext, parse_tenant_id
from shared.tenancy.errors import TenantNotFoundError
from shared.tenancy.store import Tier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from shared.clock import Clock
    from shared.http.route import EdgeServices, Route
    from shared.tenancy.context import TenantId
    from shared.tenancy.settings import Setting

EPOCH = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)


class FakeClock:
    """A clock that moves when it is told to, or when somebody sleeps on it."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        self._now += timedelta(seconds=seconds)


class StillClock(FakeClock):
    """A clock on which a sleep ends when somebody moves it so far; heartbeats need one that stands still."""

    def __init__(self, start: datetime = EPOCH) -> None:
        super().__init__(start)
        self._moved = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.monotonic() + seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self.monotonic() >= until)

    async def move(self, seconds: float) -> None:
        """Move the clock, and let those who slept so long go on."""
        self.advance(seconds)
        async with self._moved:
            self._moved.notify_all()
        await asyncio.sleep(0)


def tenant_context(tenant_id: str = "acme", role: Role = Role.USER, tier: str = "free") -> TenantContext:
    """Build a tenant's context as authentication would."""
    return TenantContext(parse_tenant_id(tenant_id), tier, role, f"key-of-{tenant_id}")


def user_context(user_id: str, tenant_id: str = "acme", role: Role = Role.USER) -> TenantContext:
    """Build the context of a tenant's user as a token would."""
    return TenantContext(parse_tenant_id(tenant_id), "free", role, f"user:{user_id}", user_id=user_id)


def platform_context() -> PlatformContext:
    """Build the administrator's context as authentication would."""
    return PlatformContext("admin")


def generous_rates(clock: Clock) -> RequestRateLimiter:
    """Build request rates that no test reaches."""
    return RequestRateLimiter(dict.fromkeys(Tier, 1_000_000), 1_000_000, clock)


@dataclass
class FakeAuthenticator:
    """Knows credentials by heart: `Bearer {name}` is whatever context was put under the name.

    Attributes:
        checks_left: How often an answer that goes on finds its key in force; for ever where None.
    """

    contexts: dict[str, TenantContext | PlatformContext] = field(default_factory=dict)
    tenants: dict[str, TenantContext] = field(default_factory=dict)
    checks_left: int | None = None

    def add(self, name: str, context: TenantContext | PlatformContext) -> dict[str, str]:
        """Let a credential in; returns the headers that present it."""
        self.contexts[name] = context
        if isinstance(context, TenantContext):
            self.tenants[context.tenant_id] = context
        return {"authorization": f"Bearer {name}"}

    async def authenticate(self, authorization: str | None) -> TenantContext | PlatformContext:
        name = (authorization or "").removeprefix("Bearer ")
        if name not in self.contexts:
            raise AuthenticationError("The API key is not valid")
        return self.contexts[name]

    async def check_in_force(self, tenant: TenantContext) -> None:
        is_known = tenant in self.contexts.values() or tenant.role is Role.ADMIN
        if not is_known or self.checks_left == 0:
            raise AuthenticationError("The API key is not valid any more")
        if self.checks_left is not None:
            self.checks_left -= 1

    async def for_tenant(self, platform: PlatformContext, tenant_id: str, route: str) -> TenantContext:  # noqa: ARG002  # the real one keeps it
        context = await self.for_platform(tenant_id)
        return TenantContext(context.tenant_id, context.tier, Role.ADMIN, platform.principal)

    async def for_platform(self, tenant_id: str) -> TenantContext:
        if tenant_id not in self.tenants:
            raise TenantNotFoundError(tenant_id)
        known = self.tenants[tenant_id]
        return TenantContext(known.tenant_id, known.tier, Role.USER, "platform")

    async def find_active(self, tenant_id: TenantId) -> TenantContext | None:
        return await self.for_platform(tenant_id) if tenant_id in self.tenants else None


@dataclass
class FakeTenantSettings:
    """Settings as `shared.tenancy.settings` resolves them: what was set here by key, else the default."""

    values: dict[str, object] = field(default_factory=dict)

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        assert tenant.tenant_id
        return setting.parse(self.values[setting.key]) if setting.key in self.values else setting.default


@dataclass(frozen=True)
class Answer:
    """What a route answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # JSON of any shape, asserted by the test
        """Parse the body."""
        return json.loads(self.body)


def host_limit_seconds() -> int:
    """Return when the host ends a function, and the worker with it."""
    limit: str = json.loads((Path(__file__).parents[2] / "host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = (int(part) for part in limit.split(":"))
    return 3600 * hours + 60 * minutes + seconds


async def every_page(ask: Callable[[str], Awaitable[Answer]], limit: int) -> list[Answer]:
    """Ask for a list with one query after the other, from the first page to the last."""
    answers: list[Answer] = []
    cursor: str | None = ""
    while cursor is not None:
        answers.append(await ask(f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")))
        cursor = answers[-1].json()["next_cursor"]
    return answers


@dataclass(frozen=True)
class Call:
    """A request to one route: path parameters by name, the body as it goes over the wire.

    Attributes:
        method: For a route that takes several; the route's own where None.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str | None = None

    @classmethod
    def of(cls, body: object, *, headers: Mapping[str, str] | None = None, **path: str) -> Call:
        """Build a call with a JSON body."""
        return cls(path=path, headers=headers or {}, body=json.dumps(body).encode())


class RouteClient:
    """Calls declared routes the way the host does, without a socket."""

    def __init__(self, services: EdgeServices) -> None:
        self._services = services

    def route(self, name: str) -> Route:
        """Find a route by its handler's name."""
        return next(route for route in self._services.routes if route.name == name)

    async def call(self, name: str, call: Call | None = None) -> Answer:
        """Send one request to the route and read its answer."""
        call = call or Call()
        route = self.route(name)
        response = await serve(route, self._services, request_of(route, call))
        if isinstance(response, EventStreamResponse):
            async with StreamReader(response) as reader:
                return Answer(response.status_code, dict(response.headers), await reader.rest())
        return Answer(response.status_code, dict(response.headers), bytes(response.body))

    async def stream(self, name: str, call: Call) -> StreamReader:
        """Send one request to the route, and return the stream that it begins to answer with."""
        route = self.route(name)
        response = await serve(route, self._services, request_of(route, call))
        assert isinstance(response, EventStreamResponse), bytes(response.body)
        return StreamReader(response)


class StreamReader:
    """The client of one stream: it takes a piece when it is asked for one, and leaves with the block.

    Attributes:
        is_whole: Whether the response came to its end.
    """

    def __init__(self, response: EventStreamResponse) -> None:
        self.response = response
        self.is_whole = False
        self._left = asyncio.Event()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._sending is not None
        self._left.set()
        while not self._sending.done():  # what is sent to a client that has left goes nowhere
            pieces = asyncio.ensure_future(self._pieces.get())
            await asyncio.wait([pieces, self._sending], return_when=asyncio.FIRST_COMPLETED)
            pieces.cancel()
        await self._sending

    async def piece(self) -> bytes:
        """Take what is sent next; nothing at the end."""
        return await self._pieces.get()

    async def rest(self) -> bytes:
        """Take all that is still sent."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def _send(self) -> None:
        await self.response({}, self._receive, self._take)
        await self._pieces.put(b"")

    async def _receive(self) -> dict[str, object]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            if message["body"]:
                await self._pieces.put(message["body"])
            self.is_whole = not message["more_body"]


def request_of(route: Route, call: Call) -> Request:
    sent = False

    async def receive() -> dict[str, object]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": call.body, "more_body": False}

    scope = {
        "type": "http",
        "method": call.method or route.method,
        "path": "/api/" + route.path,
        "query_string": call.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in call.headers.items()],
        "path_params": dict(call.path),
    }
    return Request(scope, receive)
