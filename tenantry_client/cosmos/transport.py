"""Port to connections: carries a request to a place and brings its answer, or tells which half failed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tenantry_client.cosmos.answers import Answer

IDLE_SECONDS: Final = 45.0
"""Below the time after which gateways close a connection that is not used."""
READ_BYTES: Final = 16 * 1024
"""The most that is read at once: a record of TLS, and below what the C library maps and unmaps each time."""


class NotSentError(Exception):
    """The request did not leave: it has had no effect, and may be sent again."""


class AnswerLostError(Exception):
    """The request may have left, and its answer did not come: it may have had its effect."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address that requests go to.

    Attributes:
        host: Name or address, without brackets.
        port: The port.
        is_secure: Whether TLS is spoken.
        authority: The value of the Host header.
        url: The address as the account names it.
    """

    host: str
    port: int
    is_secure: bool
    authority: str
    url: str

    def __hash__(self) -> int:
        return hash(self.url)

    @classmethod
    def parse(cls, url: str) -> Place:
        """Read an address such as `https://account.documents.azure.com:443/`.

        Raises:
            ValueError: It is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"no address of an account: {url!r}")
        secure = parts.scheme == "https"
        usual = 443 if secure else 80
        port = parts.port or usual
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(parts.hostname, port, secure, name if port == usual else f"{name}:{port}", url)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a request may take.

    Attributes:
        connect: To get a connection.
        read: From sending to the whole answer.
    """

    connect: float = 5.0
    read: float = 65.0


class SharedLock(Protocol):
    """A lock for which nobody waits longer than an operation may take."""

    def held(self, end: float | None = None) -> AbstractAsyncContextManager[None]:
        """Hold it for a block.

        Args:
            end: When the operation has to be done, by the monotonic clock; None for whenever.

        Raises:
            CosmosClientTimeoutError: It was not to be had by then.
        """
        ...


class Transport(Protocol):
    """A bounded pool of connections.

    The blocking one never suspends, so that a coroutine over it can be run in one go.
    """

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        """Send a request; return its answer.

        Raises:
            NotSentError: It did not leave.
            AnswerLostError: It may have left.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def new_lock(self) -> SharedLock:
        """Return a lock for those who share this transport."""
        ...

    async def close(self) -> None:
        """Close all connections; what is waiting fails."""
        ...


def tls_context(verify: bool | str | ssl.SSLContext) -> ssl.SSLContext:  # noqa: FBT001 - as azure-core takes it
    """Return how TLS is spoken: with the system's authorities, a file of them, or unverified if asked for."""
    if isinstance(verify, ssl.SSLContext):
        return verify
    return _trusting_the_system() if verify is True else _new_context(verify)


@cache
def _trusting_the_system() -> ssl.SSLContext:
    """Read the system's authorities once for all clients: that takes 20 ms."""
    return _new_context(verify=True)


def _new_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - as above
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    context.set_alpn_protocols(["http/1.1"])
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
