"""Requests of the Responses API, as callers send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, override

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from functions.chat.openai.responses.input_items import (
    MOST_ITEMS,
    InputItem,
    describe_text_or_list,
    find_type,
    read_text_as_message,
)
from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel
from shared.llm.deployments import MODEL_NAME_PATTERN, MOST_TOKENS_OF_A_MODEL
from shared.tenancy.context import USER_ID_PATTERN
from shared.validation import MOST_NAMED, describe_problem, refuse_value, text_pattern

LOGPROBS = "message.output_text.logprobs"

MOST_TOOLS = 128
_KINDS = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
        "item_reference",
        "input_text",
        "input_image",
        "output_text",
        "refusal",
        "plain",
        "json_schema",
    }
)
_NAME = text_pattern(r"^[A-Za-z0-9_.-]{1,64}$", "1 to 64 letters, digits and . _ -")
_LONGEST_VALUE = 512


def _refuse_unsupported(value: object) -> object:
    if value is not None:
        raise refuse_value("is not supported here")
    return value


type Unsupported = Annotated[None, BeforeValidator(_refuse_unsupported)]
"""A field of OpenAI's that is refused by its name, unless it says nothing."""


class FunctionTool(RequestModel):
    """A function that the model may call.

    Attributes:
        type: `function`.
        name: Its name.
        description: What it does, for the model.
        parameters: The JSON Schema of its arguments.
        strict: Whether the arguments are held to the schema.
    """

    type: Literal["function"]
    name: str = Field(pattern=_NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(RequestModel):
    """A function by its name.

    Attributes:
        type: `function`.
        name: Its name.
    """

    type: Literal["function"]
    name: str = Field(pattern=_NAME)


class AllowedTools(RequestModel):
    """Some of the tools, of which the model may or must choose.

    Attributes:
        type: `allowed_tools`.
        mode: `auto`: it may; `required`: it must.
        tools: The functions.
    """

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedFunction] = Field(min_length=1, max_length=MOST_TOOLS)


class PlainFormat(RequestModel):
    """Text, or any JSON object.

    Attributes:
        type: `text` or `json_object`.
    """

    type: Literal["text", "json_object"]


class SchemaFormat(RequestModel):
    """JSON that fits a schema.

    Attributes:
        type: `json_schema`.
        name: The form's name.
        json_schema: The JSON Schema.
        description: What the form is for, for the model.
        strict: Whether the model is held to the schema.
    """

    type: Literal["json_schema"]
    name: str = Field(pattern=_NAME)
    json_schema: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


def _find_kind(value: object) -> str | None:
    """Return which of both forms is meant."""
    kind = find_type(value)
    if kind == "json_schema":
        return "json_schema"
    return "plain" if isinstance(kind, str) else None


type AnswerForm = Annotated[
    Annotated[PlainFormat, Tag("plain")] | Annotated[SchemaFormat, Tag("json_schema")],
    Discriminator(_find_kind),
]


class TextOptions(RequestModel):
    """Form and length of the text.

    Attributes:
        format: Its form; any text where it is not said.
        verbosity: How much is said.
    """

    format: AnswerForm | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(RequestModel):
    """Options of models that reason.

    Attributes:
        effort: How much is thought about the answer.
        summary: `auto`: a summary of the reasoning, where the model's provider gives one.
        generate_summary: An older name of `summary`.
    """

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto"] | None = None
    generate_summary: Literal["auto"] | None = None


class ResponseStreamOptions(RequestModel):
    """Options of a stream.

    Attributes:
        include_obfuscation: Taken, and of no effect: no event is padded.
    """

    include_obfuscation: bool | None = None


def _rewrite(problem: ErrorDetails) -> InitErrorDetails:
    """Return a problem at the place that its sender knows."""
    place = problem["loc"]
    kept = tuple(
        step for before, step in zip((None, *place), place, strict=False) if not _is_kind(before, step)
    )
    told = describe_problem(problem).replace("{", "{{").replace("}", "}}")
    return InitErrorDetails(type=PydanticCustomError(problem["type"], told), loc=kept, input=None)


def _is_kind(before: int | str | None, step: int | str) -> bool:
    """Tell whether a step is the kind of an item, a part or a form, and no field."""
    return step in _KINDS and (isinstance(before, int) or before == "format")


