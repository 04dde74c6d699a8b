"""One declared route, and what the edge needs of the app to run it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from shared.http.models import ReplyModel
from shared.http.responses import JSON, HtmlPage, HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.clock import Clock
    from shared.http.idempotency import Idempotency
    from shared.http.rate_limiter import RequestRates
    from shared.tenancy.context import PlatformContext, Role, TenantContext

ANY_METHOD = "*"
_PARAMETER = re.compile(r"\{[^}]*\}")


class Authenticates(Protocol):
    """What the edge asks of `shared.tenancy`."""

    async def authenticate(self, authorization: str | None) -> TenantContext | PlatformContext:
        """Check an `Authorization` header."""
        ...

    async def for_tenant(self, platform: PlatformContext, tenant_id: str, route: str) -> TenantContext:
        """Let the administrator act for a tenant through the named route."""
        ...


class EdgeServices(Protocol):
    """What the edge needs of the composition root."""

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
        """What turns credentials into contexts."""
        ...

    @property
    def request_rates(self) -> RequestRates:
        """What bounds each caller's requests."""
        ...

    @property
    def idempotency(self) -> Idempotency:
        """What knows the requests that were answered before."""
        ...


@dataclass(frozen=True, slots=True)
class Answered[M: BaseModel]:
    """A reply with a status or headers of its own; each such status stands in its route's `also`."""

    reply: M
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


type Reply = BaseModel | Answered[Any] | HtmlPage | None
type Handler = Callable[..., Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route, as the edge runs it and the OpenAPI document describes it.

    Attributes:
        name: The handler's name, unique in the app; the function's name and the operation's id.
        who: The least role that may call it; None for open routes.
        platform: Whether it is the administrator's alone, acting for no tenant.
        either: Whether its `caller` is a tenant, or the administrator who names none.
        status: The status of success.
        also: Further statuses that its replies have, and what each means.
        counts: Further headers of its own replies, each a whole number, and what it tells.
        inputs: The model of each argument by its name: `path`, `query`, and one body of any other name.
        reply: The model of the answer, or None where there is none.
        derives: The body's field that an Idempotency-Key can stand for.
        repeatable: Whether an Idempotency-Key is honoured.
        takes_operation_id: Whether its handler is told what that stands for: the same id for the same key.
        seconds: How long an answer may take.
        media_type: What the answer is.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    who: Role | None
    platform: bool
    either: bool
    status: int
    also: Mapping[int, str]
    counts: Mapping[str, str]
    inputs: Mapping[str, type[BaseModel]]
    takes_if_match: bool
    reply: type[BaseModel] | None
    derives: str | None
    repeatable: bool
    takes_operation_id: bool
    seconds: float
    media_type: str

    @property
    def documented(self) -> bool:
        """Tell whether the OpenAPI document shows it."""
        return self.method != ANY_METHOD

    def has_path(self, path: str) -> bool:
        """Tell whether a path below the app's prefix is this route's, as the host decides it."""
        pattern = "[^/]+".join(re.escape(part) for part in _PARAMETER.split(self.path))
        return self.documented and re.fullmatch(pattern, path, re.IGNORECASE) is not None

    @property
    def precedence(self) -> list[bool]:
        """Order routes that have one path as the host does: a fixed part comes before a parameter."""
        return ["{" in part for part in self.path.split("/")]

    @property
    def body(self) -> tuple[str, type[BaseModel]] | None:
        """Return the name and the model of the argument that is the request's body."""
        for name, model in self.inputs.items():
            if name not in {"path", "query"}:
                return name, model
        return None

    def render(self, returned: Reply) -> HttpAnswer:
        """Render what the handler returned."""
        if isinstance(returned, HtmlPage):
            return returned.answer(self.status)
        status, headers, reply = self.status, {}, returned
        if isinstance(returned, Answered):
            status, headers, reply = returned.status or status, dict(returned.headers), returned.reply
        if not isinstance(reply, BaseModel):
            return HttpAnswer(status, headers)
        if isinstance(reply, ReplyModel):
            headers |= reply.headers()
        content = reply.model_dump_json(by_alias=True).encode()
        return HttpAnswer(status, headers | {"content-type": JSON}, content)
