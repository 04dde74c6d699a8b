"""Turn the host's values into the worker protocol's and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from local.host.invocation import HttpInput, HttpOutput, Json
from local.host.runtime import protos

if TYPE_CHECKING:
    from local.host.invocation import Value

_SAME_SITE = {1: "Lax", 2: "Strict", 3: "None"}


def to_typed_data(value: Value) -> protos.TypedData:  # noqa: PLR0911 -- one return for each kind of value
    """Encode a value for the worker."""
    match value:
        case None:
            return protos.TypedData()
        case str():
            return protos.TypedData(string=value)
        case bytes():
            return protos.TypedData(bytes=value)
        case Json():
            return protos.TypedData(json=value.text)
        case HttpInput():
            return protos.TypedData(http=_rpc_http(value))
        case list():
            return _collection(value)
        case int() | float():
            return protos.TypedData(json=json.dumps(value))
        case HttpOutput():
            raise TypeError("a response is no input of a function")


def from_typed_data(data: protos.TypedData | None) -> Value:
    """Decode a value that the worker sent.

    Raises:
        TypeError: The worker sent a kind of value that no output binding takes.
    """
    match data.WhichOneof("data") if data is not None else None:
        case None:
            return None
        case "json":
            return Json(data.value if data else "")
        case "string" | "bytes" | "int" | "double":
            return data.value if data else None
        case "http":
            return _http_output(data.value if data else protos.RpcHttp())
        case kind:
            raise TypeError(f"the worker sent a value of kind {kind}, which no output binding takes")


def _collection(values: list[str] | list[bytes]) -> protos.TypedData:
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        return protos.TypedData(collection_string=protos.CollectionString(texts))
    return protos.TypedData(
        collection_bytes=protos.CollectionBytes([v for v in values if isinstance(v, bytes)])
    )


def _rpc_http(request: HttpInput) -> protos.RpcHttp:
    return protos.RpcHttp(
        method=request.method,
        url=request.url,
        headers=request.headers,
        query=request.query,
        params=request.params,
        body=protos.TypedData(bytes=request.body) if request.body else protos.TypedData(),
    )


def _http_output(response: protos.RpcHttp) -> HttpOutput:
    headers = [(str(name), str(value)) for name, value in response.headers.items()]
    headers += [("set-cookie", _cookie_header(cookie)) for cookie in response.cookies or ()]
    body = response.body.value
    return HttpOutput(
        status=int(response.status_code),
        headers=headers,
        body=body.encode() if isinstance(body, str) else body or b"",
    )


def _cookie_header(cookie: protos.RpcHttpCookie) -> str:
    parts = [f"{cookie.name}={cookie.value}"]
    if cookie.expires is not None:
        expires = datetime.fromtimestamp(cookie.expires.value.seconds, UTC)
        parts.append(f"expires={format_datetime(expires, usegmt=True)}")
    if cookie.max_age is not None:
        parts.append(f"max-age={int(cookie.max_age.value)}")
    # An attribute that the cookie lacks arrives as an empty text, and Azure's host writes it as one.
    if cookie.domain is not None:
        parts.append(f"domain={cookie.domain.value}")
    parts.append(f"path={cookie.path.value if cookie.path is not None else '/'}")
    if cookie.secure is not None and cookie.secure.value:
        parts.append("secure")
    if cookie.same_site in _SAME_SITE:
        parts.append(f"samesite={_SAME_SITE[cookie.same_site].lower()}")
    if cookie.http_only is not None and cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
