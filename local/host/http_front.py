"""The HTTP side of the host as one ASGI app: routes, keys, limits, functions, and the host's own pages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from local.host.bindings import RETURN, HttpResponseBinding, HttpTrigger
from local.host.connection import DEPARTURE
from local.host.executor import Call
from local.host.http_messages import (
    ClientGoneError,
    Exchange,
    RefusedBodyError,
    classic_request,
    classic_response,
    declared_length,
    headers_of,
    query_of,
)
from local.host.invocation import HttpInput, HttpOutput
from local.host.logs import log
from local.host.paths import fold, split_path
from local.host.refusals import FAILED, LARGE_BODY
from local.host.routing import Route, parse_route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.host.admin import Admin
    from local.host.bindings import Function
    from local.host.executor import Executor
    from local.host.hostjson import HttpOptions
    from local.host.http_messages import BodyBounds
    from local.host.invocation import Outcome, Receive, Scope, Send
    from local.host.keys import Keys
    from local.host.refusals import Refusal

_REASON = "This function was programmatically called via the host APIs."
_RESERVED = ("admin", "runtime")


class RouteConflictError(Exception):
    """A function's route is one that the host keeps for itself."""


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """Options of the HTTP side: `keys` None ignores authorization levels, as `func start` does."""

    http: HttpOptions
    body: BodyBounds
    streams: bool
    keys: Keys | None = None


class Routed(NamedTuple):
    """A function and its route."""

    route: Route
    function: Function
    trigger: HttpTrigger


class RouteTable:
    """The routes of all HTTP functions under the app's prefix."""

    def __init__(self, functions: Sequence[Function], prefix: str) -> None:
        routed: list[Routed] = []
        for function in functions:
            trigger = function.trigger
            if isinstance(trigger, HttpTrigger) and not function.disabled:
                template = "/".join(part for part in (prefix.strip("/"), trigger.route.strip("/")) if part)
                if fold(template.split("/", 1)[0]) in _RESERVED:
                    raise RouteConflictError(
                        f"The '{function.name}' function is in error: "
                        "The specified route conflicts with one or more built in routes."
                    )
                routed.append(Routed(parse_route(template), function, trigger))
        routed.sort(key=lambda item: (item.route.precedence, item.route.template))
        self._by_method: dict[str, list[Routed]] = {}
        for item in routed:
            for method in item.trigger.methods:
                self._by_method.setdefault(method, []).append(item)

    def match(self, method: str, raw_path: str) -> tuple[Routed, dict[str, str]] | None:
        """Return whose request it is and its route parameters."""
        return self.match_parts(method, split_path(raw_path))

    def match_parts(self, method: str, parts: Sequence[str]) -> tuple[Routed, dict[str, str]] | None:
        """Do as `match` does with a path that `split_path` took apart."""
        for routed in self._by_method.get(method, ()):
            params = routed.route.match_parts(parts)
            if params is not None:
                return routed, params
        return None


