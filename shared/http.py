"""The HTTP edge: parse, authenticate, call, render. Nothing behind it knows HTTP, nothing else catches.

A trigger module declares its routes on a `Routes`; the same declaration registers the function with the host,
decides who may call it, validates what comes in and describes the route in the OpenAPI document.
"""

from __future__ import annotations

import inspect
import math
import re
import secrets
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Protocol,
    Required,
    TypedDict,
    Unpack,
    cast,
    get_args,
    get_origin,
)

import azure.functions as func
import pydantic
from azurefunctions.extensions.http.fastapi import Request, Response
from pydantic import BaseModel, ConfigDict

from shared.errors import (
    APIError,
    InternalError,
    MalformedRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    TenantNotFoundError,
    ValidationError,
)
from shared.logging.context import attribute_logs_to, log_context, logging_as
from shared.logging.logger import get_logger
from shared.tenancy.context import PlatformContext, Role, TenantContext, acting_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request as StarletteRequest
    from starlette.responses import Response as StarletteResponse

    from shared.clock import Clock

MAX_BODY_BYTES = 1024 * 1024
"""design/api.md: over 1 MB is a 413."""

ANY_METHOD = "*"

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_logger = get_logger(__name__)


class RequestModel(BaseModel):
    """What a caller sends: frozen, strict about types, refusing fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReplyModel(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(frozen=True)


class VersionedReply(ReplyModel):
    """A stored thing; its `etag` is also sent as the ETag header."""

    etag: str | None = None


class AcceptedReply(ReplyModel):
    """Work that was accepted; where to look for it is also sent as the Location header."""

    status_url: str


class ParameterModel(BaseModel):
    """Path or query parameters: texts, read into the types that the fields declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TenantPath(ParameterModel):
    """The path of a route below one tenant, for its own administrators and the platform's."""

    tenant_id: str


class ErrorReply(ReplyModel):
    """The body of every refusal, in the shape of the bot manager document plus the request id."""

    error: str
    message: str
    detail: dict[str, Any]
    timestamp: str
    request_id: str


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


@dataclass(frozen=True, slots=True)
class Answered[M: BaseModel]:
    """A reply with a status or headers of its own; each such status stands in its route's `also`."""

    reply: M
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


type Reply = BaseModel | Answered[Any] | None
type Handler = Callable[..., Awaitable[Reply]]


class Declaration(TypedDict, total=False):
    """What a route says of itself beside its method and path.

    Attributes:
        who: The least role that may call it; None for open routes.
        status: The status of success; 200 unless it is said.
        also: Further statuses that its own replies have, and what each means.
    """

    who: Required[Role | None]
    status: int
    also: Mapping[int, str]


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
        inputs: The model of each argument by its name: `path`, `query`, and one body of any other name.
        reply: The model of the answer, or None where there is none.
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
    inputs: Mapping[str, type[BaseModel]]
    takes_if_match: bool
    reply: type[BaseModel] | None

    @property
    def documented(self) -> bool:
        """Tell whether the OpenAPI document shows it."""
        return self.method != ANY_METHOD

    @property
    def body(self) -> tuple[str, type[BaseModel]] | None:
        """Return the name and the model of the argument that is the request's body."""
        for name, model in self.inputs.items():
            if name not in {"path", "query"}:
                return name, model
        return None


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of one capability, registered on its blueprint as they are declared."""

    services: EdgeServices
    tag: str
    blueprint: func.Blueprint = field(default_factory=func.Blueprint)

    def get(self, path: str, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a GET route."""
        return self._declare("GET", path, declared)

    def post(self, path: str, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a POST route."""
        return self._declare("POST", path, declared)

    def put(self, path: str, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a PUT route."""
        return self._declare("PUT", path, declared)

    def patch(self, path: str, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a PATCH route."""
        return self._declare("PATCH", path, declared)

    def delete(self, path: str, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a DELETE route; it answers 204 unless it says otherwise."""
        return self._declare("DELETE", path, {"status": 204, **declared})

    def anything_else(self, path: str) -> Callable[[Handler], Handler]:
        """Declare an open catch-all for every method; the OpenAPI document does not show it."""
        return self._declare(ANY_METHOD, path, {"who": None})

    def _declare(self, method: str, path: str, declared: Declaration) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            route = _describe(handler, method, path, self.tag, declared)
            self.services.routes.append(route)
            bind = self.blueprint.route(
                route=route.path,
                methods=_METHODS if method == ANY_METHOD else [method],
                auth_level=func.AuthLevel.ANONYMOUS,
            )
            bind(_function_for(route, self.services))
            return handler

        return register


def _describe(handler: Handler, method: str, path: str, tag: str, declared: Declaration) -> Route:
    signature = inspect.signature(handler, eval_str=True)
    inputs = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, BaseModel)
    }
    returned = signature.return_annotation
    reply = get_args(returned)[0] if get_origin(returned) is Answered else returned
    return Route(
        method=method,
        path=path,
        name=cast("str", getattr(handler, "__name__", "")),
        tag=tag,
        summary=(inspect.getdoc(handler) or "").partition("\n")[0].rstrip("."),
        handler=handler,
        who=declared["who"],
        platform="platform" in signature.parameters,
        either="caller" in signature.parameters,
        status=declared.get("status", 200),
        also=declared.get("also", {}),
        inputs=inputs,
        takes_if_match="if_match" in signature.parameters,
        reply=reply if isinstance(reply, type) and issubclass(reply, BaseModel) else None,
    )


def _function_for(route: Route, services: EdgeServices) -> Callable[[Any], Awaitable[Any]]:
    async def function(req: Request) -> Response:
        return await serve(route, services, req)

    # The host names the function after this; `functools.wraps` would expose the handler's signature to the
    # indexing, which refuses parameters that are no bindings.
    function.__name__ = function.__qualname__ = route.name
    function.__doc__ = route.summary
    return function


