"""The queue edge, the counterpart of `shared/http.py`: parse, find the tenant, call, settle.

What can never succeed goes to the quarantine with its reason, and the message is settled. What may succeed
later raises, so that the host abandons the message and the broker delivers it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import azure.functions as func  # noqa: TC002  # the worker resolves the functions' annotations here
import pydantic

from shared.contracts import Message
from shared.errors import (
    APIError,
    MalformedRequestError,
    RateLimitError,
    TenantNotFoundError,
    ValidationError,
)
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.quarantine import Refused
from shared.tenancy.context import TenantContext, acting_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.quarantine import QuarantinedMessage

_SERVER_ERRORS = 500
_logger = get_logger(__name__)


class FindsTenants(Protocol):
    """What the edge asks of `shared.tenancy`."""

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Let the platform's work run as a tenant that exists and is active."""
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
    def quarantine(self) -> KeepsRefused:
        """Where refused messages go."""
        ...


class Delivery(Protocol):
    """A message as the Functions binding hands it over."""

    @property
    def message_id(self) -> str:
        """The message's id."""
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

        # See shared/http.py on names.
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
        tenant: TenantContext | None = None
        with logging_as(request_id=delivery.message_id):
            try:
                message = self._parsed(delivery.get_body())
                tenant = await self.services.authenticator.for_platform(message.tenant_id)
                with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                    await handle(tenant, message)
                    _logger.info("Message handled", extra={"queue": self.name})
            except APIError as error:
                if error.status >= _SERVER_ERRORS or isinstance(error, RateLimitError):
                    _logger.warning("Message put back", extra=self._facts(error))
                    raise
                await self._quarantine(tenant, delivery, error)

    async def move(self, delivery: Delivery, give_up: Callable[[TenantContext, M], Awaitable[None]]) -> None:
        """Keep one dead letter in the quarantine of its tenant, or in the platform's where it names none."""
        with logging_as(request_id=delivery.message_id):
            tenant: TenantContext | None = None
            try:
                message = self._parsed(delivery.get_body())
                tenant = await self.services.authenticator.for_platform(message.tenant_id)
            except (MalformedRequestError, ValidationError, TenantNotFoundError) as error:
                _logger.info("A dead letter of no known tenant", extra=self._facts(error))
            else:
                with logging_as(tenant_id=tenant.tenant_id), acting_for(tenant):
                    await give_up(tenant, message)
            await self._quarantine(tenant, delivery, DeliveriesExhaustedError(_reason(delivery)))

    def _parsed(self, body: bytes) -> M:
        try:
            return self.model.model_validate_json(body)
        except pydantic.ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            if any(problem["type"] == "json_invalid" for problem in problems):
                raise MalformedRequestError("The body is not valid JSON") from error
            named = {".".join(str(part) for part in p["loc"]): p["msg"] for p in problems}
            said = "; ".join(f"{name}: {problem}" for name, problem in named.items())
            raise ValidationError(f"Invalid message: {said}", {"fields": named}) from error

    async def _quarantine(self, tenant: TenantContext | None, delivery: Delivery, error: APIError) -> None:
        refused = Refused(self.name, delivery.message_id, delivery.get_body(), error)
        await self.services.quarantine.put(tenant, refused)
        _logger.warning("Message quarantined", extra=self._facts(error))

    def _facts(self, error: APIError) -> dict[str, Any]:
        return {"queue": self.name, "error": type(error).__name__, "status": error.status}


class DeliveriesExhaustedError(APIError):
    """The broker delivered a message as often as it may, and nobody could handle it."""

    status = 409


def _reason(delivery: Delivery) -> str:
    reason = getattr(delivery, "dead_letter_reason", None) or "unknown"
    return f"Dead-lettered by the broker: {reason}"
