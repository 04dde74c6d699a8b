"""Parsing of a request into the models that its route declares; everything else is refused by name."""

from __future__ import annotations

import asyncio
import json
import math
import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from shared.errors import MalformedRequestError, PayloadTooLargeError, ValidationError
from shared.http.bounds import BodyTimeoutError
from shared.http.inputs import InputSource
from shared.http.models import RequestModel
from shared.http.streaming import EVENT_STREAM, LINE_STREAM
from shared.validation import refused_field, validate_input

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from shared.http.bounds import RouteBounds
    from shared.http.route import Route
    from shared.resilience.concurrency import Paces

LARGEST_INTEGER = 2**53 - 1
"""The largest that every JSON parser reads exactly (RFC 7493), and the store's numbers hold."""

_DOUBTFUL = re.compile(rb"[0-9]{16}|[0-9][eE]|NaN|Infinity")
LARGE_BODY_BYTES = 64 * 1024
"""From here on, an owner's bodies are parsed one after the other, and leave time to others between."""

_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,255}")


def read_parameters(route: Route, request: Request) -> dict[InputSource, Any]:
    """Read all of a request but its body.

    Raises:
        ValidationError: A parameter is missing, unknown or out of its range; it is named.
    """
    parts: dict[InputSource, Any] = {}
    path, query = route.inputs.path, route.inputs.query
    if path is not None:
        parameters = dict(request.path_params)
        parts[InputSource.PATH] = validate_input(lambda: path.model_validate(parameters), "request", "path")
    # An unknown path is 404, whatever is asked of it.
    sent = _parse_query(request, route.dialect.list_suffix) if not route.is_catch_all else {}
    if query is not None:
        parts[InputSource.QUERY] = validate_input(lambda: query.model_validate(sent), "request", "query")
    elif sent:
        unknown = {f"query.{name}": "Extra inputs are not permitted" for name in sent}
        raise ValidationError(f"Invalid request: unknown: {', '.join(unknown)}", {"fields": unknown})
    if route.inputs.takes(InputSource.IF_MATCH):
        parts[InputSource.IF_MATCH] = header_text(request, "if-match")
    if route.inputs.takes(InputSource.LAST_EVENT_ID):
        parts[InputSource.LAST_EVENT_ID] = header_text(request, "last-event-id")
    if route.inputs.takes(InputSource.WANTS_EVENTS):
        parts[InputSource.WANTS_EVENTS] = _accepts(request, EVENT_STREAM) or None
    if route.inputs.takes(InputSource.WANTS_LINES):
        parts[InputSource.WANTS_LINES] = _accepts(request, LINE_STREAM) or None
    if route.inputs.takes(InputSource.IF_NONE_MATCH):
        parts[InputSource.IF_NONE_MATCH] = request.headers.get("if-none-match")
    if route.inputs.takes(InputSource.ACCEPTS_GZIP):
        parts[InputSource.ACCEPTS_GZIP] = _accepts_gzip(request) or None
    return parts


async def read_body(route: Route, request: Request) -> bytes:
    """Read a request's body, where its route takes one.

    Raises:
        PayloadTooLargeError: It is larger than the route takes.
        MalformedRequestError: It ended early.
        BodyTimeoutError: It did not come in time.
    """
    if route.inputs.body is None:
        return b""
    most = route.bounds.body_bytes
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > most:
        raise _body_too_large(most)
    parts: list[bytes] = []
    size = 0
    limit = asyncio.timeout(route.bounds.body_seconds)
    try:
        async with limit, aclosing(request.stream()) as stream:
            async for part in stream:
                size += len(part)
                if size > most:
                    raise _body_too_large(most)
                parts.append(part)
    except (ClientDisconnect, TimeoutError):
        parts.clear()
    else:
        return b"".join(parts)
    if limit.expired():
        raise BodyTimeoutError(route.bounds.body_seconds)
    raise MalformedRequestError("The body ended early")


