"""An app of FastAPI types: plain answers, streams, uploads, routes and failures."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_closed: list[str] = []
_produced = {"bytes": 0}


@app.route(route="ping", methods=["GET"])
async def ping(req: Request) -> Response:
    """Answer at once."""
    return Response("pong", media_type="text/plain")


@app.route(route="ping_sync", methods=["GET"])
def ping_sync(req: Request) -> Response:
    """Answer from a thread."""
    print("printed by a function")  # noqa: T201 -- as functions do
    logging.info("logged by a function")  # noqa: LOG015 -- as the functions of a beginner do
    return Response("pong from a thread")


@app.route(route="orders/{customer}/{id:int}/{*rest}", methods=["GET"])
async def order(req: Request) -> JSONResponse:
    """Answer with the route's parameters."""
    return JSONResponse({"params": dict(req.path_params), "query": dict(req.query_params)})


@app.route(route="echo", methods=["POST"])
async def echo(req: Request) -> Response:
    """Answer with what was uploaded, read as a stream."""
    chunks = [chunk async for chunk in req.stream()]
    return Response(b"".join(chunks), headers={"x-chunks": str(len([chunk for chunk in chunks if chunk]))})


@app.route(route="numbers/{count:int}", methods=["GET"])
async def numbers(req: Request) -> StreamingResponse:
    """Stream lines."""

    async def lines() -> AsyncIterator[bytes]:
        for number in range(int(req.path_params["count"])):
            yield f"{number}\n".encode()
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


@app.route(route="endless/{name}", methods=["GET"])
async def endless(req: Request) -> StreamingResponse:
    """Stream until the client leaves, and remember that it did."""
    name = req.path_params["name"]

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            _closed.append(name)

    return StreamingResponse(lines(), media_type="text/plain")


@app.route(route="flood", methods=["GET"])
async def flood(req: Request) -> StreamingResponse:
    """Stream 64 MB as fast as the client takes them."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            _produced["bytes"] += 1 << 20
            yield bytes(1 << 20)

    return StreamingResponse(chunks(), media_type="application/octet-stream")


@app.route(route="seen", methods=["GET"])
async def seen(req: Request) -> JSONResponse:
    """Answer with what the streams remember."""
    return JSONResponse({"closed": _closed, "produced": _produced["bytes"]})


@app.route(route="fails", methods=["GET"])
async def fails(req: Request) -> Response:
    """Raise."""
    raise ValueError("on purpose")


@app.route(route="fails_midway", methods=["GET"])
async def fails_midway(req: Request) -> StreamingResponse:
    """Raise when the answer has begun."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        raise ValueError("midway on purpose")

    return StreamingResponse(lines(), media_type="text/plain")


@app.route(route="too_slow", methods=["GET"])
async def too_slow(req: Request) -> Response:
    """Take longer than functionTimeout."""
    await asyncio.sleep(60)
    return Response("never")


@app.route(route="nap/{milliseconds:int}", methods=["GET"])
def nap(req: Request) -> Response:
    """Hold a thread for a while."""
    time.sleep(int(req.path_params["milliseconds"]) / 1000)
    return Response("slept")


@app.route(route="reads_once", methods=["POST"])
async def reads_once(req: Request) -> Response:
    """Read the first piece of a body and then take its time."""
    await anext(req.stream())
    await asyncio.sleep(60)
    return Response("never")


@app.route(route="uploads/{name}", methods=["POST"])
async def uploads(req: Request) -> Response:
    """Read a body, and remember whether it ended."""
    name = req.path_params["name"]
    try:
        await anext(req.stream())
        _closed.append(f"{name} began")
        await req.body()
    except ClientDisconnect:
        _closed.append(f"{name} broken off")
        raise
    return Response("whole")
