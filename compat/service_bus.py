"""`AsyncServiceBusHandler` with the call shapes of the common library document.

It takes messages of one queue, hands each to a function, and sends the result to another queue: by the edge
of the app's own queues (`shared/messaging/consumer.py`), without a Functions host. A message is settled after
its result was sent. So it may be handled twice, and its result be sent twice, under one message id.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from shared.clock import SystemClock
from shared.contracts import TaskMessage
from shared.errors import APIError, ConflictError, PayloadTooLargeError
from shared.jobs.messages import name_message
from shared.logging.logger import get_logger
from shared.messaging.consumer import DeliveriesExhaustedError, Queue
from shared.messaging.listener import DeliveryEnd, Outcome, QueueListener
from shared.messaging.sender import MAX_BODY_BYTES, MessageSender, OutgoingMessage
from shared.tenancy.context import TenantContext, ambient_tenant, tenant_caller
from shared.tenancy.errors import TenantNotFoundError
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.clock import Clock
    from shared.messaging.consumer import Delivery
    from shared.messaging.listener import MessageLink
    from shared.messaging.quarantine import RefusedMessage
    from shared.tenancy.context import PlatformAuthenticator

type ProcessorResult = Mapping[str, Any] | str | None
type ProcessorFunction = "Callable[[dict[str, Any]], Awaitable[ProcessorResult] | ProcessorResult]"

_LONGEST_PAUSE_SECONDS = 60.0
_LONGEST_SESSION_WAIT_SECONDS = 5.0
"""The longest that a session is waited for at a time: a stop waits for it."""

_logger = get_logger(__name__)


class HandlerOptions(BaseModel):
    """Options of a handler, within their bounds.

    Attributes:
        in_queue_name: The queue that it takes messages from.
        out_queue_name: The queue that results are sent to.
        max_retries: Deliveries after which a message that fails is dead-lettered; the queue's own limit holds
            beside it.
        retry_delay: Seconds before a failed message is given back, and after which a broken link is opened
            anew; they double from failure to failure, up to a minute.
        max_wait_time: Seconds between two looks at a queue that has been empty for long.
        message_batch_size: The most messages that are worked on at once.
        processing_seconds: Seconds after which the work on a message has failed.
        stop_seconds: Seconds that work may take once the handler is stopped; then its message is given back.
        in_sessions: How many sessions of the in queue are worked on at once, each message by message; 0 for a
            queue that has none.
        out_sessions: Whether the out queue requires sessions; a result's is named as its tenant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_queue_name: Annotated[str, Field(min_length=1, max_length=260)]
    out_queue_name: Annotated[str, Field(min_length=1, max_length=260)]
    max_retries: int = Field(ge=1, le=100)
    retry_delay: float = Field(ge=0, le=_LONGEST_PAUSE_SECONDS)
    max_wait_time: float = Field(gt=0, le=300)
    message_batch_size: int = Field(ge=1, le=100)
    processing_seconds: float = Field(540.0, gt=0, le=3_600)
    stop_seconds: float = Field(30.0, ge=0, le=600)
    in_sessions: int = Field(0, ge=0, le=64)
    out_sessions: bool = False

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds that each failed delivery is kept."""
        return tuple(
            min(self.retry_delay * 2**number, _LONGEST_PAUSE_SECONDS) for number in range(self.max_retries)
        )


class HandledMessage(TaskMessage):
    """A message of the in queue: its tenant and id, and whatever its processor knows of it."""

    model_config = ConfigDict(extra="allow")


class ServiceBusBroker(Protocol):
    """Broker that both queues are of."""

    @property
    def sender(self) -> MessageSender:
        """The way to the out queue."""
        ...

    def open_link(
        self, queue: str, session_wait_seconds: float | None
    ) -> AbstractAsyncContextManager[MessageLink]:
        """Open a link to a queue, or to the next session of one that has some."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class NamespaceBroker:
    """A Service Bus namespace; its client is opened when it is first used.

    Args:
        namespace: Its host name, for an identity; None where there is a connection string.
        connection_string: Its connection string.
        credential: The identity; `DefaultAzureCredential` where None.
        clock: Times what is sent.
    """

    def __init__(
        self,
        namespace: str | None,
        connection_string: str | None,
        credential: AsyncTokenCredential | None,
        clock: Clock,
    ) -> None:
        self._namespace = namespace
        self._connection_string = connection_string
        self._credential = credential
        self._clock = clock
        self._open = AsyncExitStack()

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # the SDK's, which loads when first used
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # loads when first used

        from shared.messaging.servicebus import open_client  # noqa: PLC0415  # same

        credential = self._credential
        if credential is None and self._connection_string is None:
            own = DefaultAzureCredential()
            self._open.push_async_callback(own.close)
            credential = own
        client = open_client(self._connection_string, self._namespace, credential)
        self._open.push_async_callback(client.close)
        return client

    @cached_property
    def sender(self) -> MessageSender:
        """The way to the out queue: a new link after each failure."""
        from shared.messaging.servicebus import POLICY, SdkSender, classify  # noqa: PLC0415  # loads when first used
        from shared.resilience.dependency import Dependency  # noqa: PLC0415  # same

        sender = SdkSender(self._client, Dependency("Service Bus", classify, POLICY, self._clock))
        self._open.push_async_callback(sender.close)
        return sender

    def open_link(
        self, queue: str, session_wait_seconds: float | None
    ) -> AbstractAsyncContextManager[MessageLink]:
        """Open a link to a queue, or to the next session of one that has some."""
        from shared.messaging.servicebus_link import open_link  # noqa: PLC0415  # loads when first used

        link = open_link(self._client, queue, session_wait_seconds)
        return cast("AbstractAsyncContextManager[MessageLink]", link)

    async def close(self) -> None:
        """Close every link, then the connection."""
        await self._open.aclose()
        for name in ("_client", "sender"):
            self.__dict__.pop(name, None)