async def serve(route: Route, services: EdgeServices, request: StarletteRequest) -> StarletteResponse:
    """Answer one request: every outcome, expected or not, becomes a response with a request id."""
    request_id = _request_id(request.headers.get("x-request-id"))
    started = services.clock.monotonic()
    with logging_as(request_id=request_id):
        error: APIError | None = None
        try:
            response = await _answer(route, services, request)
        except APIError as refusal:
            error = refusal
        except Exception:
            _logger.exception("Unexpected failure", extra={"route": route.name})
            error = InternalError("The request failed for an unexpected reason")
        if error is not None:
            response = _render_error(error, services)
        _log_outcome(route, response.status_code, services.clock.monotonic() - started, error)
        return response


async def _answer(route: Route, services: EdgeServices, request: StarletteRequest) -> StarletteResponse:
    subject = await _authorise(route, services, request)
    if not isinstance(subject, TenantContext):
        arguments = await _arguments(route, request)
        return _render(
            route, await (route.handler(subject, **arguments) if subject else route.handler(**arguments))
        )
    attribute_logs_to(subject.tenant_id)
    with acting_for(subject):
        return _render(route, await route.handler(subject, **await _arguments(route, request)))


async def _authorise(
    route: Route, services: EdgeServices, request: StarletteRequest
) -> TenantContext | PlatformContext | None:
    if route.who is None:
        return None
    subject = await services.authenticator.authenticate(request.headers.get("authorization"))
    if route.platform:
        if isinstance(subject, PlatformContext):
            return subject
        raise PermissionDeniedError("Only the platform's administrator may do this")
    named = request.path_params.get("tenant_id")
    if isinstance(subject, PlatformContext):
        acts_for = named or request.headers.get("x-tenant-id")
        if not acts_for:
            if route.either:
                return subject
            raise ValidationError(
                "The administrator names the tenant to act for",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        return await services.authenticator.for_tenant(subject, acts_for, route.name)
    if named is not None and named != subject.tenant_id:
        raise TenantNotFoundError(named)
    if not subject.role.includes(route.who):
        raise PermissionDeniedError(f"This needs the role {route.who}", {"role": subject.role})
    return subject


async def _arguments(route: Route, request: StarletteRequest) -> dict[str, object]:
    arguments: dict[str, object] = {}
    if (path := route.inputs.get("path")) is not None:
        arguments["path"] = _validated("path", lambda: path.model_validate(dict(request.path_params)))
    query = route.inputs.get("query", ParameterModel)
    parsed = _validated("query", lambda: query.model_validate(dict(request.query_params)))
    if "query" in route.inputs:
        arguments["query"] = parsed
    if route.body is not None:
        name, model = route.body
        content = await _read_body(request)
        arguments[name] = _validated("body", lambda: model.model_validate_json(content))
    if route.takes_if_match:
        arguments["if_match"] = request.headers.get("if-match")
    return arguments


async def _read_body(request: StarletteRequest) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise PayloadTooLargeError(
                f"The body is larger than {MAX_BODY_BYTES} bytes", {"max_bytes": MAX_BODY_BYTES}
            )
        parts.append(part)
    return b"".join(parts)


def _validated(where: str, validate: Callable[[], BaseModel]) -> BaseModel:
    try:
        return validate()
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        if any(problem["type"] == "json_invalid" for problem in problems):
            raise MalformedRequestError("The body is not valid JSON") from error
        fields = {".".join([where, *(str(part) for part in p["loc"])]): p["msg"] for p in problems}
        named = "; ".join(f"{name}: {message}" for name, message in fields.items())
        raise ValidationError(f"Invalid request: {named}", {"fields": fields}) from error


def _render(route: Route, returned: Reply) -> StarletteResponse:
    headers = _headers()
    status = route.status
    reply: BaseModel | None
    if isinstance(returned, Answered):
        headers |= returned.headers
        status, reply = returned.status or status, returned.reply
    else:
        reply = returned
    if isinstance(reply, VersionedReply) and reply.etag:
        headers["etag"] = reply.etag
    if isinstance(reply, AcceptedReply):
        headers["location"] = reply.status_url
    if reply is None:
        return cast("StarletteResponse", Response(status_code=status, headers=headers))
    content = reply.model_dump_json(by_alias=True)
    return cast(
        "StarletteResponse",
        Response(content, status_code=status, headers=headers, media_type="application/json"),
    )


def _render_error(error: APIError, services: EdgeServices) -> StarletteResponse:
    headers = _headers()
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    reply = ErrorReply(
        error=type(error).__name__,
        message=error.message,
        detail=dict(error.detail),
        timestamp=services.clock.now().isoformat(),
        request_id=headers["x-request-id"],
    )
    return cast(
        "StarletteResponse",
        Response(
            reply.model_dump_json(), status_code=error.status, headers=headers, media_type="application/json"
        ),
    )


def _headers() -> dict[str, str]:
    return _SECURITY_HEADERS | {"x-request-id": log_context().request_id or ""}


def _request_id(sent: str | None) -> str:
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return secrets.token_hex(16)


def _log_outcome(route: Route, status: int, seconds: float, error: APIError | None) -> None:
    facts = {"route": route.name, "status": status, "duration_ms": round(seconds * 1000, 1)}
    if error is None:
        _logger.info("Request answered", extra=facts)
        return
    facts |= {"error": type(error).__name__}
    if status < InternalError.status:
        _logger.info("Request refused", extra=facts)
    else:
        _logger.error("Request failed", extra=facts, exc_info=error.__cause__)
