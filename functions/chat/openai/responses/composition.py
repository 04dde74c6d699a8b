"""Composition of responses: what one request for them opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.openai.responses.calls import ResponseCalls
from functions.chat.openai.responses.repository import ResponseRepository
from functions.chat.openai.responses.service import ResponseService
from functions.chat.openai.responses.stored_responses import StoredResponses
from shared.llm.settings import CHAT_RETENTION_DAYS

if TYPE_CHECKING:
    from functions.chat.composition import Chat
    from shared.llm.model_call import CallOrigin
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext


@dataclass(frozen=True, slots=True)
class OpenedResponses:
    """Responses of one tenant, as one request has opened them.

    Attributes:
        service: The responses.
        calls: The calls of models that they make.
    """

    service: ResponseService
    calls: ResponseCalls


def open_stored(runtime: Runtime, tenant: TenantContext) -> StoredResponses:
    """Open a tenant's stored responses."""
    return StoredResponses(_open_repository(runtime, tenant), runtime.clock)


def _open_repository(runtime: Runtime, tenant: TenantContext) -> ResponseRepository:
    return ResponseRepository(tenant, runtime.container("conversations"), runtime.clock)


async def open_responses(
    chat: Chat, runtime: Runtime, tenant: TenantContext, origin: CallOrigin | None = None
) -> OpenedResponses:
    """Open a tenant's responses, and what answers them.

    Raises:
        DependencyUnavailableError: The tenant's settings cannot be read, and were not read before.
    """
    forwarding = await chat.forwarding(tenant)
    calls = ResponseCalls(forwarding) if origin is None else ResponseCalls(forwarding, origin)
    retention_days = await runtime.tenant_settings.value(tenant, CHAT_RETENTION_DAYS)
    stored = _open_repository(runtime, tenant)
    service = ResponseService(tenant, stored, calls, runtime.clock, retention_days or None)
    return OpenedResponses(service, calls)