class HttpFront:
    """Answers requests."""

    def __init__(self, routes: RouteTable, executor: Executor, admin: Admin, options: FrontOptions) -> None:
        self._routes = routes
        self._executor = executor
        self._admin = admin
        self._options = options
        self._outstanding = 0
        concurrent = options.http.max_concurrent_requests
        self._slots = asyncio.Semaphore(concurrent) if concurrent > 0 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            raise RuntimeError(f"a function app takes no {scope['type']} connections")
        exchange = Exchange(scope, receive, send, self._options.body)
        refusal: Refusal | None = None
        try:
            await self._answer_unless_left(scope, exchange)
        except RefusedBodyError as error:
            refusal = error.refusal
        except ClientGoneError:
            log.debug("the client left before its request was complete")
        except Exception as error:
            if exchange.started:
                raise  # which cuts the connection: what was begun cannot be taken back
            log.exception("A request could not be answered: %s", type(error).__name__)
            refusal = FAILED
        if refusal is not None and not exchange.started:
            await exchange.refuse(refusal)

    async def _answer_unless_left(self, scope: Scope, exchange: Exchange) -> None:
        """Answer, or end what was begun for it when the client leaves before the answer."""
        departure = scope.get("state", {}).get(DEPARTURE)
        task = asyncio.current_task()
        if departure is None or task is None:
            await self._answer(scope, exchange)
            return
        left = False

        def leave() -> None:
            nonlocal left
            if not exchange.started:  # a stream that was begun notices by itself
                left = True
                task.cancel()

        departure.listen(leave)
        try:
            await self._answer(scope, exchange)
        except asyncio.CancelledError:
            if not left or task.uncancel() > 0:
                raise
            log.debug("the client left before its answer, and its invocation was ended")
        finally:
            departure.forget(leave)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        raw_path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        parts = split_path(raw_path)
        kept = bool(parts) and fold(parts[0]) in _RESERVED
        matched = None if kept else self._routes.match_parts(scope["method"], parts)
        if matched is None:
            await self._admin.answer(scope, exchange, [fold(part) for part in parts if part])
            return
        await self._bounded(matched[0], matched[1], scope, exchange)

    async def _bounded(
        self, routed: Routed, params: Mapping[str, str], scope: Scope, exchange: Exchange
    ) -> None:
        limit = self._options.http.max_outstanding_requests
        if 0 <= limit <= self._outstanding:
            await exchange.answer(429, b"Http request queue limit of %d exceeded." % limit, "text/plain")
            return
        self._outstanding += 1
        try:
            if self._slots is None:
                await self._serve(routed, params, scope, exchange)
            else:
                async with self._slots:
                    await self._serve(routed, params, scope, exchange)
        finally:
            self._outstanding -= 1

    async def _serve(
        self, routed: Routed, params: Mapping[str, str], scope: Scope, exchange: Exchange
    ) -> None:
        headers = headers_of(scope)
        keys = self._options.keys
        if keys is not None and not keys.admit(
            routed.trigger.auth_level, routed.function.name, headers, query_of(scope)
        ):
            await exchange.answer(401)
            return
        if declared_length(headers) > self._options.body.limit_bytes:
            await exchange.refuse(LARGE_BODY)
        elif self._options.streams:
            await self._serve_stream(routed, params, scope, exchange)
        else:
            request = classic_request(scope, headers, params, await exchange.body())
            await self._answer_classic(routed, request, scope, exchange)

    async def _serve_stream(
        self, routed: Routed, params: Mapping[str, str], scope: Scope, exchange: Exchange
    ) -> None:
        request = HttpInput(scope["method"], "", params=params)
        call = _call(routed.function, request, headers_of(scope), params, scope)
        outcome = await self._executor.run_http(call, scope, exchange.receive, exchange.send)
        if not exchange.started:
            await exchange.refuse(exchange.refusal or FAILED)
        if not outcome.succeeded:
            log.debug("the request got its answer from the worker")

    async def _answer_classic(
        self, routed: Routed, request: HttpInput, scope: Scope, exchange: Exchange
    ) -> None:
        function = routed.function
        outcome = await self._executor.run(_call(function, request, request.headers, request.params, scope))
        if not outcome.succeeded:
            await exchange.answer(500)
            return
        try:
            response = _response(function, outcome)
        except TypeError as error:
            log.error("Functions.%s: %s", function.name, error)
            await exchange.answer(500)
            return
        await exchange.respond(response)


def _response(function: Function, outcome: Outcome) -> HttpOutput:
    for binding in function.outputs:
        if isinstance(binding, HttpResponseBinding) and binding.name != RETURN:
            value = outcome.outputs.get(binding.name)
            # An output that is there and was not set answers 200; 204 is for functions without one.
            return HttpOutput(200, (), b"") if value is None else classic_response(value)
    return classic_response(outcome.return_value)


def _call(
    function: Function,
    request: HttpInput,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    scope: Scope,
) -> Call:
    # Expressions of bindings may name route parameters, `query.x` and `headers.x`.
    needs_data = function.inputs or len(function.outputs) > 1
    data = {"query": query_of(scope), "headers": dict(headers), **params} if needs_data else params
    return Call(
        function=function,
        value=request,
        reason=_REASON,
        data=data,
        trace_parent=headers.get("traceparent", ""),
        trace_state=headers.get("tracestate", ""),
    )