class NamespaceTenants:
    """Tenants as messages name them: who may send to the queue is trusted to name one (docs/queues.md)."""

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Return the tenant of a message.

        Raises:
            TenantNotFoundError: The id is none.
        """
        try:
            return tenant_caller(tenant_id)
        except ValueError as error:
            raise TenantNotFoundError(tenant_id) from error


@dataclass(slots=True)
class RefusalServices:
    """Services of the queue edge for one delivery: what is refused for good is to be dead-lettered.

    Attributes:
        authenticator: Source of the tenants' contexts.
        clock: Pauses before a message is given back.
        refused: What was refused.
    """

    authenticator: PlatformAuthenticator
    clock: Clock
    refused: RefusedMessage | None = None

    @property
    def purges(self) -> Self:
        """Record of purges: here there is none."""
        return self

    @property
    def quarantine(self) -> Self:
        """The dead-letter queue takes the quarantine's place."""
        return self

    async def is_taken(self, tenant_id: str) -> bool:  # noqa: ARG002  # the protocol's
        """Tell that no tenant is known to be purged."""
        return False

    async def put(
        self,
        tenant: TenantContext | None,  # noqa: ARG002  # as the quarantine takes it
        refused: RefusedMessage,
    ) -> None:
        """Note why the message is to be dead-lettered."""
        self.refused = refused


