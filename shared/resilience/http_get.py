"""GET of other people's documents, bounded in size. Imported when first used: aiohttp costs 0.2 s."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from shared.errors import DependencyUnavailableError
from shared.resilience.azure_transport import send_once
from shared.resilience.policy import Transient

if TYPE_CHECKING:
    from shared.resilience.dependency import Dependency

_OK = 200
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class TransientStatusError(Exception):
    """A status that another attempt may change."""


def classify(error: BaseException) -> Transient | None:
    """Tell which failures another attempt may cure."""
    transient = (TransientStatusError, aiohttp.ClientError, ConnectionError)
    return Transient() if isinstance(error, transient) else None


class HttpGet:
    """Client of one server: it follows no redirects and asks no proxies of the environment.

    Args:
        dependency: The server's policy and breaker.
        max_bytes: The most bytes of a document.
    """

    def __init__(self, dependency: Dependency, max_bytes: int) -> None:
        self._dependency = dependency
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """Return a document.

        Raises:
            DependencyUnavailableError: The server refuses it, or it is too large.
            DependencyTimeoutError: It takes too long.
        """
        return await self._dependency.call(lambda: self._get(url))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            # The time of an attempt is the dependency's policy.
            self._session = aiohttp.ClientSession(
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                middlewares=(send_once,),
            )
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in _TRANSIENT:
                raise TransientStatusError(str(response.status))
            if response.status != _OK:
                raise DependencyUnavailableError(self._dependency.name, f"answered {response.status}")
            content = bytearray()
            async for part in response.content.iter_any():
                content += part
                if len(content) > self._max_bytes:
                    raise DependencyUnavailableError(self._dependency.name, "answered more than it should")
            return bytes(content)
