"""The routes: OpenAI's paths and Azure's."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.llm import admin
from local.llm.endpoint import Asked, Endpoint
from local.llm.errors import RefusedError
from local.llm.keys import mask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from local.llm.keys import Keys

_PREFIXES = ("", "/v1", "/openai", "/openai/v1")
_AZURE = "/openai/deployments/"
_METHOD_NOT_ALLOWED = 405


def build_app(endpoint: Endpoint | None = None) -> Starlette:
    """Build the ASGI application."""
    behind = endpoint or Endpoint(time.time, time.monotonic)

    def bind(answer: Callable[[Asked], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def bound(request: Request) -> Response:
            deployment = request.path_params.get("deployment")
            refused = _refused(request, behind.keys, azure=deployment is not None)
            response = refused or await answer(Asked(await request.body(), _abort(request), deployment))
            response.headers["x-request-id"] = uuid.uuid4().hex
            return response

        return bound

    async def models(request: Request) -> Response:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "local"}
            for name in behind.deployments.names()
        ]
        refused = _refused(request, behind.keys, azure=False)
        return refused or JSONResponse({"object": "list", "data": data})

    routes = [Route(f"{prefix}/models", models) for prefix in _PREFIXES]
    for path, answer in (("chat/completions", bind(behind.chat)), ("embeddings", bind(behind.embed))):
        routes += [Route(f"{prefix}/{path}", answer, methods=["POST"]) for prefix in _PREFIXES]
        routes.append(Route(f"{_AZURE}{{deployment}}/{path}", answer, methods=["POST"]))
    # Azure has it in its v1 interface alone.
    routes += [Route(f"{prefix}/responses", bind(behind.respond), methods=["POST"]) for prefix in _PREFIXES]
    return Starlette(
        routes=[*routes, *admin.routes(behind)],
        exception_handlers={HTTPException: _say_in_openais_shape, Exception: _say_it_broke},
    )


async def _say_in_openais_shape(request: Request, error: Exception) -> Response:
    """Answer what no route takes, in the shape of whoever has the path."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    path = request.url.path
    if error.status_code == _METHOD_NOT_ALLOWED:
        message = (
            f"Not allowed to {request.method} on {path} (HINT: Perhaps you meant to make your HTTP request "
            "using a different method?)"
        )
        refused = RefusedError(message, None, "method_not_supported", status=error.status_code)
    else:
        azure = {"code": str(error.status_code), "message": "Resource not found"}
        message = f"Invalid URL ({request.method} {path})"
        refused = RefusedError(message, status=error.status_code, azure=azure)
    headers = {**(error.headers or {}), "x-request-id": uuid.uuid4().hex}
    body = refused.body(azure=path.startswith(_AZURE))
    return JSONResponse(body, status_code=refused.status, headers=headers)


async def _say_it_broke(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    """Answer for a defect of this endpoint's own; the server logs it."""
    refused = RefusedError(
        "The server had an error while processing your request. Sorry about that!",
        status=500,
        kind="server_error",
    )
    return JSONResponse(refused.body(azure=False), status_code=refused.status)


def _refused(request: Request, keys: Keys, *, azure: bool) -> Response | None:
    """Refuse who has no good key; and on Azure's path who names no version, as Azure does: with a 404."""
    key = _key(request)
    if not key:
        error = _unauthorized("You didn't provide an API key.")
    elif not keys.accepts(key):
        error = _unauthorized(f"Incorrect API key provided: {mask(key)}.")
    elif azure and not request.query_params.get("api-version"):
        error = RefusedError(
            "Resource not found", status=404, azure={"code": "404", "message": "Resource not found"}
        )
    else:
        return None
    return JSONResponse(error.body(azure=azure), status_code=error.status)


def _key(request: Request) -> str:
    sent = request.headers.get("authorization", "")
    scheme, _, credential = sent.partition(" ")
    return request.headers.get("api-key") or (credential.strip() if scheme.lower() == "bearer" else sent)


def _unauthorized(message: str) -> RefusedError:
    azure = "Access denied due to invalid subscription key or wrong API endpoint."
    hint = "Any key will do here, unless some were named at /_local/keys."
    return RefusedError(
        f"{message} {hint}",
        None,
        "invalid_api_key",
        status=401,
        azure={"code": "401", "message": f"{azure} {hint}"},
    )


def _abort(request: Request) -> Callable[[], None]:
    """Give what cuts a request's connection; the server puts it there."""

    def abort() -> None:
        request.scope["state"]["abort"]()

    return abort
