"""Embeddings as a provider answers them: all that is read is what they used, and whether all are there.

A batch has millions of numbers: they are checked to be JSON, never become Python's, and are passed on.
"""

from __future__ import annotations

import re
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from shared.llm.chat_model import UnusableAnswerError
from shared.llm.completion_parsing import read_name, read_usage
from shared.llm.embedding_model import Embeddings

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


def parse_embeddings(content: bytes, model: str, inputs: int) -> Embeddings:
    """Read as much of an answer as has to be known of it.

    Args:
        content: The body that the provider sent.
        model: The model that was asked, for an answer that names none.
        inputs: How many vectors it should have.

    Raises:
        UnusableAnswerError: It is not one vector for each input, or does not tell what it used.
    """
    try:
        answer = _EmbeddingAnswer.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise UnusableAnswerError("gave a malformed answer", None) from error
    usage = read_usage(answer.usage)
    if usage is None:
        raise UnusableAnswerError("did not tell what its answer used", None)
    if sorted(one.index for one in answer.data) != list(range(inputs)):
        raise UnusableAnswerError("did not give one vector for each input", usage)
    return Embeddings(content, usage, read_name(answer.model) or model)


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
