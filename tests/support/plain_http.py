"""HTTP to parts of this machine, which speak no TLS.

A client that is not told so reads all certificate authorities when it is made, for 25 ms.
"""

from __future__ import annotations

import ssl
from typing import Final

import httpx

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What a client is given for the TLS that it never speaks: nobody's certificate is good."""

plain_http: Final = httpx.Client(
    verify=NO_TLS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
)
"""Requests of no session, each on a connection of its own, as `httpx.get` sends them."""
