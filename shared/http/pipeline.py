"""Answer one HTTP request: authenticate, read, call, render.

Nothing behind this knows HTTP, and nothing else catches.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import (
    APIError,
    ConflictError,
    DeadlineExceededError,
    InternalError,
    MethodNotAllowedError,
    PermissionDeniedError,
    TenantNotFoundError,
    ValidationError,
)
from shared.http.idempotency import HEADER, IdempotencyKeyReusedError, KeyedRequest
from shared.http.rate_limiter import RequestRateExceededError
from shared.http.request_parsing import Received, header_text, receive
from shared.http.responses import HttpAnswer, render_error
from shared.logging.context import attribute_logs_to, log_context, logging_as
from shared.logging.logger import get_logger
from shared.resilience.deadlines import deadline
from shared.telemetry.spans import request_telemetry
from shared.tenancy.context import PlatformContext, TenantContext, acting_for

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from shared.http.route import EdgeServices, Reply, Route
    from shared.telemetry.spans import SpanFacts

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_logger = get_logger(__name__)


async def serve(route: Route, services: EdgeServices, request: Request) -> Response:
    """Answer one request: every outcome, expected or not, becomes a response with a request id."""
    call = _Call(route, services, request, _request_id(request.headers.get("x-request-id")))
    started = services.clock.monotonic()
    with (
        logging_as(request_id=call.request_id),
        deadline(route.seconds, services.clock),
        request_telemetry(route.method, f"/api/{route.path}", call.request_id, request.headers) as told,
    ):
        try:
            answer = await call.answer_in_time()
        except APIError as refusal:
            answer = call.refused(refusal)
        except Exception:
            _logger.exception("Unexpected failure", extra={"route": route.name})
            answer = call.refused(InternalError("The request failed for an unexpected reason"))
        _log_outcome(route, answer, services.clock.monotonic() - started)
        if told is not None:
            _tell_outcome(told, answer)
        return answer.as_response({"x-request-id": call.request_id, **call.edge_headers})


@dataclass(frozen=True, slots=True)
class _Call:
    """One request on its way.

    Attributes:
        edge_headers: What the edge itself says on the answer, whatever that is.
    """

    route: Route
    services: EdgeServices
    request: Request
    request_id: str
    edge_headers: dict[str, str] = field(default_factory=dict)

    async def answer_in_time(self) -> HttpAnswer:
        """Answer, or stop whatever has not ended by itself when the route's time is over."""
        limit = asyncio.timeout(self.route.seconds)
        try:
            async with limit:
                return await self.answer()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceededError("the service") from error

    async def answer(self) -> HttpAnswer:
        if not self.route.documented:
            self._refuse_other_methods()
        subject = await self._authorised()
        if not isinstance(subject, TenantContext):
            return await self._handled(subject)
        attribute_logs_to(subject.tenant_id)
        with acting_for(subject):
            return await self._handled(subject)

    def refused(self, error: APIError) -> HttpAnswer:
        return render_error(error, self.services.clock.now(), self.request_id)

    def _refuse_other_methods(self) -> None:
        """Tell, where no route answers, whether one of this path answers other methods."""
        path = self.request.path_params.get("rest", "")
        found = [route for route in self.services.routes if route.has_path(path)]
        if not found:
            return
        first = min(route.precedence for route in found)
        allowed = sorted({route.method for route in found if route.precedence == first})
        if self.request.method not in allowed:  # else the host took another path for it: %2F is no slash
            raise MethodNotAllowedError(self.request.method, allowed)

    async def _authorised(self) -> TenantContext | PlatformContext | None:
        route = self.route
        if route.who is None:
            return None
        authenticator = self.services.authenticator  # an open route needs no settings
        sent = self.request.headers.getlist("authorization")
        # Of two, whatever stands before the app might have gone by the other one.
        subject = await authenticator.authenticate(sent[0] if len(sent) == 1 else None)
        self._count(subject)
        if route.platform:
            if isinstance(subject, PlatformContext):
                return subject
            raise PermissionDeniedError("Only the platform's administrator may do this")
        named = self.request.path_params.get("tenant_id")
        if isinstance(subject, PlatformContext):
            acts_for = named or header_text(self.request, "x-tenant-id")
            if not acts_for:
                if route.either:
                    return subject
                raise ValidationError(
                    "The administrator names the tenant to act for",
                    {"fields": {"header.x-tenant-id": "required"}},
                )
            return await authenticator.for_tenant(subject, acts_for, route.name)
        if named is not None and named != subject.tenant_id:
            raise TenantNotFoundError(named)
        if not subject.role.includes(route.who):
            raise PermissionDeniedError(f"This needs the role {route.who}", {"role": subject.role})
        return subject

    def _count(self, subject: TenantContext | PlatformContext) -> None:
        admission = self.services.request_rates.admit(subject)
        self.edge_headers.update(admission.headers())
        if admission.retry_after is not None:
            raise RequestRateExceededError(admission.limit, admission.retry_after)

    async def _handled(self, subject: TenantContext | PlatformContext | None) -> HttpAnswer:
        received = await receive(self.route, self.request)
        key = header_text(self.request, HEADER) if self.route.repeatable else None
        keyed = None if key is None else KeyedRequest(self.route.name, key, self._content(received))
        derived_id = keyed.derived_id(subject) if keyed and isinstance(subject, TenantContext) else None
        if self.route.takes_operation_id:
            received.arguments["operation_id"] = derived_id
        if keyed is None or subject is None:
            return await self._run(subject, received.arguments)
        if derived_id is not None and (named := self._named_after(derived_id, received)) is not None:
            return await self._run_under_derived_id(subject, named)
        return await self.services.idempotency.once(
            subject, keyed, lambda: self._settled(subject, received.arguments)
        )

    async def _run(
        self, subject: TenantContext | PlatformContext | None, arguments: dict[str, Any]
    ) -> HttpAnswer:
        handler = self.route.handler
        returned: Reply = await (handler(**arguments) if subject is None else handler(subject, **arguments))
        return self.route.render(returned)

    async def _settled(
        self, subject: TenantContext | PlatformContext, arguments: dict[str, Any]
    ) -> HttpAnswer:
        """Run, with a refusal as the answer that it is: the same request is refused so again."""
        try:
            return await self._run(subject, arguments)
        except APIError as refusal:
            return self.refused(refusal)

    def _named_after(self, derived_id: str, received: Received) -> dict[str, Any] | None:
        """Name the aggregate that the request makes after its key, unless the caller has named it."""
        derives, body = self.route.derives, self.route.body
        if derives is None or body is None:
            return None
        sent = received.arguments[body[0]]
        if getattr(sent, derives) is not None:
            return None
        return received.arguments | {body[0]: sent.model_copy(update={derives: derived_id})}

    async def _run_under_derived_id(
        self, subject: TenantContext | PlatformContext, arguments: dict[str, Any]
    ) -> HttpAnswer:
        try:
            return await self._run(subject, arguments)
        except ConflictError as error:  # the aggregate is there, and was asked for in other words
            raise IdempotencyKeyReusedError from error

    def _content(self, received: Received) -> tuple[bytes, ...]:
        route, request = self.route, self.request
        path = (f"{name}={value}" for name, value in sorted(request.path_params.items()))
        query = request.scope.get("query_string", b"")
        return (route.method.encode(), route.path.encode(), "\0".join(path).encode(), query, received.content)


def _request_id(sent: str | None) -> str:
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return secrets.token_hex(16)


def _tell_outcome(told: SpanFacts, answer: HttpAnswer) -> None:
    told.measured["http.response.status_code"] = answer.status
    told.attributes["tenantry.tenant_id"] = log_context().tenant_id or ""
    if answer.error is not None:
        told.measured["error.type"] = type(answer.error).__name__


def _log_outcome(route: Route, answer: HttpAnswer, seconds: float) -> None:
    facts = {"route": route.name, "status": answer.status, "duration_ms": round(seconds * 1000, 1)}
    error = answer.error
    if error is None:
        _logger.info("Request answered", extra=facts)
        return
    facts |= {"error": type(error).__name__}
    if answer.status < InternalError.status:
        _logger.info("Request refused", extra=facts)
    else:
        _logger.error("Request failed", extra=facts, exc_info=error.__cause__)
