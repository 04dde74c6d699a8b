"""Times and refusals: one spelling of each value, and nothing of the input in what is said of it."""

from __future__ import annotations

import gc

import pytest
from pydantic import BaseModel, TypeAdapter, field_validator

from shared.errors import ValidationError
from shared.tracebacks import release_frames
from shared.validation import Time, validate_input

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