class CreateResponseRequest(RequestModel):
    """Question to a model, in OpenAI's form; fields of OpenAI's that are not here are refused.

    Attributes:
        model: A model of the catalogue, or a bot: `bot/{bot_id}`.
        input: A text, or items.
        instructions: A message of the system's before all others; none of a response before is kept.
        previous_response_id: The response that this one goes on with.
        store: Whether it is stored, so that it can be read and gone on with.
        background: Whether it is made after this request was answered.
        stream: Whether it comes as server-sent events.
        stream_options: Options of the stream.
        text: Form and length of the text.
        tools: Functions that the model may call.
        tool_choice: Whether it may, must or must not call one, or which.
        parallel_tool_calls: Whether it may call several at once.
        reasoning: Options of models that reason.
        max_output_tokens: The most tokens of the answer, reasoning included; by default the model's own.
        temperature: How freely it answers.
        top_p: The share of likely words to choose from.
        top_logprobs: How many likely tokens are told at each place, with `include`.
        include: More to be told: `message.output_text.logprobs`, or `reasoning.encrypted_content`.
        truncation: `disabled`: what is too long for the model is refused.
        metadata: The caller's own names and values: 16 at most.
        user: The user whom it is made for.
        safety_identifier: The same, by the newer name.
        prompt_cache_key: What prompts that begin alike have in common.
        service_tier: The provider's tier.
        max_tool_calls: Of tools that run at the provider, of which there are none here.
        conversation: Not supported.
        prompt: Not supported.
        prompt_cache_options: Not supported.
        prompt_cache_retention: Not supported.
        context_management: Not supported.
        moderation: Not supported.
    """

    model: str = Field(pattern=MODEL_NAME_PATTERN)
    input: Annotated[list[InputItem], BeforeValidator(read_text_as_message)] = Field(
        default_factory=list, max_length=MOST_ITEMS, json_schema_extra=describe_text_or_list
    )
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    text: TextOptions | None = None
    tools: list[FunctionTool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS_OF_A_MODEL)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    truncation: Literal["disabled"] | None = None
    metadata: dict[str, Annotated[str, Field(max_length=_LONGEST_VALUE)]] | None = Field(None, max_length=16)
    user: str | None = Field(None, pattern=USER_ID_PATTERN)
    safety_identifier: str | None = Field(None, pattern=USER_ID_PATTERN)
    prompt_cache_key: str | None = Field(None, min_length=1, max_length=128)
    service_tier: Literal["auto", "default"] | None = None
    max_tool_calls: Unsupported = None
    conversation: Unsupported = None
    prompt: Unsupported = None
    prompt_cache_options: Unsupported = None
    prompt_cache_retention: Unsupported = None
    context_management: Unsupported = None
    moderation: Unsupported = None

    @classmethod
    @override
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read a body, and name in a refusal the fields that there are, without the kinds they were read as.

        Raises:
            ValidationError: It is no such request.
        """
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if error.error_count() > MOST_NAMED:
                raise  # none of them is named
            problems = error.errors(include_url=False, include_input=False)
        # Outside of the block above: the other error holds the body.
        raise ValidationError.from_exception_data(cls.__name__, [_rewrite(one) for one in problems])

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if not self.input and self.previous_response_id is None:
            raise refuse_value("input is required, where no previous_response_id is named")
        if self.background and self.store is False:
            raise refuse_value("background is for responses that are stored: store must not be false")
        return self

    @property
    def is_stored(self) -> bool:
        """Tell whether it is stored."""
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        """Tell whether the likely tokens are to be told."""
        return LOGPROBS in (self.include or ())


class ResponsePath(PathModel):
    """The path of one response.

    Attributes:
        response_id: The response's id.
    """

    response_id: str = Field(min_length=1, max_length=128)


class RetrieveResponseQuery(QueryModel):
    """Query of a response.

    Attributes:
        stream: Whether it is followed as server-sent events, where it is made in the background as a stream.
        starting_after: The sequence number after which the events go on.
        include: More to be told; what was asked for at its creation is told in any case.
        include_obfuscation: Taken, and of no effect.
    """

    stream: bool = False
    starting_after: int | None = Field(None, ge=0, le=10**9)
    include: str | None = None
    include_obfuscation: bool | None = None


class InputItemPageQuery(QueryModel):
    """Query of a response's input items.

    Attributes:
        limit: The most items of the page.
        order: `desc` from the last on, `asc` from the first.
        after: The id of the item after which the page begins.
        include: More to be told; of no effect.
    """

    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = Field(None, max_length=128)
    include: str | None = None


class ResponseReply(ReplyModel):
    """A response, in OpenAI's form.

    Attributes:
        id: Its id.
        object: `response`.
        created_at: When it was asked for, in seconds of Unix time.
        completed_at: When it was whole; null before, and where it never was.
        status: `queued`, `in_progress`, `completed`, `incomplete`, `failed` or `cancelled`.
        error: The reason for which it failed; else null.
        incomplete_details: The reason for which it is not whole; else null.
        model: The model, as the request named it.
        background: Whether it is made after its request was answered.
        instructions: The instructions of the request.
        max_output_tokens: The most tokens of the answer, as the request said.
        max_tool_calls: Null.
        metadata: The caller's own names and values.
        parallel_tool_calls: Whether several functions may be called at once.
        previous_response_id: The response that it goes on with.
        prompt_cache_key: As the request said.
        reasoning: As the request said.
        safety_identifier: As the request said.
        service_tier: As the request said.
        store: Whether it is stored.
        temperature: As the request said, or OpenAI's default.
        text: Form and length of the text.
        tool_choice: As the request said.
        tools: The functions that the model could call.
        top_logprobs: As the request said.
        top_p: As the request said, or OpenAI's default.
        truncation: `disabled`.
        user: As the request said.
        output: The items that the model gave.
        usage: The tokens that it took; null until that is known.
    """

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: str
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    model: str
    background: bool
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: str
    user: str | None
    output: list[Any]
    usage: dict[str, Any] | None


class DeletedResponseReply(ReplyModel):
    """A response that was removed.

    Attributes:
        id: Its id.
        object: `response`.
        deleted: True.
    """

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class InputItemPageReply(ReplyModel):
    """A page of a response's input items, in OpenAI's form.

    Attributes:
        object: `list`.
        data: The items.
        first_id: The id of the first of them; null where there is none.
        last_id: The id of the last of them; null where there is none.
        has_more: Whether there are more behind it.
    """

    object: Literal["list"] = "list"
    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool
