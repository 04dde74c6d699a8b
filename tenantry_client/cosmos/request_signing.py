"""Signatures of requests: an HMAC of the account's key, or a token of Entra ID."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import inspect
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from tenantry_client.cosmos.transport import Transport

_REFRESH_BEFORE_SECONDS: Final = 300
_MOST_SIGNED: Final = 1000
_ANY_ACCOUNT_SCOPE: Final = "https://cosmos.azure.com/.default"
_UNKNOWN_RESOURCE: Final = "AADSTS500011"


class Signer(Protocol):
    """Signs requests."""

    async def sign(self, method: str, kind: str, link: str) -> str:
        """Return the lines of headers that sign a request, each with its line end.

        Args:
            method: The HTTP method in lower case.
            kind: The type of the resource, such as `docs`.
            link: The resource's path as it is named, not encoded.
        """
        ...


class _Dates:
    """The current time as HTTP writes it, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._text, self._second = formatdate(second, usegmt=True), second
        return self._text


class MasterKeySigner:
    """Signs with a key of the account.

    The form is documented under "Access control on Azure Cosmos DB resources": method, type, link and date,
    all but the link in lower case.

    Args:
        key: The key in base64.

    Raises:
        ValueError: It is no base64.
    """

    def __init__(self, key: str) -> None:
        try:
            raw = base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise ValueError("the account's key is no base64") from error
        self._keyed = hmac.new(raw, digestmod=hashlib.sha256)
        self._dates = _Dates()
        self._date = ""
        self._signed: dict[tuple[str, str, str], str] = {}

    async def sign(self, method: str, kind: str, link: str) -> str:
        """Return the date and the signature, which is the same for a second."""
        date = self._dates.now()
        if date is not self._date or len(self._signed) >= _MOST_SIGNED:
            self._date, self._signed = date, {}
        signed = self._signed.get((method, kind, link))
        if signed is None:
            signed = self._signed[method, kind, link] = self._sign(f"{method}\n{kind}\n{link}", date)
        return signed

    def _sign(self, resource: str, date: str) -> str:
        keyed = self._keyed.copy()
        keyed.update(f"{resource}\n{date.lower()}\n\n".encode())
        signature = binascii.b2a_base64(keyed.digest(), newline=False).decode()
        quoted = signature.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
        return f"x-ms-date: {date}\r\nauthorization: type%3Dmaster%26ver%3D1.0%26sig%3D{quoted}\r\n"


class ResourceTokenSigner:
    """Signs with tokens that somebody who has the key gave out for some resources.

    Args:
        tokens: Tokens by the path, or by the id, of what they are for.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self._tokens = {link.strip("/"): quote(token, safe="") for link, token in tokens.items()}
        self._dates = _Dates()

    async def sign(self, method: str, kind: str, link: str) -> str:  # noqa: ARG002 - the port has it
        """Return the date and the token for the nearest resource above.

        Raises:
            ValueError: There is none.
        """
        parts = link.split("/")
        while parts:
            token = self._tokens.get("/".join(parts)) or self._tokens.get(parts[-1])
            if token is not None:
                return f"x-ms-date: {self._dates.now()}\r\nauthorization: {token}\r\n"
            parts.pop()
        if len(self._tokens) == 1 and not link:
            return f"x-ms-date: {self._dates.now()}\r\nauthorization: {next(iter(self._tokens.values()))}\r\n"
        raise ValueError(f"no token for {link!r}")


class EntraTokenSigner:
    """Signs with tokens of a credential of azure-identity, kept until shortly before they end.

    Args:
        credential: Has `get_token(scope)`, blocking or not.
        endpoint: The account's address, which is the scope, or the service's own where Entra knows it not.
        transport: Gives the lock under which one token is fetched for all who wait.
    """

    def __init__(self, credential: Any, endpoint: str, transport: Transport) -> None:  # noqa: ANN401 - whatever the caller or the service has
        self._credential = credential
        parts = urlsplit(endpoint)
        self._scope = f"{parts.scheme}://{parts.hostname}/.default"
        self._lock = transport.new_lock()
        self._line = ""
        self._until = 0.0
        self._dates = _Dates()

    async def sign(self, method: str, kind: str, link: str) -> str:  # noqa: ARG002 - the port has it
        """Return the date and the token."""
        if self._until <= time.time():
            async with self._lock.held():
                if self._until <= time.time():
                    await self._renew()
        return f"x-ms-date: {self._dates.now()}\r\n{self._line}"

    async def _renew(self) -> None:
        try:
            token = await self._fetch()
        except Exception as error:
            if _UNKNOWN_RESOURCE not in str(error) or self._scope == _ANY_ACCOUNT_SCOPE:
                raise
            self._scope = _ANY_ACCOUNT_SCOPE
            token = await self._fetch()
        self._line = f"authorization: type=aad&ver=1.0&sig={token.token}\r\n"
        left = float(token.expires_on) - time.time()
        self._until = time.time() + max(left - _REFRESH_BEFORE_SECONDS, min(left, 1.0))

    async def _fetch(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        found = self._credential.get_token(self._scope)
        return await found if inspect.isawaitable(found) else found
