"""The queue edge, the counterpart of `shared/http/pipeline.py`: parse, find the tenant, call, settle.

What can never succeed goes to the quarantine with its reason, and the message is settled. What may succeed
later is put off, where the capability can do that: another message brings it back, and this one is settled.
Else it raises, so that the host abandons the message and the broker delivers it again. Whatever else ends a
handler is a failure, too, as an exception that a host reads: what is none (a panic of native code, an exit)
would end the worker's function without an answer, and the message would be neither settled nor counted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import azure.functions as func  # noqa: TC002  # the worker resolves the functions' annotations here

from shared.contracts import Message
from shared.errors import APIError
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.messaging.quarantine import RefusedMessage, read_named_tenant
from shared.resilience.background import background_work
from shared.resilience.deadlines import deadline
from shared.tenancy.context import TenantContext, acting_for
from shared.tenancy.errors import TenantNotFoundError
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from shared.clock import Clock
    from shared.tenancy.context import PlatformAuthenticator

PAUSES_SECONDS = (2.0, 8.0, 20.0, 30.0)
"""How long a failed delivery is kept before it is given back. The broker delivers again at once, so that one
short outage would use every delivery up; this way five of them stretch over a minute and more."""

HANDLING_SECONDS = 540.0
"""After this, nothing more is asked of a dependency for a delivery. With the longest pause it is before the
host ends the function, and the worker with it (host.json, `functionTimeout`)."""

MOST_DEFECTS = 20
"""The most deliveries of a dead letter that ends in a defect each time: no broker counts these out."""

_DEAD_LETTER_REASON = "DeadLetterReason"
_logger = get_logger(__name__)


class KnowsPurges(Protocol):
    """Record of the tenants that were purged."""

    async def is_taken(self, tenant_id: str) -> bool:
        """Tell whether an id, in whatever spelling, was or is being purged."""
        ...


class KeepsRefused(Protocol):
    """Store of messages that are refused for good."""

    async def put(self, tenant: TenantContext | None, refused: RefusedMessage) -> object:
        """Keep a message that is refused for good."""
        ...


class QueueServices(Protocol):
    """Composition root, as far as the edge needs it."""

    @property
    def authenticator(self) -> PlatformAuthenticator:
        """Source of the tenants' contexts."""
        ...

    @property
    def purges(self) -> KnowsPurges:
        """Record that tells a tenant that was purged from one that never was."""
        ...

    @property
    def quarantine(self) -> KeepsRefused:
        """Store of refused messages."""
        ...

    @property
    def clock(self) -> Clock:
        """Clock that pauses before a message is given back."""
        ...


class Delivery(Protocol):
    """A message as the Functions binding hands it over."""

    @property
    def message_id(self) -> str | None:
        """The message's id; senders may leave it out."""
        ...

    @property
    def session_id(self) -> str | None:
        """The session that it came in, where the queue has sessions."""
        ...

    @property
    def delivery_count(self) -> int | None:
        """How many deliveries there were, with this one."""
        ...

    @property
    def dead_letter_reason(self) -> str | None:
        """Why the broker gave it up, where the host tells."""
        ...

    @property
    def application_properties(self) -> Mapping[str, Any]:
        """What the sender, or the broker, put beside the body."""
        ...

    def get_body(self) -> bytes:
        """Return the body."""
        ...