def media_type(request: Request) -> str:
    """Return what a request calls its body, without parameters; nothing where it does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def parse_body(
    route: Route, content: bytes, kind: str, owner: str, paces: Paces
) -> dict[InputSource, Any]:
    """Read a body into the route's model: it is JSON, unless the model knows its media type as another one.

    Args:
        route: The route.
        content: The body.
        kind: Its media type.
        owner: Whose it is.
        paces: The turns of large bodies, refused or not.

    Raises:
        ValidationError: A field is missing, unknown or out of its range, or the body holds too much.
        MalformedRequestError: The body is not JSON.
    """
    model = route.inputs.body
    if model is None:
        return {}
    if len(content) < LARGE_BODY_BYTES:
        return {InputSource.BODY: _parse(model, content, kind, route.bounds)}
    return {InputSource.BODY: await paces.run(owner, lambda: _parse(model, content, kind, route.bounds))}


def header_text(request: Request, name: str) -> str | None:
    """Return a header's value, or None where there is no such header.

    Raises:
        ValidationError: It is given twice, or is not 1 to 255 printable ASCII characters.
    """
    values = request.headers.getlist(name)
    if not values:
        return None
    if len(values) > 1:
        raise refused_field(f"header.{name}", "given more than once")
    if _HEADER_TEXT.fullmatch(values[0]) is None:
        raise refused_field(f"header.{name}", "must be 1 to 255 printable ASCII characters")
    return values[0]


def _accepts(request: Request, media_type: str) -> bool:
    named = ",".join(request.headers.getlist("accept")).split(",")
    return any(one.partition(";")[0].strip().lower() == media_type for one in named)


def _accepts_gzip(request: Request) -> bool:
    for named in ",".join(request.headers.getlist("accept-encoding")).lower().split(","):
        name, *rest = (part.strip() for part in named.split(";"))
        if name == "gzip":
            return all(re.fullmatch(r"q=0(\.0*)?", one) is None for one in rest)
    return False


def _parse_query(request: Request, list_suffix: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if list_suffix and name.endswith(list_suffix):
            lists.setdefault(name.removesuffix(list_suffix), []).append(value)
        elif name in parameters:
            raise refused_field(f"query.{name}", "given more than once")
        else:
            parameters[name] = value
    for name in lists.keys() & parameters.keys():
        raise refused_field(f"query.{name}", "given more than once")
    return parameters | {name: ",".join(values) for name, values in lists.items()}


def _parse(model: type[BaseModel], content: bytes, kind: str, bounds: RouteBounds) -> BaseModel:
    if issubclass(model, RequestModel) and kind in model.whole_bodies:
        whole = {model.whole_bodies[kind]: _decode(content)}
        return validate_input(lambda: model.model_validate(whole), "request", "body")
    if not content.strip():
        raise MalformedRequestError("The body is empty: it must be JSON, {} at least")
    bounds.check_json(content)
    body = validate_input(lambda: model.model_validate_json(content), "request", "body")
    # JSON that this process reads, but the store, or another reader, would not.
    if _DOUBTFUL.search(content):
        json.loads(
            content, parse_int=_check_integer, parse_float=_check_float, parse_constant=_refuse_constant
        )
    return body


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        problem = MalformedRequestError("The body is not UTF-8")
    raise problem  # outside of the block above: the other error holds the body


def _check_integer(digits: str) -> int:
    if len(digits) > len(str(-LARGEST_INTEGER)) or abs(int(digits)) > LARGEST_INTEGER:
        raise refused_field("body", f"holds an integer beyond {LARGEST_INTEGER}")
    return int(digits)


def _check_float(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise refused_field("body", "holds a number beyond what a double can be")
    return float(digits)


def _refuse_constant(name: str) -> float:
    raise MalformedRequestError(f"The body is not valid JSON: {name}")


def _body_too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body is larger than {most} bytes", {"max_bytes": most})
