"""Blob Storage in memory, below the real SDK: what the app uses of its REST interface, no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport, HttpRequest
from azure.core.utils import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

ACCOUNT_URL = "http://memory:10000/account"
CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5;BlobEndpoint=" + ACCOUNT_URL + ";"
)


class MemoryResponse(AsyncHttpResponse):
    """One answer."""

    def __init__(self, request: HttpRequest, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(request, None)
        self.status_code = status
        self.headers = CaseInsensitiveDict({"content-length": str(len(body)), **headers})
        self.reason = "because"
        self.content_type = "application/xml"
        self._body = body

    def body(self) -> bytes:
        return self._body

    async def load_body(self) -> None:
        """It is there."""

    async def read(self) -> bytes:
        return self._body

    def stream_download(self, pipeline: object, **_: object) -> AsyncIterator[bytes]:  # noqa: ARG002  # azure-core's
        return _Download(self)


class _Download:
    """A body as it arrives; the SDK hangs what it knows of the blob on it."""

    def __init__(self, response: MemoryResponse) -> None:
        self.response = response
        self.properties: object = None
        self.content_length = len(response.body())
        self._left = [part for part in [response.body()] if part]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class MemoryBlobs(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """One account with one container.

    Attributes:
        statuses: The statuses that the next requests are refused with; None lets one through.
        lose_answers: How many of the next answers are lost after the request was done.
        largest: The most bytes that one request carried.
        writes: The names that were written under, in order.
    """

    def __init__(self, container: str = "logs") -> None:
        self.container = container
        self.blobs: dict[str, bytes] = {}
        self.blocks: dict[str, bytes] = {}
        self.statuses: list[int | None] = []
        self.lose_answers = 0
        self.requests = 0
        self.largest = 0
        self.writes: list[str] = []

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:  # noqa: ANN401  # azure-core's
        self.requests += 1
        if self.statuses and (status := self.statuses.pop(0)) is not None:
            return MemoryResponse(request, status, b"", {})
        if hasattr(request.data, "__aiter__"):
            sent = cast("AsyncIterator[bytes]", request.data)
            request.data = b"".join([piece async for piece in sent])
        answer = self._do(request)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ServiceResponseError("the connection was closed before the answer")
        return answer

    def _do(self, request: HttpRequest) -> MemoryResponse:
        asked = urlsplit(request.url)
        _, _, container, name = [*unquote(asked.path).split("/", 3), ""][:4]
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        if query.get("restype") == "container" and request.method == "PUT":
            return self._create(request, container)
        if container != self.container:
            return MemoryResponse(request, 404, b"", {"x-ms-error-code": "ContainerNotFound"})
        if query.get("restype") == "container":
            return self._of_container(request, query)
        return self._of_blob(request, name, query)

    def _of_blob(self, request: HttpRequest, name: str, query: Mapping[str, str]) -> MemoryResponse:
        if request.method == "PUT":
            return self._put(request, name, query)
        if name not in self.blobs:
            return MemoryResponse(request, 404, b"", {"x-ms-error-code": "BlobNotFound"})
        if request.method == "DELETE":
            del self.blobs[name]
            return MemoryResponse(request, 202, b"", {})
        return self._get(request, self.blobs[name])

    def _create(self, request: HttpRequest, container: str) -> MemoryResponse:
        if container == self.container:
            return MemoryResponse(request, 409, b"", {"x-ms-error-code": "ContainerAlreadyExists"})
        if not re.fullmatch(r"[a-z0-9-]{3,63}", container):
            return MemoryResponse(request, 400, b"", {"x-ms-error-code": "InvalidResourceName"})
        self.container = container
        return MemoryResponse(request, 201, b"", {"etag": '"c"', "last-modified": _MODIFIED})

    def _of_container(self, request: HttpRequest, query: Mapping[str, str]) -> MemoryResponse:
        """Describe the container, or list a page; a marker names the blob that begins the next one."""
        if query.get("comp") != "list":
            return MemoryResponse(request, 200, b"", {"etag": '"c"', "last-modified": _MODIFIED})
        after, limit = query.get("marker", ""), int(query["maxresults"])
        if after and not after.startswith("marker:"):
            return MemoryResponse(request, 400, b"", {"x-ms-error-code": "InvalidQueryParameterValue"})
        first = after.removeprefix("marker:")
        names = sorted(n for n in self.blobs if n.startswith(query.get("prefix", "")) and n >= first)
        shown = "".join(
            f"<Blob><Name>{name}</Name><Properties><Content-Length>{len(self.blobs[name])}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for name in names[:limit]
        )
        marker = f"marker:{names[limit]}" if len(names) > limit else ""
        body = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://memory" '
            f'ContainerName="{self.container}"><Blobs>{shown}</Blobs><NextMarker>{marker}</NextMarker>'
            "</EnumerationResults>"
        )
        return MemoryResponse(request, 200, body.encode(), {"content-type": "application/xml"})

    def _put(self, request: HttpRequest, name: str, query: Mapping[str, str]) -> MemoryResponse:
        body = _content(request)
        self.largest = max(self.largest, len(body))
        if (
            request.headers.get("If-None-Match") == "*"
            and name in self.blobs
            and query.get("comp") != "block"
        ):
            return MemoryResponse(request, 409, b"", {"x-ms-error-code": "BlobAlreadyExists"})
        if query.get("comp") == "block":
            self.blocks[query["blockid"]] = body
        elif query.get("comp") == "blocklist":
            ids = re.findall(r"<Latest>(.*?)</Latest>", body.decode())
            self.blobs[name] = b"".join(self.blocks.pop(block) for block in ids)
        else:
            self.blobs[name] = body
        if query.get("comp") != "block":
            self.writes.append(name)
        return MemoryResponse(request, 201, b"", {"etag": '"e"', "last-modified": _MODIFIED})

    def _get(self, request: HttpRequest, content: bytes) -> MemoryResponse:
        headers = {"etag": '"e"', "last-modified": _MODIFIED, "x-ms-blob-type": "BlockBlob"}
        if request.method == "HEAD":
            return MemoryResponse(request, 200, b"", headers | {"content-length": str(len(content))})
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("x-ms-range", "bytes=0-999999999"))
        assert asked is not None
        first = int(asked[1])
        part = content[first : int(asked[2]) + 1]
        if not part:
            return MemoryResponse(request, 416, b"", {"x-ms-error-code": "InvalidRange"})
        headers["content-range"] = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return MemoryResponse(request, 206, part, headers)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Nothing to close."""


_MODIFIED = "Sat, 31 Jan 2026 10:30:00 GMT"


def _content(request: HttpRequest) -> bytes:
    sent = cast("Any", request.data)
    if hasattr(sent, "read"):
        return bytes(sent.read())
    return sent.encode() if isinstance(sent, str) else bytes(sent or b"")
