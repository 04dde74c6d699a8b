"""One declared route, and the services of the app that the edge runs it with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from shared.http.bounds import AnswerTooLargeError
from shared.http.models import ReplyModel
from shared.http.responses import JSON, FileReply, HtmlPage, HttpResponse
from shared.tenancy.context import PlatformContext, TenantContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.clock import Clock
    from shared.http.bounds import RouteBounds
    from shared.http.dialect import Dialect
    from shared.http.idempotency import Idempotency
    from shared.http.inputs import Inputs
    from shared.http.rate_limiter import RequestRateLimiter
    from shared.http.streaming import EventStream
    from shared.resilience.concurrency import Paces
    from shared.tenancy.context import Role

ANY_METHOD = "*"
_PARAMETER = re.compile(r"(\{[^}]*\})")


class Authenticates(Protocol):
    """Authentication, as the edge needs it of `shared.tenancy`."""

    async def authenticate(self, authorization: str | None) -> TenantContext | PlatformContext:
        """Check an `Authorization` header."""
        ...

    async def for_tenant(self, platform: PlatformContext, tenant_id: str, route: str) -> TenantContext:
        """Let the administrator act for a tenant through the named route."""
        ...


class EdgeServices(Protocol):
    """The composition root, as the edge needs it."""

    @property
    def routes(self) -> list[Route]:
        """Every route of the app, in the order of declaration."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock that dates errors."""
        ...

    @property
    def authenticator(self) -> Authenticates:
        """Checks credentials and turns them into contexts."""
        ...

    @property
    def rate_limiter(self) -> RequestRateLimiter:
        """Bounds each caller's requests."""
        ...

    @property
    def paces(self) -> Paces:
        """Turns of what holds the event loop, by tenant."""
        ...

    @property
    def idempotency(self) -> Idempotency:
        """Knows the requests that were answered before."""
        ...


@dataclass(frozen=True, slots=True)
class Answered[M: BaseModel]:
    """Reply with a status or headers of its own; its route declares them in `extra_statuses`."""

    reply: M
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JsonReply[M: BaseModel]:
    """Reply whose JSON is there already, such as another service's; its model describes it."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


type Reply = BaseModel | Answered[Any] | JsonReply[Any] | HtmlPage | FileReply | None
type Handler = Callable[..., Awaitable[Reply | EventStream[Any]]]


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route, as the edge runs it and the OpenAPI document describes it.

    Attributes:
        name: The handler's name, unique in the app; the function's name and the operation's id.
        min_role: The least role that may call it; None for open routes.
        inputs: The handler's arguments, and the models of path, query and body.
        status: The status of success.
        extra_statuses: Further statuses that its replies have, and what each means.
        response_headers: Further headers of its own replies, each a whole number, and what it tells.
        reply: The model of the answer, or None where there is none.
        id_field: The body's field that an Idempotency-Key can stand for.
        repeatable: Whether an Idempotency-Key is honoured.
        seconds: How long an answer may take.
        media_type: The content type of the answer.
        streams: Whether the handler may also give its reply as a stream of events.
        bounds: Bounds of its body and its answer.
        dialect: The form of its refusals and streams.
        hidden: Whether the OpenAPI document leaves it out: a file is no operation.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    min_role: Role | None
    inputs: Inputs
    status: int
    extra_statuses: Mapping[int, str]
    response_headers: Mapping[str, str]
    reply: type[BaseModel] | None
    id_field: str | None
    repeatable: bool
    seconds: float
    media_type: str
    streams: bool
    bounds: RouteBounds
    dialect: Dialect
    hidden: bool = False

    @property
    def is_catch_all(self) -> bool:
        """Tell whether it answers what no other route does."""
        return self.method == ANY_METHOD

    @property
    def documented(self) -> bool:
        """Tell whether the OpenAPI document shows it."""
        return not (self.is_catch_all or self.hidden)

    @property
    def serves_tenants(self) -> bool:
        """Tell whether it can work for a tenant."""
        return TenantContext in self.inputs.callers

    @property
    def serves_platform(self) -> bool:
        """Tell whether it can work for the administrator who names no tenant."""
        return PlatformContext in self.inputs.callers

    def has_path(self, path: str) -> bool:
        """Tell whether a path below the app's prefix is this route's, as the host decides it."""
        pattern = "".join(_pattern_of(part) for part in _PARAMETER.split(self.path))
        return not self.is_catch_all and re.fullmatch(pattern, path, re.IGNORECASE) is not None

    @property
    def precedence(self) -> list[bool]:
        """Order routes that have one path as the host does: a fixed part comes before a parameter."""
        return ["{" in part for part in self.path.split("/")]

    def render(self, returned: Reply) -> HttpResponse:
        """Render the reply that the handler returned.

        Raises:
            AnswerTooLargeError: It is larger than the route's answers may be.
        """
        if isinstance(returned, HtmlPage | FileReply):
            return returned.render(self.status)
        if isinstance(returned, JsonReply):
            return self._render_content(self.status, returned.headers, returned.content)
        status, headers, reply = self.status, {}, returned
        if isinstance(returned, Answered):
            status, headers, reply = returned.status or status, dict(returned.headers), returned.reply
        if not isinstance(reply, BaseModel):
            return HttpResponse(status, headers)
        if isinstance(reply, ReplyModel):
            headers |= reply.headers()
            content = reply.encode()
        else:
            content = reply.model_dump_json(by_alias=True).encode()
        return self._render_content(status, headers, content)

    def _render_content(self, status: int, headers: Mapping[str, str], content: bytes) -> HttpResponse:
        if len(content) > self.bounds.answer_bytes:
            raise AnswerTooLargeError(self.bounds.answer_bytes)
        return HttpResponse(status, {**headers, "content-type": JSON}, content)


def _pattern_of(part: str) -> str:
    """Return the pattern of a part of a path: fixed, one segment, or (`{*name}`) all that is left."""
    if part.startswith("{*"):
        return ".+"
    return "[^/]+" if part.startswith("{") else re.escape(part)
