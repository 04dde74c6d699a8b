"""Answers that are data: each step's own model, asked for by its JSON schema and held to it."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.llm.answer_format import AnswerFormat, AnswerFormatKind

MOST_STEPS = 6
"""The most parts that a task is broken into: with the rest of its steps, a job has ten at most."""

type Line = Annotated[str, Field(min_length=1, max_length=500)]


class StepAnswer(BaseModel):
    """Base of the answers that are data."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an answer that was checked before it was stored."""
        return cls.model_validate_json(text)


class Plan(StepAnswer):
    """Steps that lead to the answer, in their order."""

    steps: list[Line] = Field(min_length=1, max_length=MOST_STEPS)


class Questions(StepAnswer):
    """Questions whose answers together answer the whole."""

    questions: list[Line] = Field(min_length=1, max_length=MOST_STEPS)


class Verification(StepAnswer):
    """Verdict on the results of all steps, with what has to be mended."""

    is_correct: bool
    problems: list[Line] = Field(max_length=10)


class Sample(StepAnswer):
    """One way to an answer, and the answer in a few words."""

    reasoning: str = Field(min_length=1, max_length=50_000)
    answer: str = Field(min_length=1, max_length=2_000)


class Choice(StepAnswer):
    """Number of the answer that most of the others agree with."""

    number: int = Field(ge=1)


@cache
def answer_format(model: type[StepAnswer]) -> AnswerFormat:
    """Return the form in which a model is asked for an answer."""
    return AnswerFormat.model_validate(
        {"type": AnswerFormatKind.JSON_SCHEMA, "schema": model.model_json_schema()}
    )
