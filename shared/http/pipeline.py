"""Pipeline of one HTTP request: authenticate, limit the rate, read, run the handler, render.

Nothing behind this knows HTTP, and nothing else catches.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import (
    APIError,
    ConflictError,
    DeadlineExceededError,
    InternalError,
    MethodNotAllowedError,
    PermissionDeniedError,
    ValidationError,
)
from shared.http.bounds import request_cost
from shared.http.idempotency import HEADER, IdempotencyKeyReusedError, KeyedRequest
from shared.http.inputs import InputSource
from shared.http.rate_limiter import RequestRateExceededError
from shared.http.request_parsing import header_text, media_type, parse_body, read_body, read_parameters
from shared.http.responses import HttpResponse
from shared.http.streaming import EventChannel, EventStream, StreamEnd, StreamEvent, respond
from shared.logging.context import attribute_logs_to, log_context, logging_as
from shared.logging.logger import get_logger
from shared.resilience.deadlines import deadline
from shared.resilience.tasks import spawn
from shared.telemetry.spans import request_telemetry
from shared.tenancy.context import PlatformContext, TenantContext, acting_for
from shared.tenancy.errors import TenantNotFoundError
from shared.tracebacks import release_frames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response

    from shared.http.dialect import Dialect
    from shared.http.rate_limiter import RateDecision
    from shared.http.route import EdgeServices, Route
    from shared.telemetry.spans import SpanFacts

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_logger = get_logger(__name__)


async def serve(route: Route, services: EdgeServices, request: Request) -> Response:
    """Answer one request: every outcome, expected or not, becomes a response with a request id."""
    request_id = read_request_id(request.headers.get("x-request-id"))
    clock = services.clock
    channel = EventChannel(clock, route.dialect.failure_event) if route.streams else None
    headers = {"x-request-id": request_id}
    work = RequestInProgress(route, services, request, request_id, clock.monotonic(), headers, channel)
    if channel is None:
        return (await _handle_to_the_end(work)).to_starlette(headers)
    return await respond(spawn(_handle_to_the_end(work)), channel, headers)


async def _handle_to_the_end(work: RequestInProgress) -> HttpResponse:
    route, services = work.route, work.services
    with (
        logging_as(request_id=work.request_id),
        deadline(route.seconds, services.clock),
        request_telemetry(route.method, f"/api/{route.path}", work.request_id, work.request.headers) as told,
    ):
        try:
            response = await work.respond_in_time()
        except APIError as error:
            response = work.capture(error)
        except BaseException as error:
            if _comes_from_outside(error):
                work.log_departure()
                raise
            response = work.capture_failure(error)
        if work.channel is not None:
            work.channel.finish(response)
        work.log_response(response)
        if told is not None:
            _record_outcome(told, response)
        return response


@dataclass(frozen=True, slots=True)
class RequestInProgress:
    """One request on its way through the pipeline.

    Attributes:
        started: When it began, on the clock's monotonic side.
        edge_headers: Headers that the edge itself puts on the response, whatever that is.
        channel: The events of a stream, where the route may give one.
    """

    route: Route
    services: EdgeServices
    request: Request
    request_id: str
    started: float
    edge_headers: dict[str, str]
    channel: EventChannel | None = None

    async def respond_in_time(self) -> HttpResponse:
        """Respond, or stop whatever has not ended by itself when the route's time is over.

        Raises:
            DeadlineExceededError: The route's time is over.
        """
        limit = asyncio.timeout(self.route.seconds)
        try:
            async with limit:
                return await self._respond()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceededError("the service") from error

    def capture(self, error: APIError) -> HttpResponse:
        """Render an error, and let go of what it holds of the request."""
        response = self._render(error)
        if error.status >= InternalError.status:
            cause = error.__cause__ or error.__context__
            _logger.error("Request failed", extra=self._facts(response), exc_info=cause)
        release_frames(error)
        return response

    def capture_failure(self, error: BaseException) -> HttpResponse:
        """Answer for whatever else a handler ended in: a defect, `SystemExit`, a native library's panic."""
        response = self._render(InternalError("The request failed for an unexpected reason"))
        _logger.error("Unexpected failure", extra=self._facts(response), exc_info=error)
        release_frames(error)
        return response

    def log_response(self, response: HttpResponse) -> None:
        """Log how the request ended; a failure was logged with its cause when it was captured."""
        if response.error is None:
            _logger.info("Request answered", extra=self._facts(response))
        elif response.status < InternalError.status:
            _logger.info("Request refused", extra=self._facts(response))

    def log_departure(self) -> None:
        """Log that a stream's client left before its end; whatever it was for has been ended."""
        if self.channel is not None and self.channel.is_open:
            _logger.info("Client left its stream", extra=self._measure(self.channel))

    def _render(self, error: APIError) -> HttpResponse:
        return self._dialect().render(error, self.services.clock.now(), self.request_id)

    def _dialect(self) -> Dialect:
        """Return the dialect of the route, or, where none answers, the one that has the path."""
        if self.route.documented:
            return self.route.dialect
        if found := self._routes_of_the_path():
            return found[0].dialect
        path = self.request.path_params.get("rest", "")
        dialects = (route.dialect for route in self.services.routes)
        return next((one for one in dialects if one.has_path(path)), self.route.dialect)

    def _facts(self, response: HttpResponse) -> dict[str, Any]:
        facts = self._measure(self.channel) | {"status": response.status}
        return facts if response.error is None else facts | {"error": response.error}

    def _measure(self, channel: EventChannel | None) -> dict[str, Any]:
        seconds = self.services.clock.monotonic() - self.started
        facts = {"route": self.route.name, "duration_ms": round(seconds * 1000, 1)}
        if channel is None or channel.first_at is None:
            return facts
        first_ms = round((channel.first_at - self.started) * 1000, 1)
        return facts | {"first_event_ms": first_ms, "sent_bytes": channel.sent_bytes}

    async def _respond(self) -> HttpResponse:
        if not self.route.documented:
            self._refuse_other_methods()
        caller = await self._authorize()
        if not isinstance(caller, TenantContext):
            return await self._handle(caller)
        attribute_logs_to(caller.tenant_id)
        with acting_for(caller):
            return await self._handle(caller)

    def _refuse_other_methods(self) -> None:
        """Tell, where no route answers, whether one of this path answers other methods."""
        allowed = sorted({route.method for route in self._routes_of_the_path()})
        # One that is allowed is another path to the host: %2F is no slash.
        if allowed and self.request.method not in allowed:
            raise MethodNotAllowedError(self.request.method, allowed)

    def _routes_of_the_path(self) -> list[Route]:
        """Return those routes of the request's path that the host would choose from, where none answers."""
        path = self.request.path_params.get("rest", "")
        found = [route for route in self.services.routes if route.has_path(path)]
        first = min((route.precedence for route in found), default=None)
        return [route for route in found if route.precedence == first]

    async def _authorize(self) -> TenantContext | PlatformContext | None:
        route = self.route
        if route.min_role is None:
            return None
        authenticator = self.services.authenticator  # an open route needs no settings
        sent = self.request.headers.getlist("authorization")
        # Of two, whatever stands before the app might have gone by the other one.
        caller = await authenticator.authenticate(sent[0] if len(sent) == 1 else None)
        self._admit(self.services.rate_limiter.hit(caller))
        if not route.serves_tenants:
            if isinstance(caller, PlatformContext):
                return caller
            raise PermissionDeniedError("Only the platform's administrator may do this")
        named = self.request.path_params.get("tenant_id")
        if isinstance(caller, PlatformContext):
            if named is not None and route.serves_platform:
                return caller  # the path names what is asked about, not for whom to act
            acts_for = named or header_text(self.request, "x-tenant-id")
            if acts_for:
                return await authenticator.for_tenant(caller, acts_for, route.name)
            if route.serves_platform:
                return caller
            raise ValidationError(
                "The administrator names the tenant to act for",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        if named is not None and named != caller.tenant_id:
            raise TenantNotFoundError(named)
        if not caller.role.includes(route.min_role):
            raise PermissionDeniedError(f"This needs the role {route.min_role}", {"role": caller.role})
        return caller

    def _admit(self, decision: RateDecision) -> None:
        self.edge_headers.update(decision.headers())
        if decision.retry_after is not None:
            raise RequestRateExceededError(decision.limit, decision.retry_after)

    async def _handle(self, caller: TenantContext | PlatformContext | None) -> HttpResponse:
        parts = read_parameters(self.route, self.request)
        content = await read_body(self.route, self.request)
        if caller is not None and (cost := request_cost(content)):
            self._admit(self.services.rate_limiter.charge(caller, cost))
        owner = caller.tenant_id if isinstance(caller, TenantContext) else ""
        kind = media_type(self.request)
        parts |= await parse_body(self.route, content, kind, owner, self.services.paces)
        key = header_text(self.request, HEADER) if self.route.repeatable else None
        keyed = None if key is None else KeyedRequest(self.route.name, key, self._content(content))
        derived_id = keyed.derived_id(caller) if keyed and isinstance(caller, TenantContext) else None
        parts |= {
            InputSource.CALLER: caller,
            InputSource.OPERATION_ID: derived_id,
            InputSource.ARRIVED_AT: self.started,
        }
        if keyed is None or caller is None:
            return await self._run_handler(parts)
        if derived_id is not None and self._derives_id(parts):
            named = parts[InputSource.BODY].model_copy(update={self.route.id_field: derived_id})
            return await self._run_under_derived_id(parts | {InputSource.BODY: named})
        return await self.services.idempotency.run_once(
            caller, keyed, lambda: self._run_to_any_response(parts)
        )

    async def _run_handler(self, parts: Mapping[InputSource, Any]) -> HttpResponse:
        caller = parts[InputSource.CALLER]
        owner = caller.tenant_id if isinstance(caller, TenantContext) else ""
        if not self.route.bounds.one_at_a_time:
            return await self._answer(owner, parts)
        async with self.services.paces.in_turn((self.route.name, owner)):
            return await self._answer(owner, parts)

    async def _answer(self, owner: str, parts: Mapping[InputSource, Any]) -> HttpResponse:
        returned = await self.route.handler(**self.route.inputs.bind(parts))
        if isinstance(returned, EventStream):
            return await self._send_events(returned, self.channel or EventChannel(self.services.clock))
        return await self.services.paces.run_light(("answers", owner), lambda: self.route.render(returned))

    async def _send_events(self, stream: EventStream[Any], channel: EventChannel) -> HttpResponse:
        """Send a stream's events, and return what a repeated request is answered with."""
        reply: BaseModel | StreamEnd | None = None
        form = channel.form = stream.form
        async with channel.keep_alive(), aclosing(stream.events) as events:
            async for event in events:
                if isinstance(event, StreamEvent):
                    if not channel.is_open:
                        self.edge_headers.update(stream.headers)
                    await channel.put(form.render(event))
                else:
                    reply = event
        if reply is None:
            raise RuntimeError("A stream has no reply")
        if isinstance(reply, StreamEnd):
            channel.ending = reply.sent
            return HttpResponse(self.route.status, form.headers, reply.repeated)
        whole = self.route.render(reply)
        done = StreamEvent("done", whole.body.decode())
        return HttpResponse(whole.status, form.headers, form.render(done))

    async def _run_to_any_response(self, parts: Mapping[InputSource, Any]) -> HttpResponse:
        """Run, with a refusal as the response that it is: the same request is refused so again."""
        try:
            return await self._run_handler(parts)
        except APIError as error:
            return self.capture(error)

    def _derives_id(self, parts: Mapping[InputSource, Any]) -> bool:
        """Tell whether the request makes one aggregate, and the caller has not named it."""
        id_field = self.route.id_field
        return id_field is not None and getattr(parts[InputSource.BODY], id_field) is None

    async def _run_under_derived_id(self, parts: Mapping[InputSource, Any]) -> HttpResponse:
        with suppress(ConflictError):
            return await self._run_handler(parts)
        raise IdempotencyKeyReusedError  # the aggregate is there, and was asked for in other words

    def _content(self, body: bytes) -> tuple[bytes, ...]:
        route, request = self.route, self.request
        path = (f"{name}={value}" for name, value in sorted(request.path_params.items()))
        query = request.scope.get("query_string", b"")
        return (route.method.encode(), route.path.encode(), "\0".join(path).encode(), query, body)


def read_request_id(sent: str | None) -> str:
    """Return the id that a caller sent for its request, if it is a valid one, else a new one."""
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return secrets.token_hex(16)


def _record_outcome(told: SpanFacts, response: HttpResponse) -> None:
    told.measured["http.response.status_code"] = response.status
    told.attributes["tenantry.tenant_id"] = log_context().tenant_id or ""
    if response.error is not None:
        told.measured["error.type"] = response.error


def _comes_from_outside(error: BaseException) -> bool:
    """Tell whether the request or the whole process is being stopped, and the handler with it.

    A handler that awaits what somebody else has cancelled ends in a `CancelledError`, too.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt)
