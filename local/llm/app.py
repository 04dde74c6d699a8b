"""The routes: OpenAI's paths and Azure's."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.llm import admin
from local.llm.endpoint import Asked, Endpoint
from local.llm.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

_PREFIXES = ("", "/v1", "/openai", "/openai/v1")


def build_app(endpoint: Endpoint | None = None) -> Starlette:
    """Build the ASGI application."""
    behind = endpoint or Endpoint(time.time, time.monotonic)

    async def chat(request: Request) -> Response:
        deployment = request.path_params.get("deployment")
        refused = _refused(request, azure=deployment is not None)
        response = refused or await behind.chat(Asked(await request.body(), _abort(request), deployment))
        response.headers["x-request-id"] = uuid.uuid4().hex
        return response

    async def models(request: Request) -> Response:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "local"}
            for name in behind.deployments.names()
        ]
        return _refused(request, azure=False) or JSONResponse({"object": "list", "data": data})

    routes = [Route(f"{prefix}/models", models) for prefix in _PREFIXES]
    routes += [Route(f"{prefix}/chat/completions", chat, methods=["POST"]) for prefix in _PREFIXES]
    routes.append(Route("/openai/deployments/{deployment}/chat/completions", chat, methods=["POST"]))
    return Starlette(routes=[*routes, *admin.routes(behind)])


def _refused(request: Request, *, azure: bool) -> Response | None:
    """Refuse who has no key; and on Azure's path who names no version, as Azure does: with a 404."""
    if not (request.headers.get("api-key") or request.headers.get("authorization")):
        error = RefusedError(
            "You didn't provide an API key; any will do here",
            None,
            "invalid_api_key",
            status=401,
            azure={
                "code": "401",
                "message": "Access denied due to invalid subscription key or wrong API endpoint. Any key "
                "will do here.",
            },
        )
    elif azure and not request.query_params.get("api-version"):
        error = RefusedError(
            "Resource not found", status=404, azure={"code": "404", "message": "Resource not found"}
        )
    else:
        return None
    return JSONResponse(error.body(azure=azure), status_code=error.status)


def _abort(request: Request) -> Callable[[], None]:
    """Give what cuts a request's connection; the server puts it there."""

    def abort() -> None:
        request.scope["state"]["abort"]()

    return abort
