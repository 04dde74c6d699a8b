"""Transport of the Azure SDKs: aiohttp, one request per attempt. Imported when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse


class ConnectionLostError(aiohttp.ClientError):
    """The connection ended before the answer; unlike its cause, aiohttp does not send the request again."""


async def send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Turn the failures after which aiohttp would send a request again into one after which it does not.

    Raises:
        ConnectionLostError: The connection ended before the answer.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not try again
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLostError(str(error)) from error


class OneAttemptTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core exports it lazily, untyped
    """azure-core's transport without aiohttp's own second attempt, and without look-ups per request.

    aiohttp sends a GET, PUT or DELETE again when its connection is lost, which would make six requests of the
    three that the one retry layer counts. Looking up proxies and netrc is two hops through a thread pool for
    each request, 40 % of the SDK's time.
    """

    def __init__(self) -> None:
        super().__init__(use_env_settings=False)
        self._made = False

    async def open(self) -> None:
        """Open the session once; a closed transport stays closed."""
        if not self._made:
            self._made = True
            self.session = aiohttp.ClientSession(
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                middlewares=(send_once,),
            )
        await super().open()
