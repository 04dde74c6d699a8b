"""How a capability declares its routes.

A trigger module declares them on a `Routes`; the same declaration registers the function with the host,
decides who may call it, validates what comes in and describes the route in the OpenAPI document.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Required, TypedDict, Unpack, cast, get_args, get_origin

import azure.functions as func
from azurefunctions.extensions.http.fastapi import (  # noqa: TC002  # the worker resolves annotations here
    Request,
    Response,
)
from pydantic import BaseModel

from shared.http.pipeline import serve
from shared.http.responses import HTML, JSON, HtmlPage
from shared.http.route import ANY_METHOD, Answered, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.http.route import EdgeServices, Handler
    from shared.tenancy.context import Role

ANSWER_SECONDS = 30.0
LONGEST_ANSWER_SECONDS = 185.0
"""The platform's gateway cuts an answer off at 230 s, and 200 s are promised. The rest is for what
is still to be settled when the time is over."""

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Declaration(TypedDict, total=False):
    """What a route says of itself beside its method and path.

    Attributes:
        who: The least role that may call it; None for open routes.
        status: The status of success; 200 unless it is said.
        also: Further statuses that its own replies have, and what each means.
        counts: Further headers of its own replies, each a whole number, and what it tells.
        derives: The body's field that names the one aggregate that a POST makes. Where it is left out, an id
            derived from the Idempotency-Key stands in it, and is the claim.
        secret: The answer holds a secret: it is never stored, and no Idempotency-Key is honoured.
        seconds: How long an answer may take; 30 unless it is said, 185 at most.
    """

    who: Required[Role | None]
    status: int
    also: Mapping[int, str]
    counts: Mapping[str, str]
    derives: str
    secret: bool
    seconds: float


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
        counts=declared.get("counts", {}),
        inputs=inputs,
        takes_if_match="if_match" in signature.parameters,
        reply=reply if isinstance(reply, type) and issubclass(reply, BaseModel) else None,
        derives=declared.get("derives"),
        repeatable=method == "POST" and not declared.get("secret", False),
        takes_operation_id="operation_id" in signature.parameters,
        seconds=declared.get("seconds", ANSWER_SECONDS),
        media_type=HTML if returned is HtmlPage else JSON,
    )


def _function_for(route: Route, services: EdgeServices) -> Callable[[Any], Awaitable[Any]]:
    async def function(req: Request) -> Response:
        return await serve(route, services, req)

    # The host names the function after this; `functools.wraps` would expose the handler's signature to the
    # indexing, which refuses parameters that are no bindings.
    function.__name__ = function.__qualname__ = route.name
    function.__doc__ = route.summary
    return function
