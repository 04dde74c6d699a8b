"""An app whose functions end in every way that code can end, and one that says what it was given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_seen: list[str] = []


class PanicException(BaseException):
    """A panic of a native library."""


_ERRORS: dict[str, Callable[[], BaseException]] = {
    "error": lambda: ValueError("on purpose"),
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "panic": lambda: PanicException("called unwrap on a None"),
    "cancelled": asyncio.CancelledError,
    "generator_exit": GeneratorExit,
}


def _end(way: str) -> NoReturn:
    error = _ERRORS[way]()
    raise error


@app.route(route="ends/{way}", methods=["GET"])
async def ends(req: Request) -> Response:
    """Raise."""
    _end(req.path_params["way"])


@app.route(route="ends_in_a_thread/{way}", methods=["GET"])
def ends_in_a_thread(req: Request) -> Response:
    """Raise in a thread."""
    _end(req.path_params["way"])


@app.route(route="ends_in_a_child/{way}", methods=["GET"])
async def ends_in_a_child(req: Request) -> Response:
    """Raise in a task that the function waits for."""

    async def end() -> None:
        await asyncio.sleep(0)
        _end(req.path_params["way"])

    await asyncio.gather(end(), asyncio.sleep(0))
    return Response("never")


@app.route(route="cancels_itself", methods=["GET"])
async def cancels_itself(req: Request) -> Response:
    """Cancel the task that the function runs in."""
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
    await asyncio.sleep(1)
    return Response("never")


@app.route(route="ends_midway/{way}", methods=["GET"])
async def ends_midway(req: Request) -> StreamingResponse:
    """Raise when the answer has begun."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        _end(req.path_params["way"])

    return StreamingResponse(lines(), media_type="text/plain")


@app.route(route="status/{code:int}", methods=["GET"])
async def status(req: Request) -> Response:
    """Answer with a status."""
    return Response("body", status_code=int(req.path_params["code"]))


@app.route(route="header", methods=["GET"])
async def header(req: Request) -> Response:
    """Answer with a header that holds a line break."""
    response = Response("body")
    response.raw_headers.append((b"x-broken", b"a\nb"))
    return response


@app.route(route="waits/{name}", methods=["GET"])
async def waits(req: Request) -> Response:
    """Wait for longer than anybody, and remember how that ended."""
    name = req.path_params["name"]
    _seen.append(f"{name} began")
    try:
        await asyncio.sleep(600)
    finally:
        _seen.append(f"{name} ended")
    return Response("never")


@app.route(route="reads", methods=["POST"])
async def reads(req: Request) -> Response:
    """Read the body."""
    return Response(str(len(await req.body())))


@app.route(route="seen", methods=["GET"])
async def seen(req: Request) -> JSONResponse:
    """Answer with what is remembered."""
    return JSONResponse(_seen)


@app.route(route="{*rest}")
async def anything_else(req: Request) -> JSONResponse:
    """Answer for every other path, with what of the request a function sees."""
    told = {"rest": req.path_params.get("rest"), "path": req.url.path}
    return JSONResponse(told, status_code=404, headers={"x-app": "says so"})
