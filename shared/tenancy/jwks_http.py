"""The identity provider's documents over HTTP. Imported when first used: aiohttp costs 0.2 s."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from shared.errors import DependencyUnavailableError
from shared.resilience.policy import Policy, Transient
from shared.tenancy.jwks import PROVIDER

if TYPE_CHECKING:
    from shared.resilience.dependency import Dependency

POLICY = Policy(attempts=3, attempt_seconds=2.0, total_seconds=5.0, backoff_seconds=0.1)
MAX_BYTES = 256 * 1024

_OK = 200
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class _RefusedError(Exception):
    """The provider answered with a status that another attempt may change."""


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of the provider another attempt may cure."""
    transient = (_RefusedError, aiohttp.ClientError, ConnectionError)
    return Transient() if isinstance(error, transient) else None


class HttpDocuments:
    """Fetches documents: bounded in size, without following redirects, without the environment's proxies."""

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """Return a document."""
        return await self._dependency.call(lambda: self._get(url))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=POLICY.attempt_seconds)
            self._session = aiohttp.ClientSession(trust_env=False, timeout=timeout)
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in _TRANSIENT:
                raise _RefusedError(str(response.status))
            if response.status != _OK:
                raise DependencyUnavailableError(PROVIDER, f"answered {response.status} for its keys")
            content = bytearray()
            async for part in response.content.iter_any():
                content += part
                if len(content) > MAX_BYTES:
                    raise DependencyUnavailableError(PROVIDER, "answered more than its keys can be")
            return bytes(content)
