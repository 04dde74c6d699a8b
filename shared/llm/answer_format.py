"""Form that an answer is asked for in, and held to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.llm.answer_schema import AnswerSchema
from shared.llm.answer_validation import (
    AnswerProblem,
    TooMuchWorkError,
    UnreadableAnswerError,
    find_problems,
    read_json,
)
from shared.validation import refuse_value

MOST_STEPS = 50_000
"""The most steps of a check: less than a tenth of a second's work."""

_STEPS_ON_THE_LOOP = 2_000
_LONG_ANSWER = 4_000
"""Characters above which checking leaves the event loop."""


class AnswerFormatKind(StrEnum):
    """Form of an answer."""

    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


class AnswerFormat(BaseModel):
    """Form of an answer.

    Attributes:
        type: `text`; `json_object`: one JSON object; `json_schema`: one that fits `schema`.
        json_schema: The JSON Schema that answers fit, of the type `object` and of at most 32,768 characters;
            docs/chat.md has what of the language is taken.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        serialize_by_alias=True,
        json_schema_extra={
            "oneOf": [
                {"properties": {"type": {"enum": ["text", "json_object"]}, "schema": {"type": "null"}}},
                {
                    "properties": {"type": {"const": "json_schema"}, "schema": {"type": "object"}},
                    "required": ["schema"],
                },
            ]
        },
    )

    type: AnswerFormatKind = Field(strict=False)
    json_schema: AnswerSchema | None = Field(None, alias="schema")

    @model_validator(mode="after")
    def _has_the_schema_that_it_needs(self) -> Self:
        if (self.type is AnswerFormatKind.JSON_SCHEMA) != (self.json_schema is not None):
            raise refuse_value("schema is for the type json_schema, which needs one")
        return self

    @property
    def schema_text(self) -> str:
        """Return its schema as JSON: what it adds to a prompt; nothing where it has none."""
        return "" if self.json_schema is None else self.json_schema.text

    @property
    def instruction(self) -> str:
        """Return what asks a model for it that cannot be held to it otherwise."""
        if self.json_schema is None:
            return "Answer with one JSON object, and with nothing else."
        told = "Answer with one JSON object that fits this JSON Schema, and with nothing else:"
        return f"{told}\n{self.schema_text}"

    async def find_problems(self, text: str) -> list[AnswerProblem]:
        """Return what is wrong with an answer; none where it has this form.

        What takes long leaves the event loop; what takes too long does not have the form.
        """
        if self.type is AnswerFormatKind.TEXT:
            return []
        if len(text) <= _LONG_ANSWER:
            with suppress(TooMuchWorkError):
                return self._check(text, _STEPS_ON_THE_LOOP)
        try:
            return await asyncio.to_thread(self._check, text, MOST_STEPS)
        except TooMuchWorkError:
            return [AnswerProblem("", "takes too much work to check")]

    def _check(self, text: str, steps: int) -> list[AnswerProblem]:
        try:
            value = read_json(text)
        except UnreadableAnswerError as error:
            return [AnswerProblem("", str(error))]
        if self.json_schema is not None:
            return find_problems(self.json_schema, value, steps)
        return [] if isinstance(value, dict) else [AnswerProblem("", "must be of type object")]
