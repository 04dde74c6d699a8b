"""One endpoint for all tests of this folder, and the two SDKs behind one way of calling them."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any, Self

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio import ServiceBusClient as AsyncServiceBusClient

from tests.integration_tests.local_servicebus.endpoint import KEY, Endpoint, running
from tests.support.plain_http import NO_TLS
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class Sdk:
    """The SDK, sync or aio; sync calls run in a thread."""

    def __init__(self, endpoint: Endpoint, *, is_async: bool) -> None:
        self.endpoint = endpoint
        self.is_async = is_async
        self.client = self.new_client()
        self._handlers: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # The SDK takes half a second to close a handler, and to open one: what can be is done at once.
        await asyncio.gather(*(self.call(handler.close) for handler in self._handlers))
        await self.call(self.client.close)
        with warnings.catch_warnings():
            # It leaves sockets open that the other side closed; they are collected here, where that is known.
            warnings.simplefilter("ignore", ResourceWarning)
            self._handlers.clear()
            gc.collect()

    def new_client(self, key: str = KEY) -> Any:  # noqa: ANN401 - one of two classes without a common one
        kind = AsyncServiceBusClient if self.is_async else ServiceBusClient
        return kind.from_connection_string(
            self.endpoint.connection_string(key), retry_total=0, ssl_context=NO_TLS
        )

    async def sender(self, queue: str) -> Any:  # noqa: ANN401 - same
        return await self._open(self.client.get_queue_sender(queue))

    async def receiver(self, queue: str, **options: Any) -> Any:  # noqa: ANN401 - same
        return await self._open(self.client.get_queue_receiver(queue, **{"max_wait_time": 5, **options}))

    async def pair(self, queue: str, **options: Any) -> tuple[Any, Any]:  # noqa: ANN401 - same
        """Open a sender and a receiver."""
        return await asyncio.gather(self.sender(queue), self.receiver(queue, **options))

    async def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - same
        if self.is_async:
            return await function(*arguments, **options)
        return await asyncio.to_thread(function, *arguments, **options)

    async def close(self, handler: Any) -> None:  # noqa: ANN401 - same
        await self.call(handler.close)

    async def sessions(self, queue: str) -> list[str]:
        listed = self.client.list_queue_sessions(queue)
        if self.is_async:
            return [session async for session in listed]
        return list(await self.call(list, listed))

    async def _open(self, handler: Any) -> Any:  # noqa: ANN401 - same
        self._handlers.append(handler)
        return await self.call(handler.__aenter__ if self.is_async else handler.__enter__)


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running(tmp_path_factory.mktemp("servicebus")) as started:
        yield started


@pytest.fixture(params=[pytest.param(sdk, marks=sized(120)) for sdk in ("aio", "sync")[: 2 if SOAK else 1]])
async def either_sdk(endpoint: Endpoint, request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    """Give one SDK, both in a soak: for what is the endpoint's doing and waits for time to pass."""
    async with Sdk(endpoint, is_async=request.param == "aio") as opened:
        yield opened


@pytest.fixture(params=["aio", "sync"])
async def sdk(endpoint: Endpoint, request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    async with Sdk(endpoint, is_async=request.param == "aio") as opened:
        yield opened
