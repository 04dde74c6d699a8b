"""Times and refusals: one spelling of each value, and nothing of the input in what is said of it."""

from __future__ import annotations

import gc

import pytest
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from shared.errors import ValidationError
from shared.tracebacks import release_frames
from shared.validation import Time, text_pattern, validate_input

TIME = TypeAdapter[object](Time)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T10:30:00Z", "2026-01-31T10:30:00.25+01:00", "2026-01-31 10:30:00-0530", "2026-01-31t10:30z"],
)
def test_a_time_with_an_offset_is_one(text: str) -> None:
    assert TIME.validate_python(text)


@pytest.mark.parametrize(
    "text", ["1800000000", "1800000000.5", 1_800_000_000, "2026-01-31", "2026-01-31T10:30:00", "now", ""]
)
def test_a_number_or_a_day_is_no_time(text: object) -> None:
    with pytest.raises(ValidationError):
        validate_input(lambda: TIME.validate_python(text), "request", "body")


class Careless(BaseModel):
    """A model whose validator raises what pydantic-core holds."""

    text: str

    @field_validator("text")
    @classmethod
    def _refuse(cls, text: str) -> str:
        raise ValueError(f"no {text}")


def test_a_refusal_holds_no_frame_even_of_a_careless_validator() -> None:
    class HeldByAFrame:
        pass

    def refuse() -> ValidationError | None:
        held = [HeldByAFrame()]
        try:
            validate_input(lambda: Careless.model_validate({"text": "x"}), "request", "body")
        except ValidationError as error:
            release_frames(error)
            return error if held else None
        return None

    refusals = [refuse() for _ in range(20)]

    told = {"fields": {"body.text": "Value error, no x"}}
    assert [refusal.detail for refusal in refusals if refusal] == [told] * 20
    assert not [one for one in gc.get_objects() if type(one) is HeldByAFrame]


class Coded(BaseModel):
    """A model of patterns: one has words, one has none."""

    told: str = Field("ab-12", pattern=text_pattern(r"^[a-z]{2}-[0-9]{2}$", "a code such as ab-12"))
    untold: str = Field("a", pattern=r"^[a-q]$")


def test_a_pattern_that_does_not_match_is_told_in_words() -> None:
    with pytest.raises(ValidationError) as refused:
        validate_input(lambda: Coded.model_validate({"told": "x", "untold": "z"}), "request", "body")

    assert refused.value.detail["fields"] == {
        "body.told": "must be a code such as ab-12",
        "body.untold": "is not written as it has to be",
    }


def test_a_pattern_has_the_same_words_everywhere() -> None:
    text_pattern(r"^[x-z]$", "one of the last letters")
    text_pattern(r"^[x-z]$", "one of the last letters")

    with pytest.raises(ValueError, match="has other words already"):
        text_pattern(r"^[x-z]$", "a letter")
