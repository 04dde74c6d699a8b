"""HTTP of the models' providers: one request for each attempt, over aiohttp. Imported when first used.

The official SDK costs half a second to load, and its client, with the HTTP client below it, twice the CPU of
all that is done here for a call; nothing of it is needed but a POST of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import aiohttp

from shared.llm.bounded_answer import MOST_BYTES
from shared.llm.passed_json import write_passed_json
from shared.llm.provider_errors import AnswerTooLongError, ProviderConnectionError, ProviderStatusError
from shared.resilience.azure_transport import send_once
from shared.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 5.0
_MOST_CONNECTIONS = 1000
_FIRST_SUCCESS, _LAST_SUCCESS = 200, 299
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_FAILURES = (aiohttp.ClientError, OSError)
_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",  # what compresses may keep parts back, and unfolds without bound
    "content-type": "application/json",
    "user-agent": f"tenantry/{VERSION}",
}
_EVENTS = _HEADERS | {"accept": "text/event-stream"}


class ProviderAnswer(Protocol):
    """Answer of which the head has come."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, looked up without regard to case."""
        ...

    async def read_part(self) -> bytes:
        """Wait for bytes, and return all that are there; none when it is over.

        Raises:
            ProviderConnectionError: It broke off.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection: it is used again only where the answer was read to its end."""
        ...


class SendsRequests(Protocol):
    """Connections to providers."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> ProviderAnswer:
        """Send a request once; it ends with whoever waits for it.

        Raises:
            ProviderConnectionError: No answer came.
        """
        ...

    async def close(self) -> None:
        """Close them all."""
        ...


class AiohttpConnections:
    """Connections to providers over aiohttp.

    Nothing of the environment is used, no redirect is followed, and no cookie kept. How long an answer may
    take is for the attempt's policy to say.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> ProviderAnswer:
        """Send a request once.

        Raises:
            ProviderConnectionError: No answer came.
        """
        if self._session is None:
            self._session = _open_session()
        try:
            response = await self._session.request(
                method, url, headers=headers, data=content, allow_redirects=False
            )
        except _FAILURES as error:
            raise _translate(error) from error
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        """Close them all."""
        if self._session is not None:
            await self._session.close()


def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        middlewares=(send_once,),
    )


class _AiohttpAnswer:
    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read_part(self) -> bytes:
        try:
            return await self._response.content.readany()
        except _FAILURES as error:
            raise _translate(error) from error

    async def close(self) -> None:
        self._response.close()


def _translate(error: Exception) -> ProviderConnectionError:
    return ProviderConnectionError(type(error).__name__, was_sent=not isinstance(error, _NEVER_SENT))


class ProviderHttp:
    """Requests to models' providers: each is one attempt, and what is no success is an error.

    Args:
        connections: What sends them.
    """

    def __init__(self, connections: SendsRequests) -> None:
        self._connections = connections

    async def post(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str], most_bytes: int = MOST_BYTES
    ) -> bytes:
        """Post a body, and return the whole answer's.

        Raises:
            ProviderStatusError: The answer is a refusal.
            ProviderConnectionError: None came, or it broke off.
            AnswerTooLongError: It has more bytes than `most_bytes`, or is compressed.
        """
        sent = {**_HEADERS, **headers}
        answer = await self._open("POST", url, sent, write_passed_json(body).encode())
        return await _read_whole(answer, most_bytes)

    async def open_stream(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> ProviderAnswer:
        """Post a body, and return the answer that streams; it is the caller's to close.

        Raises:
            ProviderStatusError: The answer is a refusal.
            ProviderConnectionError: None came.
            AnswerTooLongError: It is compressed.
        """
        return await self._open("POST", url, {**_EVENTS, **headers}, write_passed_json(body).encode())

    async def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        """Get a document.

        Raises:
            ProviderStatusError: The answer is a refusal.
            ProviderConnectionError: None came, or it broke off.
            AnswerTooLongError: It has more bytes than any answer has, or is compressed.
        """
        return await _read_whole(await self._open("GET", url, {**_HEADERS, **headers}, None), MOST_BYTES)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> ProviderAnswer:
        answer = await self._connections.send(method, url, headers, content)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.close()
            raise AnswerTooLongError
        if not _FIRST_SUCCESS <= answer.status <= _LAST_SUCCESS:
            said = await _read_whole(answer, MOST_BYTES)
            raise ProviderStatusError.of(answer.status, answer.headers, said)
        return answer


async def _read_whole(answer: ProviderAnswer, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = most_bytes
    try:
        while part := await answer.read_part():
            left -= len(part)
            if left < 0:
                raise AnswerTooLongError
            parts.append(part)
    finally:
        await answer.close()
    return b"".join(parts)