class AsyncServiceBusHandler:
    """Takes messages of a queue, hands each to a function, and sends what that returns to another queue.

    A message that fails is given back after a pause, and dead-lettered with its reason at its last delivery;
    so is, at once, one that can never succeed. Its lock is renewed for as long as it is worked on.

    Args:
        processor_function: Handles a message's JSON object, and returns the result's, or None where there is
            nothing to send. It may be a coroutine function; another one runs in a thread.
        in_queue_name: See `HandlerOptions`, as for all that follow but those below.
        out_queue_name: See there.
        fully_qualified_namespace: The namespace's host name; its identity is `credential`.
        max_retries: See there.
        retry_delay: See there.
        max_wait_time: See there.
        message_batch_size: See there.
        connection_string: In the place of a namespace and an identity, as for the local platform.
        credential: The identity; `DefaultAzureCredential` where None.
        tenants: Tells which tenants there are; without it a message's own word is taken.
        broker: The broker, in the place of a namespace.
        clock: The time.
        options: Further options by name: `processing_seconds`, `stop_seconds`, `in_sessions`, `out_sessions`.

    Raises:
        ValidationError: An option is out of its bounds.
        ValueError: Neither a namespace nor a connection string is given.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # the document's signature, and some that it has no need of
        self,
        processor_function: ProcessorFunction,
        in_queue_name: str,
        out_queue_name: str,
        fully_qualified_namespace: str | None = None,
        max_retries: int = 3,
        retry_delay: float = 5,
        max_wait_time: float = 5,
        message_batch_size: int = 10,
        *,
        connection_string: str | None = None,
        credential: AsyncTokenCredential | None = None,
        tenants: PlatformAuthenticator | None = None,
        broker: ServiceBusBroker | None = None,
        clock: Clock | None = None,
        **options: float,
    ) -> None:
        given = {
            "in_queue_name": in_queue_name,
            "out_queue_name": out_queue_name,
            "max_retries": max_retries,
            "retry_delay": retry_delay,
            "max_wait_time": max_wait_time,
            "message_batch_size": message_batch_size,
        }
        self._options = validate_input(
            lambda: HandlerOptions.model_validate(given | options), "handler", "options"
        )
        if broker is None and (fully_qualified_namespace is None) == (connection_string is None):
            raise ValueError("a fully_qualified_namespace or a connection_string")
        self._process = processor_function
        self._clock = clock or SystemClock()
        self._tenants = tenants or NamespaceTenants()
        self._broker = broker or NamespaceBroker(
            fully_qualified_namespace, connection_string, credential, self._clock
        )
        self._listener = self._build_listener()
        self._ended = asyncio.Event()
        self._ended.set()

    async def __aenter__(self) -> Self:
        """Return the handler; it opens what it needs when it needs it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self.stop()

    async def listen(self) -> None:
        """Take messages until it is stopped, or cancelled; end or give back what it has then.

        Raises:
            RuntimeError: It listens already.
        """
        if not self._ended.is_set():
            raise RuntimeError("the handler listens already")
        self._ended.clear()
        try:
            await self._listener.listen()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more messages, let those in work end or give them back, and close the connections."""
        self._listener.stop()
        await self._ended.wait()
        self._listener = self._build_listener()
        await self._broker.close()

    async def process_message(self, message: Delivery) -> DeliveryEnd:
        """Handle one delivery, and send its result; tell what is to become of the message.

        What fails is kept for a pause first, as long as it is to be given back.
        """
        services = RefusalServices(self._tenants, self._clock)
        queue = Queue(services, self._options.in_queue_name, HandledMessage, self._options.pauses)
        is_last = (message.delivery_count or 1) >= self._options.max_retries

        async def handle(tenant: TenantContext, task: HandledMessage) -> None:
            try:
                async with asyncio.timeout(self._options.processing_seconds):
                    result = await self._call(task)
                    if result is not None:
                        await self._send(tenant, _join(task, _read(result)))
            except Exception as error:
                if is_last:
                    raise DeliveriesExhaustedError(_tell(error)) from error
                raise

        try:
            await queue.take(message, handle)
        except Exception as error:  # noqa: BLE001  # the edge: the broker delivers it again
            return DeliveryEnd(Outcome.ABANDON, type(error).__name__)
        if services.refused is not None:
            refused = services.refused
            return DeliveryEnd(Outcome.DEAD_LETTER, refused.reason, refused.detail)
        return DeliveryEnd(Outcome.COMPLETE)

    async def send_message(self, message_body: Mapping[str, Any] | str | bytes) -> None:
        """Send a message to the out queue, over a new link if the last one failed.

        Args:
            message_body: A JSON object with `id` and, outside of the work on a message, `tenant_id`.

        Raises:
            MalformedRequestError: It is no JSON.
            ValidationError: It has no tenant or no id.
            ConflictError: It names another tenant than the message in work.
            PayloadTooLargeError: No queue takes a message of this size.
            DependencyUnavailableError: The broker does not take it now.
            DependencyTimeoutError: The broker did not answer in time.
        """
        body = dict(_read(message_body))
        try:
            tenant = ambient_tenant()
        except ValueError:
            named = validate_input(lambda: HandledMessage.model_validate(body), "message")
            tenant = await self._tenants.for_platform(named.tenant_id)
        await self._send(tenant, {"tenant_id": tenant.tenant_id} | body)

    async def _send(self, tenant: TenantContext, body: Mapping[str, Any]) -> None:
        message = validate_input(lambda: HandledMessage.model_validate(body), "message")
        if message.tenant_id != tenant.tenant_id:
            raise ConflictError("The result is another tenant's than its message")
        content = json.dumps(body, ensure_ascii=False).encode()
        if len(content) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(f"The message takes more than {MAX_BODY_BYTES} bytes")
        name = name_message(tenant.tenant_id, message.id)
        session = tenant.tenant_id if self._options.out_sessions else None
        outgoing = OutgoingMessage(name, content, session)
        await self._broker.sender.send(tenant, self._options.out_queue_name, outgoing)

    async def _call(self, task: HandledMessage) -> ProcessorResult:
        body = task.model_dump(mode="json", by_alias=True, exclude_unset=True)
        process: Callable[[dict[str, Any]], Any] = self._process
        is_async = inspect.iscoroutinefunction(process)
        called: Any = process(body) if is_async else await asyncio.to_thread(process, body)
        return cast("ProcessorResult", await called if inspect.isawaitable(called) else called)

    def _build_listener(self) -> QueueListener:
        wait = min(self._options.max_wait_time, _LONGEST_SESSION_WAIT_SECONDS)
        session_wait = wait if self._options.in_sessions else None
        return QueueListener(
            open_link=lambda: self._broker.open_link(self._options.in_queue_name, session_wait),
            process=self.process_message,
            clock=self._clock,
            most_at_once=self._options.message_batch_size,
            reconnect_seconds=max(self._options.retry_delay, 0.1),
            longest_idle_seconds=self._options.max_wait_time,
            stop_seconds=self._options.stop_seconds,
            sessions=self._options.in_sessions,
        )


def _read(body: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    if not isinstance(body, str | bytes):
        return body
    return validate_input(lambda: _JsonObject.model_validate_json(body), "message").model_dump()


class _JsonObject(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


def _join(task: HandledMessage, result: Mapping[str, Any]) -> dict[str, Any]:
    """Put into a result whose it is, where its processor has not."""
    joined = {"tenant_id": task.tenant_id, "id": task.id, "taskId": task.task_id} | dict(result)
    return {name: value for name, value in joined.items() if name != "taskId" or value is not None}


def _tell(error: Exception) -> str:
    """Say what the last delivery met; what a processor's own error says may be a tenant's text."""
    said = f"{type(error).__name__}: {error.message}" if isinstance(error, APIError) else type(error).__name__
    return f"No delivery is left. At the last: {said}"
