"""Addresses that models may be called at, and which of them may get the identity's token."""

from __future__ import annotations

import re
from typing import NamedTuple

AZURE_SUFFIXES = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")
"""Hosts that Azure alone serves models at: one label of a resource before one of these."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# No user info, query or fragment, and nothing that two parsers could read as two hosts.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*/?)"
)
_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class ModelAddress(NamedTuple):
    """Parts of a base URL: `host` in lower case, `path` without a slash at its end."""

    scheme: str
    host: str
    port: str | None
    path: str

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is this machine."""
        return self.host in _LOOPBACK

    @property
    def is_safe(self) -> bool:
        """Tell whether what is sent there is read by nobody else on the way."""
        return self.scheme == "https" or self.is_loopback

    @property
    def is_azure(self) -> bool:
        """Tell whether it is a resource of Azure's, reached by TLS at its usual port."""
        if self.scheme != "https" or self.port not in {None, "443"}:
            return False
        endings = (self.host.removesuffix(suffix) for suffix in AZURE_SUFFIXES if self.host.endswith(suffix))
        return any(_RESOURCE.fullmatch(resource) is not None for resource in endings)

    @property
    def url(self) -> str:
        """Return it as one text, without a slash at its end."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"


def parse_address(url: str) -> ModelAddress | None:
    """Read a base URL; None where it is none, or has more than a path."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    match = _ADDRESS.fullmatch(f"{scheme.lower()}{separator}{host.lower()}{slash}{path}")
    if match is None or "/../" in f"{match['path']}/" or "/./" in f"{match['path']}/":
        return None
    return ModelAddress(match["scheme"], match["host"], match["port"], match["path"].rstrip("/"))
