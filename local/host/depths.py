"""Depths of the queues of the local brokers that functions listen to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.host.bindings import Queue, ServiceBusTrigger
from local.host.settings import SettingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from local.host.bindings import Function
    from local.host.settings import Settings

_SECONDS = 2.0
_PORT = 5672
_DEAD_LETTERS = "/$deadletterqueue"

type Depths = Mapping[str, int]
"""Messages by state: active, scheduled, deferred, dead_lettered, locked."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a local broker answers."""

    host: str
    port: int

    @classmethod
    def of(cls, connection_string: str | None) -> BrokerAddress | None:
        """Read a connection string; None unless it leads to a broker on this machine."""
        parts = dict(part.split("=", 1) for part in (connection_string or "").split(";") if "=" in part)
        if parts.get("UseDevelopmentEmulator", "").lower() != "true":
            return None
        host, _, port = parts.get("Endpoint", "").removeprefix("sb://").strip("/").partition(":")
        return cls(host, int(port) if port.isdigit() else _PORT)


@dataclass(frozen=True, slots=True)
class QueueReport:
    """The depths of queues: by the functions that listen to them, and by name, whoever listens."""

    by_function: Mapping[str, Depths] = field(default_factory=dict)
    by_name: Mapping[str, Depths] = field(default_factory=dict)


async def read_queues(
    functions: Sequence[Function],
    settings: Settings,
    ask: Callable[[BrokerAddress], Awaitable[Mapping[str, Depths]]] | None = None,
) -> QueueReport:
    """Ask the local brokers that functions listen to; what is out of reach is left out."""
    listening: dict[BrokerAddress, list[tuple[str, str]]] = {}
    for function in functions:
        match function.trigger:
            case ServiceBusTrigger(source=Queue(name=queue), connection=connection):
                address = _address(settings, connection)
                if address is not None:
                    listening.setdefault(address, []).append((function.name, queue.lower()))
            case _:
                continue
    by_function: dict[str, Depths] = {}
    by_name: dict[str, Depths] = {}
    for address, listeners in listening.items():
        told = await (ask or _ask)(address)
        by_name |= told
        by_function |= {
            name: found for name, queue in listeners if (found := _depths(told, queue)) is not None
        }
    return QueueReport(by_function, by_name)


def _depths(told: Mapping[str, Depths], queue: str) -> Depths | None:
    """Give a queue's depths; what waits in a dead-letter queue is what its queue holds as such."""
    if not queue.endswith(_DEAD_LETTERS):
        return told.get(queue)
    parent = told.get(queue.removesuffix(_DEAD_LETTERS))
    return None if parent is None else {"active": parent["dead_lettered"], "dead_lettered": 0}


def _address(settings: Settings, connection: str) -> BrokerAddress | None:
    try:
        return BrokerAddress.of(settings.servicebus(connection).connection_string)
    except SettingError:
        return None


async def _ask(address: BrokerAddress) -> Mapping[str, Depths]:
    """Ask a broker for its status; nothing where it is out of reach, or is one that has no status."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, TimeoutError, ValueError):
        return {}
    return {queue.pop("name").lower(): queue for queue in body.get("queues", ())}
