"""An OpenID Connect provider on a port of its own: its documents, and where people sign in with a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.identity_provider import IdentityProvider

    type Answer = tuple[int, Mapping[str, str], bytes]

CLIENT_ID = "the-console"
_LONGEST_FORM = 10_000
_CHALLENGE = 43
"""Characters of a SHA-256 in base64url."""


@dataclass
class SignInServer:
    """Authorization code with PKCE (RFC 6749, RFC 7636) for one public client; its users need no password.

    Attributes:
        provider: Signs the tokens.
        claims: What the next token says of its user.
        answer: What people are sent back with in place of a code and the state that they came with.
        codes: What each code that was not redeemed yet was asked for with.
        redeemed: The codes that a token was given for.
        forms: What the token endpoint was sent.
    """

    provider: IdentityProvider
    claims: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    redeemed: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)

    def get(self, path: str) -> Answer:
        """Answer a GET: discovery, keys, or the place where people sign in."""
        parts = urlsplit(path)
        issuer = self.provider.issuer
        if parts.path == "/authorize":
            return self._authorize(dict(parse_qsl(parts.query)))
        document = self.provider.document(issuer + parts.path)
        if parts.path.endswith("/openid-configuration"):
            ends = {"authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token"}
            document = json.dumps(json.loads(document) | ends).encode()
        return 200, {"content-type": "application/json"}, document

    def redeem(self, form: dict[str, str]) -> Answer:
        """Give a token for a code, once, to who proves to have asked for it."""
        self.forms.append(form)
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("client_id") != asked["client_id"]
            or form.get("redirect_uri") != asked["redirect_uri"]
            or not secrets.compare_digest(proof, asked["code_challenge"])
        ):
            told = {"error": "invalid_grant", "error_description": "The code was used, or is not yours"}
            return 400, {"content-type": "application/json"}, json.dumps(told).encode()
        self.redeemed.append(form["code"])
        token = {
            "access_token": self.provider.token(**self.claims),
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        return 200, {"content-type": "application/json"}, json.dumps(token).encode()

    def _authorize(self, asked: dict[str, str]) -> Answer:
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
        if not wanted.items() <= asked.items() or len(asked.get("code_challenge", "")) != _CHALLENGE:
            return 400, {"content-type": "text/plain"}, b"This is no request for a code with PKCE"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        sent = self.answer or {"code": code}
        back = asked["redirect_uri"] + "?" + urlencode({"state": asked.get("state", "")} | sent)
        return 302, {"location": back}, b""


@contextmanager
def serving(server: SignInServer) -> Iterator[None]:
    """Serve the provider on a port of its own, which becomes its issuer, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*server.get(self.path))

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", "0")), _LONGEST_FORM)
            self._send(*server.redeem(dict(parse_qsl(self.rfile.read(length).decode()))))

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.provider.issuer = f"http://127.0.0.1:{http.server_port}"
        server.provider.jwks_url = server.provider.issuer + "/keys"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            thread.join()
