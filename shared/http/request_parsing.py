"""What a request says, read into the models that its route declares; everything else is refused by name."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pydantic
from starlette.requests import ClientDisconnect

from shared.errors import MalformedRequestError, PayloadTooLargeError, ValidationError
from shared.validation import refusal, refused_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel
    from starlette.requests import Request

    from shared.http.route import Route

MAX_BODY_BYTES = 1024 * 1024
"""design/api.md: over 1 MB is a 413."""

MOST_LEVELS = 64
"""How deep JSON may be nested; Cosmos DB takes 128 levels, and items put some around it."""

LARGEST_INTEGER = 2**53 - 1
"""What every JSON parser reads exactly (RFC 7493), and the store's numbers hold."""

_DOUBTFUL = re.compile(rb"[0-9]{16}|[0-9][eE]|NaN|Infinity")
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as its handler takes it, and its body as it came."""

    arguments: dict[str, Any]
    content: bytes


async def receive(route: Route, request: Request) -> Received:
    """Read a request.

    Raises:
        ValidationError: A parameter or a field is missing, unknown or out of its range; it is named.
        MalformedRequestError: The body is not JSON, or ended early.
        PayloadTooLargeError: The body is larger than `MAX_BODY_BYTES`.
    """
    arguments: dict[str, Any] = {}
    path, query = route.inputs.get("path"), route.inputs.get("query")
    if path is not None:
        arguments["path"] = _checked("path", lambda: path.model_validate(dict(request.path_params)))
    asked = _query(request) if route.documented else {}  # what no route has is not there, whatever is asked
    if query is not None:
        arguments["query"] = _checked("query", lambda: query.model_validate(asked))
    elif asked:
        unknown = {f"query.{name}": "Extra inputs are not permitted" for name in asked}
        raise ValidationError(f"Invalid request: unknown: {', '.join(unknown)}", {"fields": unknown})
    if route.takes_if_match:
        arguments["if_match"] = header_text(request, "if-match")
    content = b""
    if route.body is not None:
        name, model = route.body
        content = await _body(request)
        arguments[name] = _checked("body", lambda: model.model_validate_json(content))
        _check_portable(content)
    return Received(arguments, content)


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


def _query(request: Request) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in asked:
            raise refused_field(f"query.{name}", "given more than once")
        asked[name] = value
    return asked


async def _body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            parts.append(part)
    except ClientDisconnect as error:
        raise MalformedRequestError("The body ended early") from error
    return b"".join(parts)


def _check_portable(content: bytes) -> None:
    """Refuse JSON that this process reads but the store, or another reader, would not.

    What may stand in it is looked for first, as most bodies have nothing of the kind.
    """
    if content.count(b"[") + content.count(b"{") > MOST_LEVELS:
        _check_levels(json.loads(content), MOST_LEVELS)
    if _DOUBTFUL.search(content):
        json.loads(content, parse_int=_integer, parse_float=_float, parse_constant=_constant)


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


def _integer(digits: str) -> int:
    if len(digits) > len(str(-LARGEST_INTEGER)) or abs(int(digits)) > LARGEST_INTEGER:
        raise refused_field("body", f"holds an integer beyond {LARGEST_INTEGER}")
    return int(digits)


def _float(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise refused_field("body", "holds a number beyond what a double can be")
    return float(digits)


def _constant(name: str) -> float:
    raise MalformedRequestError(f"The body is not valid JSON: {name}")


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The body is larger than {MAX_BODY_BYTES} bytes", {"max_bytes": MAX_BODY_BYTES}
    )


def _checked(where: str, validate: Callable[[], BaseModel]) -> BaseModel:
    try:
        return validate()
    except pydantic.ValidationError as error:
        raise refusal(error, "request", where) from error
