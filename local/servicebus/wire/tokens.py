"""Claims-based security: checks the shared access signatures that clients put to `$cbs`."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

from local.servicebus.wire import codec, message

if TYPE_CHECKING:
    from local.servicebus.engine.model import Clock

CBS_ADDRESS: Final = "$cbs"
_PREFIX: Final = "SharedAccessSignature "
_ACCEPTED, _BAD_REQUEST, _UNAUTHORIZED = 202, 400, 401


class TokenRefusedError(Exception):
    """The token does not prove anything."""


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """Checks tokens against the one shared access key there is."""

    key_name: str
    key: str
    clock: Clock

    def check(self, token: str) -> None:
        """Check signature and expiry.

        Raises:
            TokenRefusedError: It was signed with another key, is out of date, or is no such token.
        """
        if not token.startswith(_PREFIX):
            raise TokenRefusedError(
                "The token is not a SharedAccessSignature, and no other kind is supported here."
            )
        raw = dict(part.partition("=")[::2] for part in token.removeprefix(_PREFIX).split("&"))
        fields = dict(parse_qsl(token.removeprefix(_PREFIX), keep_blank_values=True))
        if fields.get("skn") != self.key_name:
            raise TokenRefusedError(f"There is no shared access key named '{fields.get('skn')}'.")
        expiry = fields.get("se", "")
        if not expiry.isdigit() or int(expiry) * 1000 <= self.clock():
            raise TokenRefusedError("The token has expired.")
        signed = f"{raw.get('sr', '')}\n{expiry}".encode()
        expected = hmac.digest(self.key.encode(), signed, sha256)
        try:
            given = base64.b64decode(unquote(raw.get("sig", "")), validate=True)
        except (binascii.Error, ValueError):
            given = b""
        if not hmac.compare_digest(expected, given):
            raise TokenRefusedError("The token has an invalid signature.")


def answer_put_token(request: message.Request, check: TokenCheck) -> tuple[bool, bytes]:
    """Check the token of a request to `$cbs`; tell whether it holds, and give the reply."""
    status, description = _ACCEPTED, "Accepted"
    if request.properties.get("operation") != "put-token":
        status, description = _BAD_REQUEST, "Only the operation put-token is supported."
    else:
        try:  # the stated type proves nothing: the Python SDK states "jwt" for a shared access signature
            check.check(str(request.body))
        except TokenRefusedError as error:
            status, description = _UNAUTHORIZED, str(error)
    reply = message.encode_reply(
        request.message_id,
        {"status-code": codec.encode_int(status), "status-description": codec.encode_string(description)},
        codec.NULL,
    )
    return status == _ACCEPTED, reply
