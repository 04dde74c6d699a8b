"""An ASGI application as a function app: one catch-all route at the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


async def hello(request: Request) -> PlainTextResponse:
    """Greet."""
    return PlainTextResponse(f"hello {request.query_params.get('name', 'world')}")


async def echo(request: Request) -> JSONResponse:
    """Answer with what was sent."""
    return JSONResponse(await request.json(), status_code=201)


web = Starlette(routes=[Route("/hello", hello), Route("/things/{id}", echo, methods=["POST"])])
app = func.AsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
