"""POST to receivers of webhooks: to public addresses alone, once, following nothing.

Imported when first used: aiohttp costs 0.2 s.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, override

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from functions.webhooks.addresses import is_allowed
from shared.webhooks.deliveries import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from aiohappyeyeballs import AddrInfoType

type AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
type LookUp = Callable[[str, int], Sequence[AddressInfo]]

ATTEMPT_SECONDS = 10.0
"""The time limit of one attempt, from the look-up of the name to the answer's headers."""

_GONE = 410
_FIRST_SUCCESS, _LAST_SUCCESS = 200, 299
_REDIRECTS = range(300, 400)
_MOST_CONNECTIONS = 8


_LOOKUPS = ThreadPoolExecutor(32, "webhook-names")
"""Threads of their own: names are chosen by tenants, and one that hangs takes none of the app's."""


def look_up_name(host: str, port: int) -> Sequence[AddressInfo]:
    """Ask the system for a name's addresses."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class NameResolver(AbstractResolver):
    """Resolver of receivers' names.

    Args:
        look_up: Asks the system.
    """

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a name's addresses.

        Raises:
            OSError: It has none.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(_LOOKUPS, self._look_up, host, port)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=its_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for its_family, _, protocol, _, address in found
        ]

    @override
    async def close(self) -> None:
        """Keep the threads: they are every receiver's."""


class AddressRefusedError(OSError):
    """The receiver's name leads to an address that webhooks may not lead to."""

    def __init__(self) -> None:
        super().__init__("the address is not public")


class ReceiverClient:
    """Client of all receivers of one tenant, for as long as it is open.

    Each connection's address is checked when its socket is made, which is then connected to that address and
    no other: a name that leads elsewhere at its second look-up gains nothing by it.

    Args:
        session: Its connections.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AttemptOutcome:
        """Send a body once; nothing of the answer is read but its status and Retry-After."""
        try:
            request = self._session.post(url, data=body, headers=headers, allow_redirects=False)
            async with request as response:
                response.close()
                return _judge(response)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                return AttemptOutcome(problem="the address is not public", is_final=True)
            return AttemptOutcome(problem=_name_failure(error))
        except aiohttp.InvalidURL:
            return AttemptOutcome(problem="the URL is not valid", is_final=True)
        except TimeoutError:
            return AttemptOutcome(problem=f"no answer within {ATTEMPT_SECONDS:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return AttemptOutcome(problem=_name_failure(error))


@asynccontextmanager
async def open_receivers(
    *, allow_loopback: bool = False, look_up: LookUp = look_up_name
) -> AsyncIterator[ReceiverClient]:
    """Open the way to receivers; nothing of it is left afterwards.

    Args:
        allow_loopback: Whether this machine is among them: for tests.
        look_up: Finds the addresses of names.
    """

    def make_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(
            ipaddress.ip_address(str(address[0]).partition("%")[0]), allow_loopback=allow_loopback
        ):
            raise AddressRefusedError
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=_MOST_CONNECTIONS,
        force_close=True,
        use_dns_cache=False,
        resolver=NameResolver(look_up),
        socket_factory=make_socket,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
    ) as session:
        yield ReceiverClient(session)


def _judge(response: aiohttp.ClientResponse) -> AttemptOutcome:
    status = response.status
    if _FIRST_SUCCESS <= status <= _LAST_SUCCESS:
        return AttemptOutcome(status)
    if status in _REDIRECTS:
        return AttemptOutcome(status, "a redirect is not followed")
    wait = response.headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < len("1000000") else None
    return AttemptOutcome(status, f"answered {status}", is_final=status == _GONE, retry_after=seconds)


def _name_failure(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the name has no address"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate is not trusted, or it speaks no TLS"
        case aiohttp.ClientConnectorError():
            return "the connection was refused"
        case _:
            return "the connection ended without an answer"
