"""Cosmos DB in memory: the app's client over the local endpoint's engine, with no socket between them.

There is no second set of semantics to keep true. Requests can be counted and made to fail, before or after
the store has done what they ask.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport, HttpRequest

from local.cosmos.engine.account import Account
from local.cosmos.engine.catalog import ContainerName
from local.cosmos.storage.database import Database
from local.cosmos.wire.authorization import MasterKey
from local.cosmos.wire.gateway import Gateway
from local.cosmos.wire.messages import Request, Response
from local.supervisor.addresses import COSMOS_KEY
from shared.cosmos.sdk import SdkContainer, classify, open_client, open_fast_client
from shared.resilience.dependency import Dependency
from tenantry_client.cosmos.aio.connection_pool import LoopLock
from tenantry_client.cosmos.answers import Answer
from tenantry_client.cosmos.transport import AnswerLostError, NotSentError
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from types import TracebackType

    from azure.cosmos.aio import ContainerProxy, CosmosClient

    from local.cosmos.engine.partition import PartitionKey
    from shared.clock import Clock
    from shared.cosmos.container import Key
    from shared.cosmos.sdk import AnyCosmosClient
    from tenantry_client.cosmos.aio import ContainerProxy as FastContainerProxy
    from tenantry_client.cosmos.transport import Deadlines, Place

ENDPOINT = "http://memory:8081"
DEFINITION = Path(__file__).parents[2] / "infra" / "cosmos.json"


type Fault = Callable[[], Awaitable[Response | None]]


class MemoryResponse(AsyncHttpResponse):
    """What the engine answered, as azure-core hands it on."""

    def __init__(self, request: HttpRequest, response: Response) -> None:
        super().__init__(request, None)
        self.status_code = response.status
        self.headers = dict(response.headers)
        self.reason = ""
        self.content_type = "application/json"
        self._content = response.body

    def body(self) -> bytes:
        return self._content


class MemoryTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Hands requests to the engine; counts those for items, and loses what it is told to lose.

    Attributes:
        lets_others_run: Whether each request waits a turn of the loop, as one over a network does.
        charge: Request units of the answers so far, as the local endpoint reckons them.
        fault: What happens to every request before the engine sees it: it may wait, raise, or answer instead.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.requests = 0
        self.charge = 0.0
        self.lose_requests = 0
        self.lose_answers = 0
        self.lets_others_run = False
        self.fault: Fault | None = None
        self.watch: Callable[[HttpRequest], None] = lambda _: None
        self.watch_done: Callable[[HttpRequest], None] = lambda _: None

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:  # noqa: ANN401  # azure-core's
        if self.lets_others_run:
            await asyncio.sleep(0)
        if self.fault is not None and (instead := await self.fault()) is not None:
            return MemoryResponse(request, instead)
        asked = urlsplit(request.url)
        about_items = "/docs" in asked.path
        if about_items:
            self.requests += 1
            self.watch(request)
            if self.lose_requests:
                self.lose_requests -= 1
                raise ServiceRequestError("the connection was refused")
        content = request.data or b""
        if isinstance(content, dict):
            raise TypeError("Cosmos DB takes no forms")
        response = self._gateway.handle(
            Request(
                request.method,
                unquote(asked.path),
                {name.lower(): str(value) for name, value in request.headers.items()},
                content.encode() if isinstance(content, str) else bytes(content),
            )
        )
        if about_items:
            self.charge += response.charge
            self.watch_done(request)
        if about_items and self.lose_answers:
            self.lose_answers -= 1
            raise ServiceResponseError("the connection was closed before the answer")
        return MemoryResponse(request, response)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Nothing to close."""


class MemoryFastTransport:
    """The same for the client of our own: a transport of its, over the one of azure-cosmos."""

    def __init__(self, below: MemoryTransport) -> None:
        self._below = below

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:  # noqa: ARG002 - nothing is waited for
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        asked = HttpRequest(
            method, f"http://{place.authority}{path}", dict(one.split(": ", 1) for one in lines)
        )
        asked.data = body
        try:
            response = await self._below.send(asked)
        except ServiceRequestError as error:
            raise NotSentError(str(error)) from error
        except ServiceResponseError as error:
            raise AnswerLostError(str(error)) from error
        raw = {name.lower().encode(): str(value).encode() for name, value in response.headers.items()}
        return Answer(response.status_code, raw, response.body(), keeps_alive=True)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new_lock(self) -> LoopLock:
        return LoopLock()

    async def close(self) -> None:
        """Nothing to close."""


