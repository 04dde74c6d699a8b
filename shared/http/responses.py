"""Responses as data: so that one can be stored and given once more, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from azurefunctions.extensions.http.fastapi import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response as StarletteResponse


JSON = "application/json"
HTML = "text/html; charset=utf-8"

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""On every answer; one of its own headers takes the place of one of these."""

# Encoded once: this is a good part of what an answer costs.
_ON_EVERY_ANSWER = [(name, (name.encode(), value.encode())) for name, value in SECURITY_HEADERS.items()]

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
RETRY_AFTER = "retry-after"
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response.

    Attributes:
        status: Its status.
        headers: Those of its own, by their names in lower case; not those that the edge puts on every answer.
        body: Its bytes.
        error: The name of the error that it renders, for the log; the error itself would hold the request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str | None = field(default=None, compare=False)

    @property
    def is_final(self) -> bool:
        """Tell whether the same request would be answered so again: it says neither `later` nor `defect`."""
        later = self.status == _TOO_MANY_REQUESTS or RETRY_AFTER in self.headers
        return self.status < _SERVER_ERRORS and not later

    def to_starlette(self, edge_headers: Mapping[str, str]) -> StarletteResponse:
        """Build the response, with the headers that the edge puts on every answer."""
        response = cast("StarletteResponse", Response(self.body or None, status_code=self.status))
        response.raw_headers += render_headers(self.headers, edge_headers)
        return response


def render_headers(own: Mapping[str, str], edge_headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Render an answer's headers, with those that the edge puts on every one."""
    sent = [*edge_headers.items(), *own.items()]
    rendered = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
    rendered += [pair for name, pair in _ON_EVERY_ANSWER if name not in own]
    return rendered


@dataclass(frozen=True, slots=True)
class FileReply:
    """A file as it is, or the word that the client has it already.

    Attributes:
        content: Its bytes; none of them where the client has it.
        headers: Its type, ETag, encoding and the like, by their names in lower case.
        unchanged: Whether the client has it already.
    """

    content: bytes
    headers: Mapping[str, str]
    unchanged: bool = False

    def render(self, status: int) -> HttpResponse:
        """Render the file."""
        return HttpResponse(_NOT_MODIFIED if self.unchanged else status, self.headers, self.content)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page that brings all it needs with it: its own `<script>` and `<style>` run, and nothing else."""

    html: str

    def policy(self) -> str:
        """Return the content security policy that admits what the page holds by its hash."""
        hashes: dict[str, list[str]] = {"script": [], "style": []}
        for kind, content in _INLINE.findall(self.html):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            hashes[kind].append(f"'sha256-{digest}'")
        admitted = [f"{kind}-src {' '.join(found)}" for kind, found in hashes.items() if found]
        closed = ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
        return "; ".join(["default-src 'none'", *admitted, "connect-src 'self'", "img-src data:", *closed])

    def render(self, status: int) -> HttpResponse:
        """Render the page."""
        headers = {"content-type": HTML, "content-security-policy": self.policy()}
        return HttpResponse(status, headers, self.html.encode())
