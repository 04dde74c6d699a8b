"""`Sender` on aiohttp. Imported when first used."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from tenantry_client.errors import OverlongAnswerError
from tenantry_client.http.service import Reply
from tenantry_client.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_CONNECT_SECONDS = 5.0
_MOST_CONNECTIONS = 100


class AiohttpSender:
    """Connections that are kept between `open` and `close`; outside of that, one for each request.

    Redirects are not followed: they would take the key along.

    Args:
        most_bytes: The longest answer that is read.
        proxy: The proxy that requests go through, which sees the key where the address is http.
    """

    def __init__(self, most_bytes: int, proxy: str | None = None) -> None:
        self._most_bytes = most_bytes
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Keep connections from now on."""
        if self._session is None:
            self._session = _new_session()

    async def close(self) -> None:
        """Close what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request and read its whole answer.

        Raises:
            ConnectionError: There is no answer.
            OverlongAnswerError: It has more bytes than are read.
        """
        try:
            async with (
                self._connected() as session,
                session.request(
                    method, url, headers=headers, data=body, allow_redirects=False, proxy=self._proxy
                ) as response,
            ):
                content = await self._read(response.content)
                named = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, named, content)
        except aiohttp.ClientError as error:
            # aiohttp's own text may be the address alone, or nothing.
            failure = ConnectionError(f"{type(error).__name__} {error}".strip())
        raise failure

    async def _read(self, stream: aiohttp.StreamReader) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in stream.iter_any():
            size += len(part)
            if size > self._most_bytes:
                raise OverlongAnswerError(f"The answer has more than {self._most_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self._session is not None:
            yield self._session
            return
        async with _new_session() as session:
            yield session


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an address."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _new_session() -> aiohttp.ClientSession:
    # A call's time is the service's policy. The environment is not asked for proxies, as the key goes to the
    # address that was configured and nowhere else, nor for a netrc file; and no cookie is kept.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": f"tenantry-client/{VERSION}", "accept-encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        trust_env=False,
    )
