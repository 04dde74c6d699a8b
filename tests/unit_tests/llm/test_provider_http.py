"""Requests to a provider over real connections: what is sent, bounded, told of failures, and used again."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.llm.provider_errors import AnswerTooLongError, ProviderConnectionError, ProviderStatusError
from shared.llm.provider_http import AiohttpConnections, ProviderHttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Provider:
    """A provider under control.

    Attributes:
        http: Asks it.
        url: Where it is.
        requests: What it was asked.
        connections: The connections that it was asked over.
    """

    http: ProviderHttp
    url: str = ""
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: set[asyncio.BaseTransport | None] = field(default_factory=set)

    async def post(self, **more: int) -> bytes:
        return await self.http.post(self.url, {"model": "m"}, {"api-key": "k"}, **more)


@asynccontextmanager
async def provider(handler: Handler) -> AsyncIterator[Provider]:
    asked = Provider(ProviderHttp(AiohttpConnections()))

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.requests.append(request)
        asked.bodies.append(await request.read())
        asked.connections.add(request.transport)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        asked.url = str(server.make_url("/v1/chat/completions"))
        try:
            yield asked
        finally:
            await asked.http.close()


async def answer(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"a": 1}', headers={"set-cookie": "session=somebody"})


def refusing(status: int, content: bytes, **headers: str) -> Handler:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=content, headers=headers)

    return refuse


async def test_a_request_carries_what_it_is_given_and_nothing_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with provider(answer) as asked:
        assert [await asked.post() for _ in range(2)] == [b'{"a": 1}'] * 2
    assert asked.bodies == [b'{"model":"m"}'] * 2
    for request in asked.requests:
        assert request.headers["api-key"] == "k"
        assert request.headers["accept-encoding"] == "identity"
        assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}


async def test_a_connection_whose_answer_was_read_is_used_again() -> None:
    async with provider(answer) as asked:
        for _ in range(3):
            await asked.post()
    assert len(asked.connections) == 1


@pytest.mark.parametrize(
    ("content", "code", "parameter"),
    [
        (b'{"error": {"code": "content_filter", "param": "messages[0]"}}', "content_filter", "messages[0]"),
        (b'{"code": 404, "message": "no"}', "404", None),
        (b'{"error": "no"}', None, None),
        (b'{"error": {"code": null, "param": 3}}', None, 3),
        (b"[]", None, None),
        (b"<html>busy</html>", None, None),
        (b"[" * 100_000, None, None),
        (b"", None, None),
    ],
)
async def test_of_a_refusal_its_status_headers_code_and_parameter_are_told(
    content: bytes, code: str | None, parameter: object
) -> None:
    async with provider(refusing(429, content, **{"Retry-After": "7"})) as asked:
        for opening in (
            asked.post(),
            asked.http.open_stream(asked.url, {}, {}),
            asked.http.get(asked.url, {}),
        ):
            with pytest.raises(ProviderStatusError) as caught:
                await opening
            told = caught.value
            assert (told.status, told.code, told.parameter) == (429, code, parameter)
            assert told.headers.get("retry-after") == "7"
            assert "busy" not in str(told)


async def test_a_redirection_is_not_followed() -> None:
    async with provider(refusing(307, b"moved", location="/elsewhere")) as asked:
        with pytest.raises(ProviderStatusError):
            await asked.post()
    assert [request.path for request in asked.requests] == ["/v1/chat/completions"]


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
async def test_a_longer_answer_than_is_read_is_an_error(size: int, *, fits: bool) -> None:
    async with provider(refusing(200, b"x" * size)) as asked:
        if fits:
            assert await asked.post(most_bytes=100) == b"x" * size
        else:
            with pytest.raises(AnswerTooLongError):
                await asked.post(most_bytes=100)


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_that_is_compressed_unasked_is_not_unfolded(status: int) -> None:
    async with provider(refusing(status, b"\x1f\x8b", **{"content-encoding": "gzip"})) as asked:
        with pytest.raises(AnswerTooLongError):
            await asked.post()


async def test_a_provider_that_is_not_there_was_sent_nothing() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        http = ProviderHttp(AiohttpConnections())
        with pytest.raises(ProviderConnectionError) as caught:
            await http.post(f"http://127.0.0.1:{bound.getsockname()[1]}/", {}, {})
        await http.close()
    assert not caught.value.was_sent


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_is_lost_before_the_answer_may_have_carried_the_request(method: str) -> None:
    async def leave(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with provider(leave) as asked:
        with pytest.raises(ProviderConnectionError) as caught:
            await (asked.post() if method == "POST" else asked.http.get(asked.url, {}))
    assert caught.value.was_sent
    assert len(asked.requests) == 1  # an attempt is one request, whatever its method


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"half of it")
        assert request.transport is not None
        request.transport.close()
        return response

    async with provider(break_off) as asked:
        with pytest.raises(ProviderConnectionError):
            await asked.post()


async def test_a_stream_comes_as_it_is_sent_and_one_that_is_left_takes_its_connection_along() -> None:
    going_on, left = asyncio.Event(), asyncio.Event()

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await going_on.wait()
        await response.write(b"data: 2\n\n")
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with provider(tell) as asked:
        streamed = await asked.http.open_stream(asked.url, {}, {})
        assert await streamed.read_part() == b"data: 1\n\n"
        going_on.set()
        assert await streamed.read_part() == b"data: 2\n\n"
        await streamed.close()
        await left.wait()
    assert asked.requests[0].headers["accept"] == "text/event-stream"
