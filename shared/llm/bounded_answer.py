"""Bounds of a model's whole answer, and of its errors: a hostile one has no end, or unfolds to one.

Streams have bounds of their own (`shared.llm.openai_stream`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, override

import httpx2

from shared.llm.deployment_access import EMBEDDINGS_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENT_STREAM = "text/event-stream"
MOST_BYTES = 8 * 1024 * 1024
"""The longest answer of any model has some 128,000 tokens, of which few take 20 bytes."""

MOST_BYTES_OF_EMBEDDINGS = 48 * 1024 * 1024
"""2,048 vectors of 3,072 dimensions have 34 MB in base64; as numbers, those of 1,536 have 40."""


class AnswerTooLongError(ValueError):
    """An answer that has more bytes than any answer has, or that is compressed although nobody asked."""


class _BoundedBytes(httpx2.AsyncByteStream):
    """A response's bytes, so many of them at most."""

    def __init__(self, stream: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise AnswerTooLongError
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound_answer(response: httpx2.Response) -> None:
    """Bound what is read of a response; a hook of the client, called before its body is read.

    Raises:
        AnswerTooLongError: It is compressed: what that unfolds to has no bound.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        await response.aclose()
        raise AnswerTooLongError
    is_stream = response.request.headers.get("accept") == EVENT_STREAM
    if not (is_stream and response.is_success) and isinstance(response.stream, httpx2.AsyncByteStream):
        are_vectors = response.is_success and response.request.url.path.endswith(EMBEDDINGS_PATH)
        most_bytes = MOST_BYTES_OF_EMBEDDINGS if are_vectors else MOST_BYTES
        response.stream = _BoundedBytes(response.stream, most_bytes)
