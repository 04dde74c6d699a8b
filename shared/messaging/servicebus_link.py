"""`MessageLink` on azure-servicebus. Imported when first used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, override

from azure.core.exceptions import AzureError
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import OperationTimeoutError

from shared.errors import DependencyUnavailableError
from shared.messaging.listener import LockedDelivery, NoSessionError, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from datetime import datetime

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

    from shared.messaging.listener import DeliveryEnd

OPEN_SECONDS = 30.0
"""Opening takes the SDK half a second, and an identity's first token some."""

_CALL_SECONDS = 10.0
_MOST_DESCRIPTION = 1_000


@dataclass(frozen=True, slots=True)
class SdkDelivery:
    """A message of the SDK's as the queue edge reads it.

    Attributes:
        message: The message.
        locked_until: When its lock ends, or that of its session.
    """

    message: ServiceBusReceivedMessage
    locked_until: datetime | None

    @property
    def message_id(self) -> str | None:
        """The message's id."""
        return self.message.message_id

    @property
    def session_id(self) -> str | None:
        """The session that it came in."""
        return self.message.session_id

    @property
    def delivery_count(self) -> int | None:
        """How many deliveries there were with this one; on the wire those before it are counted."""
        return (self.message.delivery_count or 0) + 1

    @property
    def dead_letter_reason(self) -> str | None:
        """Why the broker gave it up."""
        return self.message.dead_letter_reason

    @property
    def application_properties(self) -> Mapping[str, Any]:
        """What the sender put beside the body."""
        return cast("Mapping[str, Any]", self.message.application_properties or {})

    def get_body(self) -> bytes:
        """Return the body: data, or a text; another AMQP value, or a sequence, is empty."""
        body = self.message.body
        if isinstance(body, bytes | str):
            return body.encode() if isinstance(body, str) else body
        parts = body if isinstance(body, Iterable) and not isinstance(body, dict | str) else ()
        return b"".join(part for part in parts if isinstance(part, bytes))


@dataclass(frozen=True, slots=True)
class SdkDeadLetter(SdkDelivery):
    """A dead letter of the SDK's."""

    @property
    def is_unbound(self) -> bool:
        """Tell whether its body is neither data nor a text, so that a host hands it to no function."""
        kind = self.message.body_type
        return kind is not AmqpMessageBodyType.DATA and not isinstance(self.message.body, str)

    def get_body(self) -> bytes:
        """Return the body; what is neither data nor a text is written as JSON."""
        if not self.is_unbound:
            return super(SdkDeadLetter, self).get_body()
        body = self.message.body
        if self.message.body_type is AmqpMessageBodyType.SEQUENCE:
            body = list(body)
        return json.dumps(_plain(body), default=str).encode()


class SdkLink:
    """An open receiver of the SDK's, of a queue or of one session.

    Args:
        receiver: The receiver.
        has_session: Whether it is of a session, whose lock is that of its messages.
    """

    def __init__(self, receiver: ServiceBusReceiver, *, has_session: bool = False) -> None:
        self._receiver = receiver
        self._has_session = has_session

    async def receive(self, most: int, seconds: float) -> Sequence[SdkDelivery]:
        """Wait for messages and return them, or none after some seconds.

        Raises:
            DependencyUnavailableError: The link is broken.
        """
        with _broken_links():
            async with asyncio.timeout(seconds + _CALL_SECONDS):
                received = await self._receiver.receive_messages(most, seconds)
        return [SdkDelivery(message, self._find_lock(message)) for message in received]

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        """Tell the broker what becomes of a message.

        Raises:
            DependencyUnavailableError: The link is broken, or the lock is lost.
        """
        message = _sdk(delivery)
        with _broken_links():
            async with asyncio.timeout(_CALL_SECONDS):
                match end.outcome:
                    case Outcome.COMPLETE:
                        await self._receiver.complete_message(message)
                    case Outcome.ABANDON:
                        await self._receiver.abandon_message(message)
                    case Outcome.DEAD_LETTER:
                        description = end.description[:_MOST_DESCRIPTION]
                        await self._receiver.dead_letter_message(
                            message, reason=end.reason, error_description=description
                        )

    async def renew(self, delivery: LockedDelivery) -> datetime:
        """Renew a message's lock, or its session's; return when it ends.

        Raises:
            DependencyUnavailableError: The link is broken, or the lock is lost.
        """
        with _broken_links():
            async with asyncio.timeout(_CALL_SECONDS):
                if self._has_session:
                    return await self._receiver.session.renew_lock()
                return await self._receiver.renew_message_lock(_sdk(delivery))

    def _find_lock(self, message: ServiceBusReceivedMessage) -> datetime | None:
        return self._receiver.session.locked_until_utc if self._has_session else message.locked_until_utc


