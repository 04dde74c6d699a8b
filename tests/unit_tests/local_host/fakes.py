"""Stand-ins for what the host talks to: a clock, a worker, services, a broker's link, a storage account."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from azure.servicebus.amqp import AmqpMessageBodyType

from local.host.bindings import Function
from local.host.invocation import Failure, Outcome
from local.host.listeners.blob import BlobContent, BlobVersion
from local.host.listeners.servicebus import NoSessionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from local.host.bindings import BlobBinding, Output, ServiceBusOutput, Trigger
    from local.host.executor import Call
    from local.host.invocation import Invocation, Message, Receive, RetryPolicy, Scope, Send, Value
    from local.host.listeners.servicebus_messages import ReceivedMessage

START = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)


def a_function(
    trigger: Trigger,
    *,
    name: str = "work",
    inputs: Sequence[BlobBinding] = (),
    outputs: Sequence[Output] = (),
    retry: RetryPolicy | None = None,
) -> Function:
    """Return a function as the host holds one."""
    return Function(
        name=name, id=f"id-of-{name}", trigger=trigger, inputs=inputs, outputs=outputs, retry=retry
    )


async def settle() -> None:
    """Let every task go on until it waits for something."""
    for _ in range(50):
        await asyncio.sleep(0)


class FakeClock:
    """Time that passes when a test says so."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until a test has moved the time on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (until, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the time on, waking sleepers in their order."""
        end = self._now + timedelta(seconds=seconds)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            until, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, until)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end


class FakeRunner:
    """Runs calls by a function of the test."""

    def __init__(self, body: Callable[[Call], Awaitable[Outcome]] | None = None) -> None:
        self.calls: list[Call] = []
        self._body = body

    async def run(self, call: Call) -> Outcome:
        """Remember the call and run it."""
        self.calls.append(call)
        return await self._body(call) if self._body is not None else Outcome()


FAILED = Outcome(failure=Failure("ValueError: on purpose", "a stack"))


@dataclass
class FakeWorker:
    """A worker whose functions are one function of the test."""

    body: Callable[[Invocation], Awaitable[Outcome]]
    streams_http: bool = False
    invocations: list[Invocation] = field(default_factory=list)
    app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run a function."""
        self.invocations.append(invocation)
        return await self.body(invocation)

    async def serve_http(self, invocation: Invocation, scope: Scope, receive: Receive, send: Send) -> Outcome:
        """Run a function on the request itself."""
        self.invocations.append(invocation)
        if self.app is not None:
            await self.app(scope, receive, send)
        return await self.body(invocation)


@dataclass
class FakeServices:
    """Blobs and queues in memory."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[str, Value]] = field(default_factory=list)
    error: Exception | None = None

    async def read_blob(self, binding: BlobBinding, path: str) -> Value:  # noqa: ARG002 -- the protocol's
        """Return a blob's content."""
        if self.error is not None:
            raise self.error
        return self.blobs.get(path)

    async def write_blob(self, binding: BlobBinding, path: str, value: Value) -> None:  # noqa: ARG002 -- same
        """Keep a blob."""
        if self.error is not None:
            raise self.error
        self.blobs[path] = value if isinstance(value, bytes) else str(value).encode()

    async def send(self, binding: ServiceBusOutput, value: Value) -> None:
        """Keep a message."""
        self.sent.append((binding.entity, value))


@dataclass(eq=False)
class FakeMessage:
    """A received message."""

    body: Any = b""
    application_properties: Mapping[str | bytes, Any] | None = None
    content_type: str | None = None
    correlation_id: str | None = None
    dead_letter_source: str | None = None
    delivery_count: int | None = 0
    enqueued_time_utc: datetime | None = START
    expires_at_utc: datetime | None = None
    lock_token: object | None = 7
    locked_until_utc: datetime | None = None
    message_id: str | None = "m"
    partition_key: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    sequence_number: int | None = 1
    session_id: str | None = None
    subject: str | None = None
    to: str | None = None
    kind: AmqpMessageBodyType = AmqpMessageBodyType.DATA

    @property
    def body_type(self) -> AmqpMessageBodyType:
        return self.kind


class FakeLink:
    """A receiver's link on a queue in memory."""

    def __init__(self, clock: FakeClock, *messages: FakeMessage, sessions: int | None = None) -> None:
        self._clock = clock
        self._messages = deque(messages)
        self._sessions_left = sessions
        self.settled: list[tuple[str, Any]] = []
        self.renewals = 0
        self.renewal_error: Exception | None = None
        self.settle_error: Exception | None = None
        self.is_open = False

    @property
    def sessions_left(self) -> int | None:
        """How many more sessions can be taken."""
        return self._sessions_left

    async def __aenter__(self) -> Self:
        """Open."""
        if self._sessions_left is not None:
            if not self._sessions_left:
                await self._clock.sleep(60)
                raise NoSessionError
            self._sessions_left -= 1
        self.is_open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        self.is_open = False

    async def receive(self, most: int, seconds: float) -> Sequence[ReceivedMessage]:
        """Return what is there."""
        if not self._messages:
            await self._clock.sleep(seconds)
            return []
        await asyncio.sleep(0)
        return [self._messages.popleft() for _ in range(min(most, len(self._messages)))]

    async def complete(self, message: ReceivedMessage) -> None:
        """Remember it."""
        self._settle("complete", message)

    async def abandon(self, message: ReceivedMessage) -> None:
        """Remember it."""
        self._settle("abandon", message)

    async def renew(self, message: ReceivedMessage) -> datetime:  # noqa: ARG002 -- the protocol's
        """Count it."""
        if self.renewal_error is not None:
            raise self.renewal_error
        self.renewals += 1
        return self._clock.now() + timedelta(seconds=30)

    def locked_until(self, message: ReceivedMessage) -> datetime | None:
        """Return the end of the lock."""
        return message.locked_until_utc

    def _settle(self, how: str, message: ReceivedMessage) -> None:
        if self.settle_error is not None:
            raise self.settle_error
        self.settled.append((how, message.body))


@dataclass
class FakeBlobs:
    """A storage account in memory: contents by path, and the ETag is the content's."""

    contents: dict[str, bytes] = field(default_factory=dict)
    error: Exception | None = None
    vanish: bool = False
    listings: int = 0

    async def list_blobs(self, container: str, prefix: str) -> AsyncIterator[BlobVersion]:
        """Yield what is there."""
        self.listings += 1
        for path, content in list(self.contents.items()):
            holder, _, name = path.partition("/")
            if holder == container and name.startswith(prefix):
                yield BlobVersion(container, name, f"etag-{content.decode()}")

    async def read(self, version: BlobVersion) -> BlobContent | None:
        """Return a version's content."""
        if self.error is not None:
            raise self.error
        content = self.contents.get(version.path)
        if self.vanish or content is None or version.etag != f"etag-{content.decode()}":
            return None
        return BlobContent(content, f"http://blobs/{version.path}", '{"Length": 1}', "{}")


class Browser:
    """Sends one request to an ASGI app and keeps what comes back."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def request(  # noqa: PLR0913 -- a request has that many parts
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[object]],
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[bytes] = (b"",),
        leaves: bool = False,
    ) -> Self:
        """Send it."""
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        waiting = deque(chunks)

        async def receive() -> Message:
            if not waiting and not leaves:
                await asyncio.get_running_loop().create_future()
            if leaves:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": waiting.popleft(), "more_body": bool(waiting)}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.body += message.get("body", b"")

        await app(scope, receive, send)
        return self
