"""Declaration of a capability's routes.

    routes = Routes(runtime, "reasoning")

    @routes.post("v1/reasoning/jobs", min_role=Role.USER, status=202, id_field="id")
    async def accept_job(tenant: TenantContext, job: JobRequest) -> JobAccepted:
        ...

The same declaration registers the function with the host, decides who may call it, validates the request and
describes the route in the OpenAPI document. A handler's arguments are filled by their types (`inputs.py`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any, Required, TypedDict, Union, Unpack, cast, get_args, get_origin

import azure.functions as func
from azurefunctions.extensions.http.fastapi import (  # noqa: TC002  # the worker resolves annotations here
    Request,
    Response,
)
from pydantic import BaseModel

from shared.http.bounds import RouteBounds
from shared.http.dialect import OWN, Dialect
from shared.http.inputs import InputSource, RouteDeclarationError, read_inputs
from shared.http.pipeline import serve
from shared.http.responses import HTML, JSON, HtmlPage
from shared.http.route import ANY_METHOD, Answered, JsonReply, Route
from shared.http.streaming import EventStream
from shared.tenancy.context import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.http.models import PathModel
    from shared.http.route import EdgeServices, Handler

ANSWER_SECONDS = 30.0
LONGEST_ANSWER_SECONDS = 185.0
"""The platform's gateway cuts an answer off at 230 s, and 200 s are promised. The rest is for what
is still to be settled when the time is over."""

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Declaration(TypedDict, total=False):
    """Facts that a route declares beside its method and path.

    Attributes:
        min_role: The least role that may call it; None for open routes.
        path: The model of the path's parameters, where the handler does not take them.
        status: The status of success; 200 unless it is said.
        extra_statuses: Further statuses that its own replies have, and what each means.
        response_headers: Further headers of its own replies, each a whole number, and what it tells.
        id_field: The body's field that names the one aggregate that a POST makes. Where it is left out, an id
            derived from the Idempotency-Key stands in it, and is the claim.
        secret: The answer holds a secret: it is never stored, and no Idempotency-Key is honoured.
        seconds: How long an answer may take; 30 unless it is said, 185 at most.
        bounds: Bounds of its body and its answer, where they are others than everybody's.
        hidden: The OpenAPI document leaves it out: it gives files, and is no operation.
    """

    min_role: Required[Role | None]
    path: type[PathModel]
    status: int
    extra_statuses: Mapping[int, str]
    response_headers: Mapping[str, str]
    id_field: str
    secret: bool
    seconds: float
    bounds: RouteBounds
    hidden: bool


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of one capability, registered on its blueprint as they are declared."""

    services: EdgeServices
    tag: str
    blueprint: func.Blueprint = field(default_factory=func.Blueprint)
    dialect: Dialect = OWN

    def speaking(self, dialect: Dialect, tag: str) -> Routes:
        """Return routes of the same capability that speak another dialect."""
        return Routes(self.services, tag, self.blueprint, dialect)

    def get(self, path: str, /, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a GET route."""
        return self._declare("GET", path, declared)

    def post(self, path: str, /, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a POST route."""
        return self._declare("POST", path, declared)

    def put(self, path: str, /, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a PUT route."""
        return self._declare("PUT", path, declared)

    def patch(self, path: str, /, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a PATCH route."""
        return self._declare("PATCH", path, declared)

    def delete(self, path: str, /, **declared: Unpack[Declaration]) -> Callable[[Handler], Handler]:
        """Declare a DELETE route; it answers 204 unless it says otherwise."""
        return self._declare("DELETE", path, {"status": 204, **declared})

    def catch_all(self, path: str) -> Callable[[Handler], Handler]:
        """Declare an open route for every method and any path; the OpenAPI document does not show it."""
        return self._declare(ANY_METHOD, path, {"min_role": None})

    def _declare(self, method: str, path: str, declared: Declaration) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            route = _describe(handler, method, path, self, declared)
            self.services.routes.append(route)
            bind = self.blueprint.route(
                route=route.path,
                methods=_METHODS if method == ANY_METHOD else [method],
                auth_level=func.AuthLevel.ANONYMOUS,
            )
            bind(_function_for(route, self.services))
            return handler

        return register


def _describe(handler: Handler, method: str, path: str, routes: Routes, declared: Declaration) -> Route:
    signature = inspect.signature(handler, eval_str=True)
    returned = signature.return_annotation
    parts = get_args(returned) if get_origin(returned) in {Union, UnionType} else (returned,)
    kinds = [kind for kind in parts if get_origin(kind) is not EventStream]
    streams = len(kinds) < len(parts)
    reply = kinds[0] if streams else returned
    if get_origin(reply) in {Answered, JsonReply}:
        [reply] = get_args(reply)
    name = cast("str", getattr(handler, "__name__", ""))
    route = Route(
        method=method,
        path=path,
        name=name,
        tag=routes.tag,
        summary=(inspect.getdoc(handler) or "").partition("\n")[0].rstrip("."),
        handler=handler,
        min_role=declared["min_role"],
        inputs=read_inputs(name, signature, path, declared.get("path")),
        status=declared.get("status", 200),
        extra_statuses=declared.get("extra_statuses", {}),
        response_headers=declared.get("response_headers", {}),
        reply=reply if isinstance(reply, type) and issubclass(reply, BaseModel) else None,
        id_field=declared.get("id_field"),
        repeatable=method == "POST" and not declared.get("secret", False),
        seconds=declared.get("seconds", ANSWER_SECONDS),
        media_type=HTML if returned is HtmlPage else JSON,
        streams=streams,
        bounds=declared.get("bounds", RouteBounds()),
        dialect=routes.dialect,
        hidden=declared.get("hidden", False),
    )
    _check(route)
    return route


def _check(route: Route) -> None:
    """Refuse declarations that contradict themselves."""
    if route.min_role is None and route.inputs.takes(InputSource.CALLER):
        raise RouteDeclarationError(route.name, "an open route has no caller")
    if not route.serves_tenants and route.min_role is not Role.ADMIN:
        raise RouteDeclarationError(route.name, "a PlatformContext needs min_role=Role.ADMIN")
    if route.inputs.takes(InputSource.OPERATION_ID) and not route.repeatable:
        raise RouteDeclarationError(route.name, "only a POST without a secret has an OperationId")
    body = route.inputs.body
    if route.id_field is not None and (body is None or route.id_field not in body.model_fields):
        raise RouteDeclarationError(route.name, f"the body has no field '{route.id_field}'")


def _function_for(route: Route, services: EdgeServices) -> Callable[[Any], Awaitable[Any]]:
    async def function(req: Request) -> Response:
        return await serve(route, services, req)

    # The host names the function after this; `functools.wraps` would expose the handler's signature to the
    # indexing, which refuses parameters that are no bindings.
    function.__name__ = function.__qualname__ = route.name
    function.__doc__ = route.summary
    return function
