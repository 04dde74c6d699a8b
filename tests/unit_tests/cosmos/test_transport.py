"""The SDKs' transport sends each request once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import aiohttp
import pytest

from shared.resilience.azure_transport import ConnectionLostError, OneAttemptTransport, send_once

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientResponse
    from aiohttp.client_reqrep import ConnectionKey

REQUEST = cast("ClientRequest", None)


async def sent_over(error: Exception | None) -> object:
    async def handler(_: ClientRequest) -> ClientResponse:
        if error is not None:
            raise error
        return cast("ClientResponse", "answered")

    return await send_once(REQUEST, handler)


@pytest.mark.parametrize("error", [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104, "reset")])
async def test_a_lost_connection_is_nothing_that_aiohttp_tries_again(error: Exception) -> None:
    with pytest.raises(ConnectionLostError) as caught:
        await sent_over(error)

    assert caught.value.__cause__ is error
    assert not isinstance(caught.value, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


async def test_a_refused_connection_and_an_answer_pass_as_they_are() -> None:
    refused = aiohttp.ClientConnectorError(cast("ConnectionKey", None), OSError(111, "refused"))

    with pytest.raises(aiohttp.ClientConnectorError):
        await sent_over(refused)
    assert await sent_over(None) == "answered"


async def test_a_closed_transport_stays_closed() -> None:
    transport = OneAttemptTransport()
    async with transport:
        assert not transport.session.closed

    with pytest.raises(ValueError, match="already been closed"):
        await transport.open()


async def test_neither_proxies_nor_netrc_are_looked_up_for_each_request() -> None:
    async with OneAttemptTransport() as transport:
        assert transport.session.trust_env is False
