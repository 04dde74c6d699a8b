"""The operator's side, as HTTP on the same port: queue depths, and faults on demand.

Told from AMQP by its first bytes, so that no second port is needed. One request per connection.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from local.servicebus.faults import Fault, FaultKind, InvalidFaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.servicebus.engine.broker import Broker
    from local.servicebus.faults import Faults

_MOST_BYTES: Final = 65_536
_METHODS: Final = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD ", b"OPTIONS ", b"PATCH ")
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})


def looks_like_http(first: bytes) -> bool:
    """Tell whether a connection that begins with these bytes speaks HTTP."""
    return any(method.startswith(first[: len(method)]) for method in _METHODS)


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Admin:
    """Answers `GET /status`, and `GET`, `POST` and `DELETE /faults`."""

    def __init__(
        self, broker: Broker, faults: Faults, connections: Callable[[], int], drop: Callable[[], None]
    ) -> None:
        self._broker = broker
        self._faults = faults
        self._connections = connections
        self._drop = drop

    def answer(self, received: bytes) -> bytes | None:
        """Answer a request; None as long as it has not come in whole."""
        try:
            request = _parse(received)
            return None if request is None else _response(HTTPStatus.OK, self._handle(request))
        except _RefusedError as error:
            return _response(error.status, {"error": str(error)})

    def _handle(self, request: _Request) -> object:
        # A web page that the developer has open could reach this port too: it can neither name this host
        # under another name nor send JSON here without being asked first.
        headers = request.headers
        if headers.get("host", "localhost").rpartition("]")[2].partition(":")[0] not in _LOCAL_HOSTS:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "only localhost may be asked for")
        match request.method, request.path:
            case "GET", "/status":
                return self.status()
            case "GET", "/faults":
                return {"faults": [{**asdict(fault), "left": left} for fault, left in self._faults.waiting()]}
            case "DELETE", "/faults":
                self._faults.clear()
                return {"faults": []}
            case "POST", "/faults":
                if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                    raise _RefusedError(
                        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"
                    )
                return self._add_fault(request.body)
            case _, "/status" | "/faults":
                raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not supported")
            case _:
                raise _RefusedError(HTTPStatus.NOT_FOUND, "there are /status and /faults")

    def status(self) -> dict[str, object]:
        """Give the depths of the queues and the number of connections."""
        queues = [{"name": name, **asdict(depth)} for name, depth in self._broker.depths().items()]
        return {"queues": queues, "connections": self._connections()}

    def _add_fault(self, body: bytes) -> object:
        try:
            fields = json.loads(body)
            if not isinstance(fields, dict):
                raise InvalidFaultError("a fault is a JSON object")
            fault = Fault.parse(fields)
        except ValueError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        if fault.kind is FaultKind.DROP_CONNECTIONS:
            self._drop()
        else:
            self._faults.add(fault)
        return {"fault": asdict(fault)}


def _parse(received: bytes) -> _Request | None:
    if len(received) > _MOST_BYTES:
        raise _RefusedError(HTTPStatus.CONTENT_TOO_LARGE, "the request is too large")
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, path, version
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the request line is malformed")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    if len(body) < int(length):
        return None
    return _Request(words[0], words[1].partition("?")[0], headers, body[: int(length)])


def _response(status: HTTPStatus, document: object) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
