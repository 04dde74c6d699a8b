"""Cross-origin requests, as `Host.CORS` and `Host.CORSCredentials` of local.settings.json allow them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.host.http_messages import headers_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.host.invocation import Message, Receive, Scope, Send

    type App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ANY = "*"


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Which origins may ask, and whether with credentials."""

    origins: frozenset[str]
    credentials: bool = False

    @classmethod
    def parse(cls, section: Mapping[str, object]) -> CorsPolicy | None:
        """Read the section `Host`; None where it allows no origin.

        Raises:
            ValueError: It allows credentials to every origin, which browsers take from nobody.
        """
        listed = str(section.get("CORS") or "")
        origins = frozenset(origin.strip().rstrip("/") for origin in listed.split(",") if origin.strip())
        credentials = str(section.get("CORSCredentials") or "").lower() == "true"
        if credentials and _ANY in origins:
            raise ValueError("Host.CORSCredentials cannot be true where Host.CORS is *")
        return cls(origins, credentials) if origins else None

    def allows(self, origin: str | None) -> bool:
        """Whether a page of an origin may ask."""
        return origin is not None and (_ANY in self.origins or origin in self.origins)

    def headers(self, origin: str) -> list[tuple[bytes, bytes]]:
        """Return what tells a browser that the origin is allowed."""
        if _ANY in self.origins:
            return [(b"access-control-allow-origin", b"*")]
        told = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
        return [*told, (b"access-control-allow-credentials", b"true")] if self.credentials else told


class CrossOrigin:
    """Answers a browser's questions before requests of other origins, and marks the answers to those."""

    def __init__(self, app: App, policy: CorsPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = headers_of(scope)
        origin = headers.get("origin")
        if origin is None or not self._policy.allows(origin):
            await self._app(scope, receive, send)
            return
        allowed = self._policy.headers(origin)
        wanted = headers.get("access-control-request-method")
        if scope["method"] == "OPTIONS" and wanted is not None:
            asked = headers.get("access-control-request-headers")
            allowed.append((b"access-control-allow-methods", wanted.encode("latin-1")))
            if asked is not None:
                allowed.append((b"access-control-allow-headers", asked.encode("latin-1")))
            await send({"type": "http.response.start", "status": 204, "headers": allowed})
            await send({"type": "http.response.body", "body": b""})
            return

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *allowed]}
            await send(message)

        await self._app(scope, receive, mark)