class SdkDeadLetterLink(SdkLink):
    """An open receiver of the SDK's, of the dead letters of a queue."""

    async def peek(self, most: int) -> Sequence[SdkDeadLetter]:
        """Return the first dead letters, and take none of them.

        Raises:
            DependencyUnavailableError: The link is broken.
        """
        with _broken_links():
            async with asyncio.timeout(_CALL_SECONDS):
                found = await self._receiver.peek_messages(most)
        return [SdkDeadLetter(message, None) for message in found]

    @override
    async def receive(self, most: int, seconds: float) -> Sequence[SdkDeadLetter]:
        """Wait for dead letters and return them, or none after some seconds."""
        received = await super().receive(most, seconds)
        return [SdkDeadLetter(one.message, one.locked_until) for one in received]


@asynccontextmanager
async def open_dead_letters(client: ServiceBusClient, queue: str) -> AsyncIterator[SdkDeadLetterLink]:
    """Open a link to the dead letters of a queue, and close it after the block.

    Raises:
        DependencyUnavailableError: The broker does not answer, or does not know the queue.
    """
    receiver = client.get_queue_receiver(
        queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER, receive_mode=ServiceBusReceiveMode.PEEK_LOCK
    )
    async with _opened(receiver, OPEN_SECONDS):
        yield SdkDeadLetterLink(receiver)


@asynccontextmanager
async def open_link(
    client: ServiceBusClient, queue: str, session_wait_seconds: float | None = None
) -> AsyncIterator[SdkLink]:
    """Open a link to a queue, or to a session of it that is free, and close it after the block.

    Args:
        client: The namespace.
        queue: The queue's name.
        session_wait_seconds: How long a session with a message is waited for; None for a queue without.

    Raises:
        NoSessionError: None came.
        DependencyUnavailableError: The broker does not answer, or does not know the queue.
    """
    options: dict[str, Any] = {"receive_mode": ServiceBusReceiveMode.PEEK_LOCK}
    if session_wait_seconds is not None:
        options |= {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": session_wait_seconds}
    receiver = client.get_queue_receiver(queue, **options)
    async with _opened(receiver, OPEN_SECONDS + (session_wait_seconds or 0)):
        yield SdkLink(receiver, has_session=session_wait_seconds is not None)


@asynccontextmanager
async def _opened(receiver: ServiceBusReceiver, seconds: float) -> AsyncIterator[None]:
    try:
        with _broken_links():
            async with asyncio.timeout(seconds):
                await _enter(receiver)
        yield
    finally:
        with suppress(AzureError, OSError, TimeoutError):  # how the link was used matters, not how it ends
            async with asyncio.timeout(_CALL_SECONDS):
                await receiver.close()


async def _enter(receiver: ServiceBusReceiver) -> None:
    try:
        await receiver.__aenter__()
    except OperationTimeoutError as error:
        raise NoSessionError from error


def _plain(value: object) -> object:
    """Return an AMQP value with its names and texts as texts: on the wire they may be bytes."""
    match value:
        case bytes():
            return value.decode(errors="replace")
        case dict():
            return {str(_plain(name)): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _sdk(delivery: LockedDelivery) -> ServiceBusReceivedMessage:
    return cast("SdkDelivery", delivery).message


@contextmanager
def _broken_links() -> Iterator[None]:
    try:
        yield
    except (AzureError, OSError, TimeoutError) as error:
        raise DependencyUnavailableError("Service Bus", f"failed with {type(error).__name__}") from error