@dataclass(frozen=True, slots=True)
class Queue[M: Message]:
    """One queue with the model of its messages.

    Attributes:
        services: The composition root.
        name: What logs and the quarantine call it.
        model: The messages' model.
        pauses: How long, in seconds, the first failed delivery is kept, the second, and so on.
        put_off: Told what a delivery failed with, sees to it that its work comes back in one of its own, or
            raises; without it, a failed delivery itself comes back, after a pause.
    """

    services: QueueServices
    name: str
    model: type[M]
    pauses: tuple[float, ...] = PAUSES_SECONDS
    put_off: Callable[[TenantContext, M, Exception], Awaitable[None]] | None = None

    def handler(
        self, handle: Callable[[TenantContext, M], Awaitable[None]]
    ) -> Callable[[func.ServiceBusMessage], Awaitable[None]]:
        """Turn a handler of models into a function that the host can bind as `message`."""

        async def function(message: func.ServiceBusMessage) -> None:
            await self.take(message, handle)

        # See shared/http/routes.py on names.
        function.__name__ = function.__qualname__ = getattr(handle, "__name__", "")
        function.__doc__ = handle.__doc__
        return function

    def mover(
        self, give_up: Callable[[TenantContext, M], Awaitable[None]]
    ) -> Callable[[func.ServiceBusMessage], Awaitable[None]]:
        """Make the function that moves what exhausted its deliveries to the quarantine.

        Args:
            give_up: Told of each message of a known tenant, before it is moved.
        """

        async def function(message: func.ServiceBusMessage) -> None:
            await self.move(message, give_up)

        function.__name__ = function.__qualname__ = getattr(give_up, "__name__", "")
        function.__doc__ = give_up.__doc__
        return function

    async def take(self, delivery: Delivery, handle: Callable[[TenantContext, M], Awaitable[None]]) -> None:
        """Handle one delivery.

        Raises:
            APIError: It may succeed later.
            HandlerEndedError: The handler ended in what is no exception.
            Exception: A defect; after its last delivery the message is a dead letter.
            asyncio.CancelledError: The host stops the function.
        """

        async def run(tenant: TenantContext, message: M) -> None:
            await handle(tenant, message)
            _logger.info("Message handled", extra={"queue": self.name})

        await self._settle(
            delivery, lambda: self._handle(delivery, run), lambda failure: self._recover(delivery, failure)
        )

    async def move(self, delivery: Delivery, give_up: Callable[[TenantContext, M], Awaitable[None]]) -> None:
        """Keep one dead letter in the quarantine of its tenant, or in the platform's where it names none.

        A dead letter is delivered for as long as that fails. For one that only ever meets a defect nothing is
        given up after `MOST_DEFECTS` deliveries, and it is kept all the same.

        Raises:
            APIError: The quarantine, or what gives up, may succeed later; the message stays a dead letter.
            HandlerEndedError: What gives up ended in what is no exception.
            Exception: A defect; the message stays a dead letter.
            asyncio.CancelledError: The host stops the function.
        """

        async def keep_all_the_same(failure: Exception) -> None:
            if isinstance(failure, APIError) or (delivery.delivery_count or 1) < MOST_DEFECTS:
                raise failure
            await self._give_up(delivery, None)

        await self._settle(delivery, lambda: self._give_up(delivery, give_up), keep_all_the_same)

    async def keep_unbound(self, delivery: Delivery) -> None:
        """Keep a dead letter in the quarantine whose body no host hands to a function.

        Raises:
            APIError: The quarantine may succeed later; the message stays a dead letter.
        """
        with logging_as(request_id=delivery.message_id):
            try:
                tenant = await self._find_named(delivery.get_body())
            except TenantPurgedError as error:
                _logger.info("A purged tenant's dead letter was dropped", extra=self._describe(error))
                return
            await self._quarantine(tenant, delivery, UnboundBodyError())

    async def _settle(
        self,
        delivery: Delivery,
        run: Callable[[], Awaitable[None]],
        recover: Callable[[Exception], Awaitable[None]],
    ) -> None:
        """Run a handler; return where the message may be completed, raise an exception where it may not.

        Args:
            delivery: The message.
            run: Handles it.
            recover: Told what it failed with, sees to it that the message may be completed, or raises.
        """
        with (
            logging_as(request_id=delivery.message_id),
            deadline(HANDLING_SECONDS, self.services.clock),
            background_work(),
        ):
            failure = await self._run_handler(run)
            if failure is None:
                return
            first = failure
            failure = await self._run_handler(lambda: recover(first))
        if failure is not None:
            with logging_as(request_id=delivery.message_id):
                await self._pause(delivery, failure)
            raise failure

    async def _run_handler(self, run: Callable[[], Awaitable[None]]) -> Exception | None:
        """Run a handler; return the exception that it ended in, or that stands for what it ended in."""
        try:
            await run()
        except Exception as error:  # noqa: BLE001  # the edge: it is raised again once the message is settled
            return error
        except BaseException as end:
            if isinstance(end, asyncio.CancelledError) and _is_being_cancelled():
                raise  # the host ends the function
            _logger.exception("A handler ended in what is no exception", extra={"queue": self.name})
            ended = HandlerEndedError(type(end).__name__)
            may_wait = not isinstance(end, GeneratorExit)  # where the function is being closed it may not
        else:
            return None
        if may_wait:
            return ended
        raise ended

    async def _handle(
        self, delivery: Delivery, handle: Callable[[TenantContext, M], Awaitable[None]]
    ) -> None:
        tenant: TenantContext | None = None
        try:
            tenant, message = await self._open(delivery)
            with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                await handle(tenant, message)
        except TenantPurgedError as error:
            _logger.info("A purged tenant's message was dropped", extra=self._describe(error))
        except UnreadableMessageError as unreadable:
            await self._quarantine(unreadable.tenant, delivery, unreadable.refusal)
        except APIError as error:
            if error.transient:
                raise
            await self._quarantine(tenant, delivery, error)

    async def _recover(self, delivery: Delivery, failure: Exception) -> None:
        """Let what failed come back in a delivery of its own.

        Raises:
            Exception: The failure, or what this met: the delivery itself has to come back.
        """
        if self.put_off is None:
            raise failure
        put_off = self.put_off

        async def run(tenant: TenantContext, message: M) -> None:
            await put_off(tenant, message, failure)
            facts = {"queue": self.name, "error": type(failure).__name__}
            _logger.warning("Message put off", extra=facts)

        await self._handle(delivery, run)

    async def _give_up(
        self, delivery: Delivery, give_up: Callable[[TenantContext, M], Awaitable[None]] | None
    ) -> None:
        tenant: TenantContext | None = None
        try:
            tenant, message = await self._open(delivery)
            with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                if give_up is not None:
                    await give_up(tenant, message)
        except TenantPurgedError as error:
            _logger.info("A purged tenant's dead letter was dropped", extra=self._describe(error))
            return
        except UnreadableMessageError as unreadable:
            tenant = unreadable.tenant
            _logger.info("Nothing to give up for a dead letter", extra=self._describe(unreadable.refusal))
        except APIError as error:
            if error.transient:
                raise
            _logger.info("Nothing to give up for a dead letter", extra=self._describe(error))
        await self._quarantine(tenant, delivery, DeliveriesExhaustedError(_read_reason(delivery)))

    async def _open(self, delivery: Delivery) -> tuple[TenantContext, M]:
        """Read a message, and find whose it is."""
        body = delivery.get_body()
        try:
            message = self._parse_message(body)
        except APIError as refusal:
            raise UnreadableMessageError(await self._find_named(body), refusal) from refusal
        return await self._find_tenant(message.tenant_id), message

    async def _find_named(self, body: bytes) -> TenantContext | None:
        """Find whose a message is that cannot be read; None where it names no active tenant."""
        named = read_named_tenant(body)
        if named is None:
            return None
        try:
            return await self._find_tenant(named)
        except TenantPurgedError:
            raise
        except TenantNotFoundError:
            return None

    async def _find_tenant(self, tenant_id: str) -> TenantContext:
        """Find whose message it is; of one that is or was purged, nothing may be kept."""
        try:
            return await self.services.authenticator.for_platform(tenant_id)
        except TenantNotFoundError as error:
            not_found = error
        if await self.services.purges.is_taken(tenant_id):
            raise TenantPurgedError(tenant_id)
        raise not_found

    async def _pause(self, delivery: Delivery, error: Exception) -> None:
        """Keep the message for a while; the host renews its lock meanwhile."""
        deliveries = delivery.delivery_count or 1
        seconds = self.pauses[min(deliveries, len(self.pauses)) - 1]
        facts = {"queue": self.name, "error": type(error).__name__, "deliveries": deliveries}
        _logger.warning("Message put back", extra=facts | {"pause_seconds": seconds})
        await self.services.clock.sleep(seconds)

    def _parse_message(self, body: bytes) -> M:
        return validate_input(lambda: self.model.model_validate_json(body), "message")

    async def _quarantine(self, tenant: TenantContext | None, delivery: Delivery, error: APIError) -> None:
        refused = RefusedMessage(
            self.name,
            delivery.message_id or "",
            delivery.get_body(),
            error,
            session_id=delivery.session_id or None,
        )
        await self.services.quarantine.put(tenant, refused)
        facts = self._describe(error) | {
            "message_id": refused.message_id,
            "job_id": refused.job_id,
            "named_tenant_id": refused.named_tenant,
            "fields": self._name_fields(refused.fields),
        }
        with logging_as(tenant_id=None if tenant is None else tenant.tenant_id):
            _logger.warning("Message quarantined", extra=facts)

    def _describe(self, error: APIError) -> dict[str, object]:
        return {"queue": self.name, "error": type(error).__name__, "status": error.status}

    def _name_fields(self, fields: Iterable[str]) -> list[str]:
        """Name the model's fields among those at fault: what else they are called is the sender's text."""
        known = {known for name, field in self.model.model_fields.items() for known in (name, field.alias)}
        return sorted({first for field in fields if (first := field.partition(".")[0]) in known})


