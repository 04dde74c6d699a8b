"""Refusals of the host itself, in the shape that the app's edge gives its own."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_ID = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which a request fails before or beside the app.

    Attributes:
        status: The HTTP status.
        error: The error's name.
        message: One sentence for the caller.
        closes: Whether the connection is of no more use.
    """

    status: int
    error: str
    message: str
    closes: bool = False

    def render(self, request_id: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Render headers and body."""
        body = json.dumps(
            {
                "error": self.error,
                "message": self.message,
                "detail": {},
                "timestamp": datetime.now(UTC).isoformat(),
                "request_id": request_id,
            }
        ).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID, request_id.encode()),
            *_SECURITY_HEADERS,
        ]
        return ([*headers, (b"connection", b"close")] if self.closes else headers), body


BROKEN_HTTP = Refusal(400, "MalformedRequestError", "The request is not valid HTTP", closes=True)
BROKEN_LENGTH = Refusal(
    400, "MalformedRequestError", "The Content-Length is no number of bytes that can be sent", closes=True
)
SLOW_HEAD = Refusal(408, "RequestTimeoutError", "The request's headers did not arrive in time", closes=True)
SLOW_BODY = Refusal(408, "RequestTimeoutError", "The request's body did not arrive in time", closes=True)
LARGE_BODY = Refusal(413, "PayloadTooLargeError", "The request's body is larger than the host takes")
LONG_TARGET = Refusal(414, "RequestTargetTooLongError", "The request's address is too long", closes=True)
LARGE_HEAD = Refusal(
    431, "RequestHeadersTooLargeError", "The request's headers are larger than the host takes", closes=True
)
FAILED = Refusal(500, "InternalError", "The function did not answer")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the request id that a caller sent, if it may stand in a header, or a new one."""
    for name, value in headers:
        if name.lower() == REQUEST_ID and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex
