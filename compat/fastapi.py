"""FastAPI integration with the call shapes of the bot manager document.

`BotManagerDep` is the edge of such an app: it authenticates the request by this app's credentials, counts it
against the tenant's rate, and makes the tenant ambient for the endpoint. What a body says of a tenant decides
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from functions.chat.bots.errors import BotCreationError, BotNotFoundError
from functions.chat.bots.manager import BotManager
from functions.chat.conversations.errors import ConversationNotFoundError
from shared.errors import APIError, ConfigurationError, InternalError, RateLimitError, ValidationError
from shared.http.error_reply import ErrorReply, render_error
from shared.http.pipeline import read_request_id
from shared.http.rate_limiter import RequestRateExceededError
from shared.logging.context import attribute_logs_to, logging_as
from shared.logging.logger import get_logger
from shared.runtime import process_runtime
from shared.tenancy.context import PlatformContext, acting_for
from shared.validation import MOST_NAMED, describe_problem, refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from functions.chat.bots.loaders import ConfigLoader
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext

__all__ = [
    "APIError",
    "BotCreationError",
    "BotManagerDep",
    "BotNotFoundError",
    "ConfigurationError",
    "ConversationNotFoundError",
    "RateLimitError",
    "ValidationError",
    "get_bot_manager",
    "init_bot_manager",
    "register_exception_handlers",
    "reset_bot_manager",
]

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Served:
    """The manager of this process's app, and the composition root that it is on."""

    manager: BotManager
    runtime: Runtime


_served: list[_Served] = []


def init_bot_manager(
    config_loader: ConfigLoader | None = None, *, runtime: Runtime | None = None
) -> BotManager:
    """Make the manager that this process's app serves, in the place of one that was made before.

    Args:
        config_loader: Gives configurations by bot id; without it they are the stored bots'.
        runtime: The composition root; the process's own unless another one is given.
    """
    runtime = runtime or process_runtime()
    manager = BotManager(config_loader, runtime=runtime)
    _served[:] = [_Served(manager, runtime)]
    return manager


def get_bot_manager() -> BotManager:
    """Return the manager; where none was made, one of the stored bots. Whoever asks has set the tenant."""
    return _current().manager


def reset_bot_manager() -> None:
    """Let go of the manager and of all tenants' bots that it has at hand."""
    _served.clear()


async def serve_caller(request: Request) -> AsyncIterator[BotManager]:
    """Authenticate a request, and give it the manager with its tenant as the ambient one.

    Raises:
        AuthenticationError: There is no valid credential.
        ValidationError: The administrator names no tenant to act for.
        RequestRateExceededError: The tenant has sent more requests than its tier allows.
    """
    served = _current()
    with logging_as(request_id=_request_id(request)):
        tenant = await _authenticate(served.runtime, request)
        attribute_logs_to(tenant.tenant_id)
        with acting_for(tenant):
            yield served.manager


BotManagerDep = Annotated[BotManager, Depends(serve_caller)]
"""The manager as an endpoint's parameter, for the tenant of the request's credential."""


def register_exception_handlers(app: FastAPI) -> None:
    """Let an app answer every error in the document's shape."""
    app.exception_handler(APIError)(_answer_api_error)
    app.exception_handler(RequestValidationError)(_answer_invalid_request)
    app.exception_handler(HTTPException)(_answer_http_exception)
    app.exception_handler(Exception)(_answer_defect)


def _current() -> _Served:
    if not _served:
        init_bot_manager()
    return _served[0]


async def _authenticate(runtime: Runtime, request: Request) -> TenantContext:
    sent = request.headers.getlist("authorization")
    authenticator = runtime.authenticator
    caller = await authenticator.authenticate(sent[0] if len(sent) == 1 else None)
    decision = runtime.rate_limiter.hit(caller)
    if decision.retry_after is not None:
        raise RequestRateExceededError(decision.limit, decision.retry_after)
    if not isinstance(caller, PlatformContext):
        return caller
    named = request.headers.get("x-tenant-id")
    if not named:
        raise refused_field("header.x-tenant-id", "required of the administrator")
    route = str(getattr(request.scope.get("route"), "path", ""))  # the template: a path may say anything
    return await authenticator.for_tenant(caller, named, route)


def _request_id(request: Request) -> str:
    """Return the request's id, the same one each time that it is asked for."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = read_request_id(request.headers.get("x-request-id"))
    request_id: str = request.state.request_id
    return request_id


async def _answer_api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, APIError):
        return await _answer_defect(request, error)
    if error.status >= InternalError.status:
        facts = {"error": type(error).__name__, "status": error.status}
        _logger.error("Request failed", extra=facts, exc_info=error.__cause__)
    return _render(request, error)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    fields = {
        ".".join(map(str, problem["loc"])): describe_problem(problem) for problem in problems[:MOST_NAMED]
    }
    said = "; ".join(f"{name}: {problem}" for name, problem in fields.items())
    return _render(request, ValidationError(f"Invalid request: {said}", {"fields": fields}))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _answer_defect(request, error)
    reply = ErrorReply(
        error=type(error).__name__,
        message=str(error.detail),
        detail={"status": error.status_code},
        timestamp=_current().runtime.clock.now().isoformat(),
        request_id=_request_id(request),
    )
    headers = {**(error.headers or {}), "x-request-id": reply.request_id}
    return JSONResponse(reply.model_dump(), error.status_code, headers)


async def _answer_defect(request: Request, error: Exception) -> Response:
    _logger.error("Unexpected failure", exc_info=error)
    return _render(request, InternalError("The request failed for an unexpected reason"))


def _render(request: Request, error: APIError) -> Response:
    request_id = _request_id(request)
    rendered = render_error(error, _current().runtime.clock.now(), request_id)
    return rendered.to_starlette({"x-request-id": request_id})
