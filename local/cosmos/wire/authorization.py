"""The master key check: an HMAC over verb, resource type, resource link and date."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

from local.cosmos.errors import CosmosError
from local.cosmos.wire.addressing import signed_resources

if TYPE_CHECKING:
    from local.cosmos.wire.messages import Request

EMULATOR_KEY: Final = (
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
)
"""The well-known key of Microsoft's own emulator; no secret."""

_AS_CLIENTS_QUOTE: Final = "type%3dmaster%26ver%3d1.0%26sig%3d"
"""How a token begins in the spelling of the SDKs, in lower case: the signature is the rest of it."""


class MasterKey:
    """Checks requests against one key."""

    def __init__(self, key: str = EMULATOR_KEY) -> None:
        self._key = base64.b64decode(key)

    def check(self, request: Request) -> None:
        """Let a signed request pass.

        Raises:
            CosmosError: 401 where the signature is missing, malformed or wrong.
        """
        token = request.headers.get("authorization")
        if token is None:
            raise _refused(
                "Required Header authorization is missing. Ensure a valid Authorization token is passed."
            )
        kind, signature = _read(token)
        if kind != "master":
            raise _refused(
                f"Authorization of type {kind!r} is not supported by the local endpoint, only master keys "
                "are."
            )
        given = signature.encode()
        matches = [hmac.compare_digest(given, valid) for valid in self._signatures(request)]
        if not any(matches):
            raise _refused(
                "The input authorization token can't serve the request. The wrong key is being used or the "
                "expected "
                "payload is not built as per the protocol."
            )

    def _signatures(self, request: Request) -> list[bytes]:
        date, http_date = request.headers.get("x-ms-date", ""), request.headers.get("date", "")
        return [
            self._sign(f"{request.method.lower()}\n{kind}\n{link}\n{date.lower()}\n{http_date.lower()}\n")
            for kind, link in signed_resources(request.path)
        ]

    def _sign(self, text: str) -> bytes:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256))


def _read(token: str) -> tuple[str, str]:
    """Return a token's kind and signature; of most tokens the signature alone is decoded."""
    head, tail = token[: len(_AS_CLIENTS_QUOTE)], token[len(_AS_CLIENTS_QUOTE) :]
    if head.lower() == _AS_CLIENTS_QUOTE:
        signature = unquote(tail)
        if "&" not in signature and "%" not in signature:
            return "master", signature
    fields = parse_qs(unquote(token).replace("+", "%2B"))
    return fields.get("type", [""])[0], fields.get("sig", [""])[0]


def _refused(message: str) -> CosmosError:
    return CosmosError(401, message)
