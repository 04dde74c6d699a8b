"""Items of a response's input, as callers send them and as they are stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    model_validator,
)

from shared.validation import refuse_value

MOST_ITEMS = 2_000
"""The most items of one request's input."""

_LONGEST_ID = 128
_CALL_ID = Field(min_length=1, max_length=_LONGEST_ID)
_ITEM_ID = Field(None, max_length=_LONGEST_ID)

type ItemStatus = Literal["in_progress", "completed", "incomplete"]


def describe_text_or_list(schema: dict[str, Any]) -> None:
    """Describe for the API document that a text may stand in the place of a list."""
    items = {name: schema.pop(name) for name in ("type", "items", "maxItems") if name in schema}
    schema["anyOf"] = [{"type": "string"}, items]


def read_text_as_parts(value: object) -> object:
    """Return a text as the one part of a list."""
    return [{"type": "input_text", "text": value}] if isinstance(value, str) else value


class InputPart(BaseModel):
    """Base of what an input is made of: unknown fields are refused, since they would be dropped."""

    # Not strict, since a text in the place of items becomes one before it is read; texts are texts anyhow.
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class InputText(InputPart):
    """A text for the model.

    Attributes:
        type: `input_text`.
        text: The text.
    """

    type: Literal["input_text"]
    text: str


class InputImage(InputPart):
    """An image for the model.

    Attributes:
        type: `input_image`.
        image_url: Its URL, `https:` or `data:`.
        detail: How closely it is looked at.
        file_id: Not supported: null.
    """

    type: Literal["input_image"]
    image_url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high"] = "auto"
    file_id: None = None


class OutputText(InputPart):
    """A text that a model gave.

    Attributes:
        type: `output_text`.
        text: The text.
        annotations: Taken as they were given; a model is not told them.
        logprobs: Taken as they were given; a model is not told them.
    """

    type: Literal["output_text"]
    text: str
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[Any] | None = None


class Refusal(InputPart):
    """A model's word that it does not answer.

    Attributes:
        type: `refusal`.
        refusal: The reason that it gave.
    """

    type: Literal["refusal"]
    refusal: str


def find_type(value: object) -> object:
    """Return what a part says that it is."""
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


type ContentPart = Annotated[
    Annotated[InputText, Tag("input_text")]
    | Annotated[InputImage, Tag("input_image")]
    | Annotated[OutputText, Tag("output_text")]
    | Annotated[Refusal, Tag("refusal")],
    Discriminator(
        find_type,
        custom_error_type="unsupported_part",
        custom_error_message=(
            "must have a type that is supported: input_text, input_image, output_text or refusal"
        ),
    ),
]


class MessageItem(InputPart):
    """A message.

    Attributes:
        type: `message`; it may be left out.
        role: Whose message it is.
        content: A text, or parts: `input_text` and `input_image` of all but the assistant, `output_text` and
            `refusal` of the assistant.
        id: Its id, where it was stored with a response.
        status: Its state, as a response told it.
        phase: The phase of the answer, as a response told it; a model is not told it.
    """

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: list[ContentPart] = Field(json_schema_extra=describe_text_or_list)
    id: str | None = _ITEM_ID
    status: ItemStatus | None = None
    phase: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_text_as_part(cls, value: object) -> object:
        if not isinstance(value, dict) or not isinstance(value.get("content"), str):
            return value
        kind = "output_text" if value.get("role") == "assistant" else "input_text"
        return value | {"content": [{"type": kind, "text": value["content"]}]}

    @model_validator(mode="after")
    def _has_parts_of_its_role(self) -> MessageItem:
        for part in self.content:
            is_answer = part.type in {"output_text", "refusal"}
            if is_answer and self.role != "assistant":
                raise refuse_value(f"a part of type {part.type} is the assistant's")
            if self.role == "assistant" and part.type == "input_image":
                raise refuse_value("the assistant's message has no images")
        return self


class FunctionCallItem(InputPart):
    """A model's call of a function.

    Attributes:
        type: `function_call`.
        call_id: The id that its output names.
        name: The function's name.
        arguments: The arguments, as JSON.
        id: Its id, where it was stored with a response.
        status: Its state, as a response told it.
    """

    type: Literal["function_call"]
    call_id: str = _CALL_ID
    name: str = Field(min_length=1, max_length=_LONGEST_ID)
    arguments: str
    id: str | None = _ITEM_ID
    status: ItemStatus | None = None


class FunctionCallOutputItem(InputPart):
    """The output of a function that a model called.

    Attributes:
        type: `function_call_output`.
        call_id: The id of the call.
        output: A text, or parts of text.
        id: Its id, where it was stored with a response.
        status: Its state, as a response told it.
    """

    type: Literal["function_call_output"]
    call_id: str = _CALL_ID
    output: Annotated[list[InputText], BeforeValidator(read_text_as_parts)] = Field(
        json_schema_extra=describe_text_or_list
    )
    id: str | None = _ITEM_ID
    status: ItemStatus | None = None


class ReasoningText(InputPart):
    """A text that a model reasoned with, or a summary of one.

    Attributes:
        type: `reasoning_text` or `summary_text`.
        text: The text.
    """

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(InputPart):
    """A model's reasoning: it is stored with the conversation, and no model is told it again.

    Attributes:
        type: `reasoning`.
        id: Its id, where it was stored with a response.
        summary: A summary of it.
        content: The reasoning itself.
        encrypted_content: Taken as it was given.
        status: Its state, as a response told it.
    """

    type: Literal["reasoning"]
    id: str | None = _ITEM_ID
    summary: list[ReasoningText] = Field(default_factory=list)
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    status: ItemStatus | None = None


class ItemReference(InputPart):
    """A reference to an item that was stored with a response.

    Attributes:
        type: `item_reference`; it may be left out.
        id: The item's id.
    """

    type: Literal["item_reference"] = "item_reference"
    id: str = Field(min_length=1, max_length=_LONGEST_ID)


def _find_type(value: object) -> object:
    """Return an item's type: messages and references may leave it out."""
    if isinstance(value, BaseModel):
        return getattr(value, "type", None)
    if not isinstance(value, dict):
        return None
    return value.get("type") or (
        "message" if "role" in value else "item_reference" if "id" in value else None
    )


type StoredInputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_find_type),
]
"""An item as it is stored: references have become what they refer to."""

type InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(
        _find_type,
        custom_error_type="unsupported_item",
        custom_error_message=(
            "must have a type that is supported: message, function_call, function_call_output, reasoning or"
            " item_reference"
        ),
    ),
]

STORED_ITEM: TypeAdapter[StoredInputItem] = TypeAdapter(StoredInputItem, config=None)
"""Reads an item that is stored, of an input or of an output."""


def read_text_as_message(value: object) -> object:
    """Return the input as items: a text is one message of the user's."""
    return [{"type": "message", "role": "user", "content": value}] if isinstance(value, str) else value
