"""Floor of all gateways: bare Starlette that forwards by aiohttp what it is sent, and looks at nothing.

`python -m tests.benchmarks.gateways.floor {port} {the upstream's URL}`.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

_KEY = {"authorization": "Bearer upstream", "content-type": "application/json"}


def build_app(upstream: str) -> Starlette:
    """Build the application that forwards to an upstream."""
    sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def open_session(_: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sessions.append(session)
            yield

    async def forward(request: Request) -> Response:
        body = await request.body()
        answer = await sessions[0].post(f"{upstream}/v1/chat/completions", data=body, headers=_KEY)
        if answer.content_type == "text/event-stream":
            return StreamingResponse(_pass_on(answer), answer.status, media_type="text/event-stream")
        async with answer:
            return Response(await answer.read(), answer.status, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", forward, methods=["POST"])], lifespan=open_session)


async def _pass_on(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for part in answer.content.iter_any():
            yield part


if __name__ == "__main__":
    uvicorn.run(build_app(sys.argv[2]), port=int(sys.argv[1]), log_level="warning", access_log=False)
