"""`HttpSender` on aiohttp. Imported when first used."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from shared.tokens.client_http import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.tokens.client_http import HttpRequest

_CONNECT_SECONDS = 5.0
_MOST_BYTES = 64 * 1024
"""More than any answer of a token counter has."""


class AiohttpSender:
    """Sends over connections that are kept between `open` and `close`, and over its own otherwise."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Keep connections from now on."""
        if self._session is None:
            self._session = _session()

    async def close(self) -> None:
        """Close what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send one request and read its whole answer.

        Redirects are not followed: they would take the key along.

        Raises:
            ConnectionError: There is no answer.
        """
        try:
            async with (
                self._opened() as session,
                session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read(response.content)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpAnswer(response.status, headers, body)
        except aiohttp.ClientError as error:
            raise ConnectionError(type(error).__name__) from error

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self._session is not None:
            yield self._session
            return
        async with _session() as session:
            yield session


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = b""
    async for part in content.iter_any():
        body += part
        if len(body) > _MOST_BYTES:
            raise ConnectionError("the answer is no token counter's: it does not end")
    return body


def _session() -> aiohttp.ClientSession:
    # The whole call's time is the dependency's policy; the proxies of the environment are not asked for, as
    # the key goes to the address that was configured and nowhere else.
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS), trust_env=False
    )
