"""Embeddings as a provider answers them: all that is read is what they used, and whether all are there.

A batch has millions of numbers, which are passed on: they never become Python's, nor are they read as JSON.
The vectors are left out, one after the other, and what is left is a few bytes for each.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from shared.llm.chat_model import UnusableAnswerError
from shared.llm.completion_parsing import read_name, read_usage
from shared.llm.embedding_model import Embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 512 * 1024
"""How much of an answer is gone through before others have the event loop: a millisecond of work."""

_VECTOR_NAME = b'"embedding"'
_VECTOR = re.compile(rb'"embedding"\s*:\s*([\["])')
_ENDS = {b"[": b"]", b'"': b'"'}
_MADE_OF = {
    b"[": b"0123456789+-.eE, \t\r\n",
    b'"': b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\",
}
"""The bytes of vectors as numbers, and as base64, whose slashes may be escaped."""

_MOST_FRAME_BYTES = 1024 * 1024
"""Of all but the vectors: a few hundred for each of 2,048."""

_MODEL_NAME = b'"model"'
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.){0,500}"')


class _Vector(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int


class _EmbeddingAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    data: list[_Vector]
    model: Any = None
    usage: dict[str, Any] = Field(default_factory=dict)


async def read_embeddings(content: bytes, model: str, inputs: int) -> Embeddings:
    """Read as much of an answer as has to be known of it; others have the event loop meanwhile.

    Args:
        content: The body that the provider sent.
        model: The model that was asked, for an answer that names none.
        inputs: How many vectors it should have.

    Raises:
        UnusableAnswerError: It is not one vector for each input, or does not tell what it used.
    """
    kept: list[bytes] = []
    since = 0
    for end, part in _leave_out_vectors(content):
        kept.append(part)
        if end - since >= BLOCK_BYTES:
            since = end
            await asyncio.sleep(0)
    frame = b"".join(kept)
    if len(frame) > _MOST_FRAME_BYTES:
        raise UnusableAnswerError("gave a malformed answer", None)
    try:
        answer = _EmbeddingAnswer.model_validate_json(frame)
    except pydantic.ValidationError as error:
        raise UnusableAnswerError("gave a malformed answer", None) from error
    usage = read_usage(answer.usage)
    if usage is None:
        raise UnusableAnswerError("did not tell what its answer used", None)
    if sorted(one.index for one in answer.data) != list(range(inputs)):
        raise UnusableAnswerError("did not give one vector for each input", usage)
    return Embeddings(content, usage, read_name(answer.model) or model)


def _leave_out_vectors(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Give what stands between the vectors, each with where it was read up to.

    Raises:
        UnusableAnswerError: A vector is empty, has no end, or holds what is no number or base64.
    """
    start = place = 0
    while (place := content.find(_VECTOR_NAME, place)) >= 0:
        found = _VECTOR.match(content, place)
        if found is None:  # another member, whose value is `embedding`
            place += 1
            continue
        begin, kind = found.end(), found[1]
        end = content.find(_ENDS[kind], begin)
        if end <= begin or content[begin:end].translate(None, _MADE_OF[kind]):
            raise UnusableAnswerError("gave a malformed answer", None)
        yield end, content[start:begin]
        start = place = end
    yield len(content), content[start:]


def rename_model(content: bytes, name: str) -> bytes:
    """Return an answer under another name of its model; vectors hold none, so that the first is its own."""
    # Found as bytes first: the expression alone takes five times as long for the megabytes before it.
    place = content.find(_MODEL_NAME)
    while place >= 0 and (found := _MODEL.match(content, place)) is None:
        place = content.find(_MODEL_NAME, place + 1)
    if place < 0 or found is None:
        return content
    return b"".join(
        (memoryview(content)[:place], f'"model":"{name}"'.encode(), memoryview(content)[found.end() :])
    )
