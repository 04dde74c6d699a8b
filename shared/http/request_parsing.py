"""Parsing of a request into the models that its route declares; everything else is refused by name."""

from __future__ import annotations

import json
import math
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from shared.errors import MalformedRequestError, PayloadTooLargeError, ValidationError
from shared.http.inputs import InputSource
from shared.validation import refused_field, validate_input

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from shared.http.route import Route

MAX_BODY_BYTES = 1024 * 1024
"""design/api.md: over 1 MB is a 413."""

MOST_LEVELS = 64
"""How deep JSON may be nested; Cosmos DB takes 128 levels, and items put some around it."""

LARGEST_INTEGER = 2**53 - 1
"""The largest that every JSON parser reads exactly (RFC 7493), and the store's numbers hold."""

_DOUBTFUL = re.compile(rb"[0-9]{16}|[0-9][eE]|NaN|Infinity")
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """Checked parts of a request, and its body as it came."""

    parts: dict[InputSource, Any]
    content: bytes


async def read_request(route: Route, request: Request) -> ReceivedRequest:
    """Read a request.

    Raises:
        ValidationError: A parameter or a field is missing, unknown or out of its range; it is named.
        MalformedRequestError: The body is not JSON, or ended early.
        PayloadTooLargeError: The body is larger than `MAX_BODY_BYTES`.
    """
    parts: dict[InputSource, Any] = {}
    path, query, body = route.inputs.path, route.inputs.query, route.inputs.body
    if path is not None:
        parts[InputSource.PATH] = validate_input(
            lambda: path.model_validate(dict(request.path_params)), "request", "path"
        )
    sent = (
        _parse_query(request) if route.documented else {}
    )  # an unknown path is 404, whatever is asked of it
    if query is not None:
        parts[InputSource.QUERY] = validate_input(lambda: query.model_validate(sent), "request", "query")
    elif sent:
        unknown = {f"query.{name}": "Extra inputs are not permitted" for name in sent}
        raise ValidationError(f"Invalid request: unknown: {', '.join(unknown)}", {"fields": unknown})
    if route.inputs.takes(InputSource.IF_MATCH):
        parts[InputSource.IF_MATCH] = header_text(request, "if-match")
    content = b""
    if body is not None:
        content = await _read_body(request)
        parts[InputSource.BODY] = validate_input(lambda: body.model_validate_json(content), "request", "body")
        _check_portable(content)
    return ReceivedRequest(parts, content)


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


def _parse_query(request: Request) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in parameters:
            raise refused_field(f"query.{name}", "given more than once")
        parameters[name] = value
    return parameters


async def _read_body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY_BYTES:
        raise _body_too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with aclosing(request.stream()) as stream:
            async for part in stream:
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise _body_too_large()
                parts.append(part)
    except ClientDisconnect:
        parts.clear()
    else:
        return b"".join(parts)
    raise MalformedRequestError("The body ended early")


def _check_portable(content: bytes) -> None:
    """Refuse JSON that this process reads but the store, or another reader, would not.

    A scan of the bytes comes first, as most bodies have nothing of the kind.
    """
    if content.count(b"[") + content.count(b"{") > MOST_LEVELS:
        _check_levels(json.loads(content), MOST_LEVELS)
    if _DOUBTFUL.search(content):
        json.loads(
            content, parse_int=_check_integer, parse_float=_check_float, parse_constant=_refuse_constant
        )


def _check_levels(value: object, left: int) -> None:
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return
    if left == 0:
        raise refused_field("body", f"is nested more than {MOST_LEVELS} levels deep")
    for one in inner:
        _check_levels(one, left - 1)


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


def _body_too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The body is larger than {MAX_BODY_BYTES} bytes", {"max_bytes": MAX_BODY_BYTES}
    )