class TenantPurgedError(TenantNotFoundError):
    """The message's tenant is being purged, or was."""


class UnreadableMessageError(Exception):
    """The message is none of its queue's.

    Args:
        tenant: The tenant that it names, where there is an active one of that name.
        refusal: What is wrong with it.
    """

    def __init__(self, tenant: TenantContext | None, refusal: APIError) -> None:
        super().__init__(str(refusal))
        self.tenant = tenant
        self.refusal = refusal


class UnboundBodyError(APIError):
    """The body of a message is neither data nor a text, but another AMQP value: no function is given it."""

    status = 422

    def __init__(self) -> None:
        super().__init__("The body is an AMQP value that is no text, or a sequence: send data or a text")


class DeliveriesExhaustedError(APIError):
    """A message was delivered, or its work tried, as often as it may be, and nobody could handle it."""

    status = 409


class HandlerEndedError(RuntimeError):
    """A handler ended in what is no exception: a panic of native code, an exit, a cancellation of its own."""


def _is_being_cancelled() -> bool:
    """Tell whether the function itself is being cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _read_reason(delivery: Delivery) -> str:
    """Read why the broker gave a message up; on the wire that is an application property."""
    reason = delivery.dead_letter_reason or delivery.application_properties.get(_DEAD_LETTER_REASON)
    return f"Dead-lettered by the broker: {reason or 'it did not say why'}"
