"""The queue edge, the counterpart of `shared/http/pipeline.py`: parse, find the tenant, call, settle.

What can never succeed goes to the quarantine with its reason, and the message is settled. What may succeed
later raises, so that the host abandons the message and the broker delivers it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import azure.functions as func  # noqa: TC002  # the worker resolves the functions' annotations here

from shared.contracts import Message
from shared.errors import APIError
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.messaging.quarantine import Refused
from shared.resilience.deadlines import deadline
from shared.tenancy.context import TenantContext, acting_for
from shared.tenancy.errors import TenantNotFoundError
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.clock import Clock
    from shared.messaging.quarantine import QuarantinedMessage

PAUSES_SECONDS = (2.0, 8.0, 20.0, 30.0)
"""How long a failed delivery is kept before it is given back. The broker delivers again at once, so that one
short outage would use every delivery up; this way five of them stretch over a minute and more."""

HANDLING_SECONDS = 540.0
"""After this, nothing more is asked of a dependency for a delivery. With the longest pause it is before the
host ends the function, and the worker with it (host.json, `functionTimeout`)."""

_DEAD_LETTER_REASON = "DeadLetterReason"
_logger = get_logger(__name__)


class FindsTenants(Protocol):
    """What the edge asks of `shared.tenancy`."""

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Let the platform's work run as a tenant that exists and is active."""
        ...


class KnowsPurges(Protocol):
    """What the edge asks of the purges."""

    async def is_taken(self, tenant_id: str) -> bool:
        """Tell whether an id, in whatever spelling, was or is being purged."""
        ...


class KeepsRefused(Protocol):
    """What the edge asks of the quarantine."""

    async def put(self, tenant: TenantContext | None, refused: Refused) -> QuarantinedMessage:
        """Keep a message that is refused for good."""
        ...


class QueueServices(Protocol):
    """What the edge needs of the composition root."""

    @property
    def authenticator(self) -> FindsTenants:
        """What finds tenants."""
        ...

    @property
    def purges(self) -> KnowsPurges:
        """What tells a tenant that was purged from one that never was."""
        ...

    @property
    def quarantine(self) -> KeepsRefused:
        """Where refused messages go."""
        ...

    @property
    def clock(self) -> Clock:
        """What pauses before a message is given back."""
        ...


class Delivery(Protocol):
    """A message as the Functions binding hands it over."""

    @property
    def message_id(self) -> str | None:
        """The message's id; senders may leave it out."""
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
    """

    services: QueueServices
    name: str
    model: type[M]

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
            Exception: A defect; after its last delivery the message is a dead letter.
        """
        with logging_as(request_id=delivery.message_id):
            try:
                with deadline(HANDLING_SECONDS, self.services.clock):
                    await self._handle(delivery, handle)
            except Exception as error:
                await self._pause(delivery, error)
                raise

    async def move(self, delivery: Delivery, give_up: Callable[[TenantContext, M], Awaitable[None]]) -> None:
        """Keep one dead letter in the quarantine of its tenant, or in the platform's where it names none.

        Raises:
            APIError: The quarantine, or what gives up, may succeed later; the message stays a dead letter.
        """
        with logging_as(request_id=delivery.message_id):
            try:
                with deadline(HANDLING_SECONDS, self.services.clock):
                    await self._give_up(delivery, give_up)
            except Exception as error:
                await self._pause(delivery, error)
                raise

    async def _handle(
        self, delivery: Delivery, handle: Callable[[TenantContext, M], Awaitable[None]]
    ) -> None:
        tenant: TenantContext | None = None
        try:
            message = self._parsed(delivery.get_body())
            tenant = await self._tenant(message)
            with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                await handle(tenant, message)
                _logger.info("Message handled", extra={"queue": self.name})
        except TenantPurgedError as error:
            _logger.info("A purged tenant's message was dropped", extra=self._facts(error))
        except APIError as error:
            if may_succeed_later(error):
                raise
            await self._quarantine(tenant, delivery, error)

    async def _give_up(
        self, delivery: Delivery, give_up: Callable[[TenantContext, M], Awaitable[None]]
    ) -> None:
        tenant: TenantContext | None = None
        try:
            message = self._parsed(delivery.get_body())
            tenant = await self._tenant(message)
            with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                await give_up(tenant, message)
        except TenantPurgedError as error:
            _logger.info("A purged tenant's dead letter was dropped", extra=self._facts(error))
            return
        except APIError as error:
            if may_succeed_later(error):
                raise
            _logger.info("Nothing to give up for a dead letter", extra=self._facts(error))
        await self._quarantine(tenant, delivery, DeliveriesExhaustedError(_reason(delivery)))

    async def _tenant(self, message: M) -> TenantContext:
        """Find whose message it is; of one that is or was purged, nothing may be kept."""
        try:
            return await self.services.authenticator.for_platform(message.tenant_id)
        except TenantNotFoundError as error:
            if await self.services.purges.is_taken(message.tenant_id):
                raise TenantPurgedError(message.tenant_id) from error
            raise

    async def _pause(self, delivery: Delivery, error: Exception) -> None:
        """Keep the message for a while; the host renews its lock meanwhile."""
        deliveries = delivery.delivery_count or 1
        seconds = PAUSES_SECONDS[min(deliveries, len(PAUSES_SECONDS)) - 1]
        facts = {"queue": self.name, "error": type(error).__name__, "deliveries": deliveries}
        _logger.warning("Message put back", extra=facts | {"pause_seconds": seconds})
        await self.services.clock.sleep(seconds)

    def _parsed(self, body: bytes) -> M:
        return validate_input(lambda: self.model.model_validate_json(body), "message")

    async def _quarantine(self, tenant: TenantContext | None, delivery: Delivery, error: APIError) -> None:
        refused = Refused(self.name, delivery.message_id or "", delivery.get_body(), error)
        await self.services.quarantine.put(tenant, refused)
        _logger.warning("Message quarantined", extra=self._facts(error))

    def _facts(self, error: APIError) -> dict[str, Any]:
        return {"queue": self.name, "error": type(error).__name__, "status": error.status}


class TenantPurgedError(TenantNotFoundError):
    """Whose message it is, is or was purged."""


class DeliveriesExhaustedError(APIError):
    """The broker delivered a message as often as it may, and nobody could handle it."""

    status = 409


def may_succeed_later(error: APIError) -> bool:
    """Tell a failure that another delivery may cure from one that stays."""
    return error.transient


def _reason(delivery: Delivery) -> str:
    """Read why the broker gave a message up; on the wire that is an application property."""
    reason = delivery.dead_letter_reason or delivery.application_properties.get(_DEAD_LETTER_REASON)
    return f"Dead-lettered by the broker: {reason or 'it did not say why'}"
