"""Answers of the service as callers get them: bodies that carry the headers they came with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from tenantry_client.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
    DecodeError,
)

FIRST_FAILURE = 400


class ResponseHeaders(MutableMapping[str, str]):
    """Headers of one answer, whatever the case of their names; read when somebody asks for them.

    Args:
        raw: Values by name in lower case, as they were on the wire.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes] | None = None) -> None:
        self._raw = dict(raw) if raw else {}

    def __getitem__(self, name: str) -> str:
        return self._raw[name.lower().encode("latin-1")].decode("latin-1")

    def __setitem__(self, name: str, value: str) -> None:
        self._raw[name.lower().encode("latin-1")] = value.encode("latin-1")

    def __delitem__(self, name: str) -> None:
        del self._raw[name.lower().encode("latin-1")]

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> ResponseHeaders:
        """Return the same headers, apart from these."""
        return ResponseHeaders(self._raw)


class Answer:
    """One answer on the wire, whole.

    Attributes:
        status: The HTTP status.
        raw_headers: Values by name in lower case.
        body: The body, unpacked from its transfer coding.
        keeps_alive: Whether the connection may carry another request.
    """

    __slots__ = ("body", "keeps_alive", "raw_headers", "status")

    def __init__(
        self, status: int, raw_headers: dict[bytes, bytes], body: bytes, *, keeps_alive: bool
    ) -> None:
        self.status = status
        self.raw_headers = raw_headers
        self.body = body
        self.keeps_alive = keeps_alive

    @property
    def headers(self) -> ResponseHeaders:
        """The headers as callers read them."""
        return ResponseHeaders(self.raw_headers)

    @property
    def sub_status(self) -> int:
        """The service's finer code; 0 for none."""
        code = self.raw_headers.get(b"x-ms-substatus", b"0")
        return int(code) if code.isdigit() else 0

    def json(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        """Read the body; None where there is none.

        Raises:
            DecodeError: It is no JSON.
        """
        if not self.body:
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"The answer's body is no JSON: {error}", error=error) from error


class FailedAnswer:
    """An answer in the shape that azure-core's errors read."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.headers = answer.headers
        self._body = answer.body

    @property
    def reason(self) -> str:
        """The words beside the status."""
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    def body(self) -> bytes:
        """Return the body as it came."""
        return self._body

    def text(self, encoding: str | None = None) -> str:
        """Return the body as text; what is none is replaced."""
        return self._body.decode(encoding or "utf-8", "replace")


_ERRORS: dict[int, type[CosmosHttpResponseError]] = {
    404: CosmosResourceNotFoundError,
    409: CosmosResourceExistsError,
    412: CosmosAccessConditionFailedError,
}


def error_of(answer: Answer) -> CosmosHttpResponseError:
    """Build the error that a failed answer stands for, by its status."""
    failed = FailedAnswer(answer)
    kind = _ERRORS.get(answer.status, CosmosHttpResponseError)
    return kind(message=failed.text(), response=failed)


class CosmosDict(dict[str, Any]):
    """An item or another resource, with the headers of the answer that brought it."""

    __slots__ = ("_answer",)

    def __init__(self, body: Mapping[str, Any] | None, answer: Answer) -> None:
        super().__init__(body or {})
        self._answer = answer

    def get_response_headers(self) -> ResponseHeaders:
        """Return the headers of the answer."""
        return self._answer.headers


class CosmosList(list[dict[str, Any]]):
    """Several results, with the headers of the answer that brought them."""

    __slots__ = ("_headers",)

    def __init__(self, results: Iterable[dict[str, Any]], headers: ResponseHeaders) -> None:
        super().__init__(results)
        self._headers = headers

    def get_response_headers(self) -> ResponseHeaders:
        """Return the headers of the answer."""
        return self._headers.copy()
