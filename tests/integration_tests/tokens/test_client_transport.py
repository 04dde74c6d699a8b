"""The HTTP transport against servers that misbehave, and with Azure AD's managed identity endpoint."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tenantry_client.errors import NoAnswerInTimeError, OutOfReachError, OverlongAnswerError
from tenantry_client.http.aiohttp_sender import AiohttpSender
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService, Times
from tenantry_client.token_client import MOST_ANSWER_BYTES, NAME, HttpTransport, TokenClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(60)

LOCKED = {"allowed": True, "request_id": "a:b", "message": "Locked"}
QUICK = Times(attempt=0.5, total=2, backoff=0.01)


@dataclass
class Server:
    """A server of raw bytes: what it heard, and how often it was connected to."""

    address: str = ""
    connections: int = 0
    open_connections: int = 0
    heard: list[bytes] = field(default_factory=list)


def answered(body: object, status: str = "200 OK", extra: str = "") -> bytes:
    content = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\n{extra}\r\n".encode() + content


@asynccontextmanager
async def serving(answer: Callable[[], bytes | None]) -> AsyncIterator[Server]:
    """Answer each request with some bytes; with None it is left without an answer."""
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open_connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                server.heard.append(head + body)
                if (content := answer()) is not None:
                    writer.write(content)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            server.open_connections -= 1
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.address = f"http://127.0.0.1:{port}"
    async with listening:
        yield server
        listening.close_clients()


def client_of(server: Server) -> TokenClient:
    sender = AiohttpSender(MOST_ANSWER_BYTES)
    service = HttpService(server.address, FixedKey("tk.acme.k.s"), sender, QUICK, NAME)
    return TokenClient("my_app", transport=HttpTransport(service))


async def all_closed(server: Server) -> None:
    async with asyncio.timeout(10):
        while server.open_connections:  # noqa: ASYNC110  # the server's side has no event for this
            await asyncio.sleep(0.01)


async def test_a_block_keeps_one_connection_and_a_call_without_one_leaves_none() -> None:
    async with serving(lambda: answered(LOCKED)) as server:
        async with client_of(server) as client:
            for _ in range(3):
                await client.lock_tokens(1)
            assert server.connections == 1
        await all_closed(server)

        for _ in range(2):
            await client.lock_tokens(1)
            await all_closed(server)
        assert server.connections == 3


async def test_the_key_follows_no_redirect_and_no_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(lambda: answered(LOCKED)) as elsewhere:
        moved = answered({}, "307 Temporary Redirect", f"location: {elsewhere.address}/\r\n")
        async with serving(lambda: moved) as server:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, elsewhere.address)
            with pytest.raises(OutOfReachError, match="307"):
                await client_of(server).lock_tokens(1)

        assert len(server.heard) == 1
        assert elsewhere.heard == []


async def test_an_answer_without_an_end_is_none() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b" " * 200_000
    async with serving(lambda: endless) as server:
        with pytest.raises(OverlongAnswerError):
            await client_of(server).lock_tokens(1)
        assert len(server.heard) == 1  # another one would be no shorter
        await all_closed(server)


async def test_a_server_that_hangs_up_or_does_not_answer_is_given_up_in_time() -> None:
    began = time.monotonic()
    async with serving(lambda: None) as silent:
        with pytest.raises(NoAnswerInTimeError):
            await client_of(silent).lock_tokens(1)
        await all_closed(silent)
    async with serving(lambda: b"what?\r\n\r\n") as babbling:
        with pytest.raises(OutOfReachError):
            await client_of(babbling).lock_tokens(1)
        assert len(babbling.heard) == 3
    assert time.monotonic() - began < 30  # neither ever answers


async def test_azure_ad_authenticates_instead_of_the_key(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure gives an app an endpoint that issues its tokens; `DefaultAzureCredential` asks it by itself."""
    key = platform.caller(platform.new_tenant(), "user").key
    token = {
        "access_token": key,
        "expires_on": str(int(time.time()) + 3600),
        "resource": "api://token-counter",
        "token_type": "Bearer",
    }
    async with serving(lambda: answered(token, extra="content-type: application/json\r\n")) as identity:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{identity.address}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("TOKEN_COUNTER_KEY", "not.this.one")
        client = TokenClient(
            app_id="my_app",
            base_url=platform.addresses["app"],
            resource_uri="api://token-counter",
            use_auth=True,
        )

        for _ in range(2):
            assert (await client.lock_tokens(1)).allowed

        assert len(identity.heard) == 1
        assert b"resource=api" in identity.heard[0]