class MemoryCosmos:
    """An account with the app's containers, empty or as another was left, as the app's own client sees it."""

    def __init__(self, clock: Clock, stored: bytes | None = None) -> None:
        self.database = Database(":memory:")
        self.database.connection.deserialize(stored or _empty())
        self.account = Account(self.database, lambda: clock.now().timestamp())
        self.transport = MemoryTransport(Gateway(self.account, MasterKey()))
        self.dependency = Dependency("Cosmos DB", classify, clock=clock)
        self.client = open_fast_client(ENDPOINT, COSMOS_KEY)
        self.client.client_connection.gateway.transport = MemoryFastTransport(self.transport)

    @cached_property
    def sdk_client(self) -> CosmosClient:
        """The client of azure-cosmos, for what is to be seen through that."""
        return open_client(ENDPOINT, COSMOS_KEY, self.transport)

    def container(self, name: str) -> SdkContainer:
        """Return one of the app's containers, as the app opens it unless it is told otherwise."""
        return SdkContainer(self._container_client(self.client, name), self.dependency)

    def sdk_container(self, name: str) -> SdkContainer:
        """Return the same container by azure-cosmos."""
        return SdkContainer(self._container_client(self.sdk_client, name), self.dependency)

    @staticmethod
    def _container_client(client: AnyCosmosClient, name: str) -> ContainerProxy | FastContainerProxy:
        return client.get_database_client("tenantry").get_container_client(name)

    async def close(self) -> None:
        """Close the clients, and the database under them."""
        await self.client.close()
        if "sdk_client" in self.__dict__:
            await self.sdk_client.close()
        self.database.close()

    def serialize(self) -> bytes:
        """Return all that is stored, for another account to begin with."""
        return self.database.connection.serialize()

    def clear(self, name: str) -> None:
        """Remove all items of a container, past the app; what is stored anew takes their place in memory."""
        connection = self.database.connection
        query = "SELECT number FROM containers WHERE id = ?"
        for (number,) in connection.execute(query, (name,)).fetchall():
            connection.execute(f"DELETE FROM items_{number}")  # noqa: S608  # a number

    def rows_of(self, owner: str) -> list[tuple[str, str, bytes]]:
        """Return all that is stored of a tenant's: container, ETag and body, to the byte."""
        return [row for row in self.rows() if json.loads(row[2]).get("tenant_id") == owner]

    def rows(self) -> list[tuple[str, str, bytes]]:
        """Return all that is stored: container, ETag and body, to the byte."""
        connection = self.database.connection
        return [
            (container, etag, bytes(body))
            for number, container in connection.execute("SELECT number, id FROM containers").fetchall()
            for etag, body in connection.execute(f"SELECT etag, body FROM items_{number} ORDER BY pk, id")  # noqa: S608  # a number
        ]

    def split(self, name: str, keys: Iterable[Key], parts: int = 2) -> None:
        """Split a container into physical partitions that have equally many of these keys."""
        places = sorted(self.key_of(name, key).epk for key in keys)
        cuts = (places[len(places) * part // parts] for part in range(1, parts))
        self.account.catalog.split(self.name_of(name), *cuts)

    def key_of(self, name: str, key: Key) -> PartitionKey:
        """Return a key as the engine has it."""
        return self.account.catalog.container(self.name_of(name)).policy.partition.of_components(key)

    @staticmethod
    def name_of(name: str) -> ContainerName:
        """Return the full name of one of the app's containers."""
        return ContainerName("tenantry", name)


@cache
def _empty() -> bytes:
    database = Database(":memory:")
    Account(database, FakeClock().now().timestamp).catalog.ensure(json.loads(DEFINITION.read_text()))
    stored = database.connection.serialize()
    database.close()
    return stored


@asynccontextmanager
async def memory_cosmos(
    clock: FakeClock | None = None, stored: bytes | None = None
) -> AsyncIterator[MemoryCosmos]:
    """Open an account: an empty one, or with what another held."""
    cosmos = MemoryCosmos(clock or FakeClock(), stored)
    try:
        yield cosmos
    finally:
        await cosmos.close()
