"""Bytes of a connection turned into answers by llhttp; what breaks the protocol is refused."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tenantry_client.cosmos.answers import Answer

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Far above the service's own bounds: 2 MB for an item, 4 MB for a page."""
_FIRST_FINAL_STATUS: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 304})


class MalformedAnswerError(Exception):
    """Bytes that are no answer to the one request that is waiting."""


class AnswerReader:
    """Reads one answer after another from one connection.

    An answer whose length nobody tells (no `Content-Length`, no chunks) is refused: where the connection
    breaks, it could not be told from a whole one.

    Args:
        max_bytes: The most bytes of an answer.
    """

    __slots__ = (
        "_body",
        "_complete",
        "_head_is_read",
        "_headers",
        "_keeps_alive",
        "_max_bytes",
        "_parser",
        "_size",
    )

    def __init__(self, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._parser = HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head_is_read = False
        self._complete = False
        self._keeps_alive = False

    def feed(self, data: bytes | memoryview) -> Answer | None:
        """Take what has arrived; return the answer once it is whole.

        Raises:
            MalformedAnswerError: It is no answer, too large a one, or more than one.
        """
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedAnswerError(f"no HTTP answer: {error.__context__ or error}") from error
        if not self._complete:
            if not self._head_is_read and self._size > MAX_HEAD_BYTES:
                raise MalformedAnswerError(f"headers of more than {MAX_HEAD_BYTES} bytes")
            if self._size > self._max_bytes:
                raise MalformedAnswerError(f"an answer of more than {self._max_bytes} bytes")
            return None
        return self._finish()

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request.

        Raises:
            MalformedAnswerError: There is one already.
        """
        if self._complete:
            raise MalformedAnswerError("more than one answer to a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Check that the end of the body will be known.

        Raises:
            MalformedAnswerError: It would not be, or this is no final answer.
        """
        self._head_is_read = True
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            raise MalformedAnswerError(f"an interim answer that nobody asked for ({status})")
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if not framed and status not in _WITHOUT_BODY:
            raise MalformedAnswerError("an answer whose length is not told")

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Remember that the answer is whole, and whether the connection outlasts it: later llhttp forgets."""
        self._complete = True
        self._keeps_alive = self._parser.should_keep_alive()

    def _finish(self) -> Answer:
        body = self._body
        answer = Answer(
            self._parser.get_status_code(),
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            keeps_alive=self._keeps_alive,
        )
        self._headers, self._body = {}, []
        self._size = 0
        self._head_is_read = self._complete = False
        return answer
