"""One server's documents: bounded, without redirects, tried again only where that may help."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.errors import DependencyUnavailableError
from shared.resilience.dependency import Dependency
from shared.resilience.http_get import HttpGet, classify
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_BYTES = 100


class Server:
    """A server that answers what it is told, in turn, and counts."""

    def __init__(self, *answers: web.Response) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return self._answers.pop(0) if self._answers else web.Response(body=b"later")


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[tuple[HttpGet, str]]:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    client = HttpGet(Dependency("the issuer", classify, clock=FakeClock()), MOST_BYTES)
    async with TestServer(app) as listening:
        try:
            yield client, str(listening.make_url("/keys"))
        finally:
            await client.close()


@pytest.mark.parametrize("size", [0, 1, 99, 100])
async def test_a_document_of_up_to_the_bound_is_returned_whole(size: int) -> None:
    server = Server(web.Response(body=b"x" * size))
    async with client_of(server) as (client, url):
        assert await client.fetch(url) == b"x" * size
    assert server.asked == ["/keys"]


async def test_a_document_of_one_byte_more_is_refused_at_once() -> None:
    server = Server(web.Response(body=b"x" * 101))
    async with client_of(server) as (client, url):
        with pytest.raises(DependencyUnavailableError, match="answered more than it should"):
            await client.fetch(url)
    assert server.asked == ["/keys"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_server_that_is_out_for_a_moment_is_asked_again(status: int) -> None:
    server = Server(web.Response(status=status), web.Response(body=b"found"))
    async with client_of(server) as (client, url):
        assert await client.fetch(url) == b"found"
    assert server.asked == ["/keys", "/keys"]


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 404])
async def test_any_other_answer_is_refused_and_no_redirect_is_followed(status: int) -> None:
    server = Server(web.Response(status=status, headers={"location": "/elsewhere"}))
    async with client_of(server) as (client, url):
        with pytest.raises(DependencyUnavailableError, match=f"answered {status}"):
            await client.fetch(url)
    assert server.asked == ["/keys"]
