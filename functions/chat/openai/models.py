"""Requests of OpenAI's interface, and what is known of its answers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from shared.http.models import PathModel, ReplyModel, RequestModel
from shared.llm.deployments import MOST_TOKENS_OF_A_MODEL
from shared.tenancy.context import USER_ID_PATTERN
from shared.validation import refuse_value, text_pattern

_CHOICE_PATTERN = text_pattern(r"^[a-z0-9_-]{1,32}$", "1 to 32 small letters, digits and _ -")
MOST_CHOICES = 128
MOST_TOOLS = 128
MOST_STOPS = 4
MOST_LOGPROBS = 20
_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)

type _Limit = Annotated[int, Field(ge=1, le=MOST_TOKENS_OF_A_MODEL)]
type _Penalty = Annotated[float, Field(ge=-2, le=2)]
type _Stop = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
type _Choice = Annotated[str, StringConstraints(pattern=_CHOICE_PATTERN)]
"""One of some words: which of them there are, each model says, and next year's will know more."""

type _Json = dict[str, Any]


def _refuse_true(value: bool) -> bool:  # noqa: FBT001  # as pydantic calls it
    # A `Literal[False]` would take 0, too.
    if value:
        raise refuse_value("must be false")
    return value


class StreamOptions(RequestModel):
    """Options of a stream.

    Attributes:
        include_usage: Whether a last part tells the tokens that were used.
        include_obfuscation: Whether parts are filled up, so that their length tells nothing.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatCompletionRequest(RequestModel):
    """A chat completion, as OpenAI has it; it is passed on to the model as it is.

    A parameter that is not named here is refused, and none is left out on the way. What of them a model takes
    is the model's to say.

    Attributes:
        model: A model of the catalogue that the tenant may use, or a bot: by `bot/` and its id, or by the id
            alone where no model has that name.
        messages: The conversation, oldest first; parts of a content are texts or images.
        stream: Whether the answer comes in parts.
        stream_options: Options of the stream.
        max_tokens: The most tokens of each answer; without a limit, the catalogue's for the model.
        max_completion_tokens: The same by its newer name; only one of both is given.
        n: How many answers are wanted.
        temperature: How freely the model answers.
        top_p: The share of likely words that it chooses from.
        frequency_penalty: How much words that were said often are avoided.
        presence_penalty: How much words that were said at all are avoided.
        logit_bias: How likely tokens are made, by their ids.
        logprobs: Whether the likelihood of each token is told.
        top_logprobs: How many others are told for each token.
        seed: Makes answers to the same request alike.
        stop: Texts before which an answer ends.
        tools: What the model may call.
        tool_choice: Whether it has to, and what.
        parallel_tool_calls: Whether it may call several at once.
        functions: What it may call, in the older form.
        function_call: Whether it has to, in the older form.
        response_format: The form of the answer.
        reasoning_effort: How long a reasoning model thinks.
        verbosity: How much it says.
        modalities: The kinds of answer; text is the only one.
        service_tier: The price class; others than the usual one are not metered here.
        store: Whether the provider keeps the answer, outside of what a purge reaches: it never does.
        metadata: The caller's own facts about the request.
        user: Whom it is made for; the provider is told a hash.
        safety_identifier: The same by its newer name.
        prompt_cache_key: The caller's name for prompts that begin alike; the provider is told a hash.
        prompt_cache_retention: How long the provider keeps what it has cached.
        prompt_cache_options: How it caches, otherwise.
    """

    model: str = Field(min_length=1, max_length=200)
    messages: list[_Json] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    seed: int | None = None
    stop: str | Annotated[list[_Stop], Field(max_length=MOST_STOPS)] | None = None
    tools: list[_Json] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: str | _Json | None = None
    parallel_tool_calls: bool | None = None
    functions: list[_Json] | None = Field(None, max_length=MOST_TOOLS)
    function_call: str | _Json | None = None
    response_format: _Json | None = None
    reasoning_effort: _Choice | None = None
    verbosity: _Choice | None = None
    modalities: list[Literal["text"]] | None = Field(None, max_length=1)
    service_tier: Literal["auto", "default"] | None = None
    store: Annotated[bool, AfterValidator(_refuse_true), Field(json_schema_extra={"const": False})] | None = (
        None
    )
    metadata: dict[str, str] | None = Field(None, max_length=16)
    user: str | None = Field(None, pattern=USER_ID_PATTERN)
    safety_identifier: str | None = Field(None, pattern=USER_ID_PATTERN)
    prompt_cache_key: str | None = Field(None, min_length=1, max_length=128)
    prompt_cache_retention: _Choice | None = None
    prompt_cache_options: _Json | None = None


class ChatCompletionReply(ReplyModel):
    """A chat completion as the model's provider gave it; fields that are not named here are passed on, too.

    Attributes:
        id: The answer's id.
        object: `chat.completion`.
        created: When it was made, in seconds of Unix time.
        model: The model by the name that it was asked for.
        choices: The answers.
        usage: The tokens that they used.
    """

    id: str
    object: str
    created: int
    model: str
    choices: list[_Json]
    usage: _Json


class UsableModelPath(PathModel):
    """Path of a model.

    Attributes:
        model: Its name; slashes in it may be escaped.
    """

    model: str = Field(min_length=1, max_length=200)

    @property
    def name(self) -> str:
        """Return the name, with its slashes: the host leaves escaped ones as they were sent."""
        return _ESCAPED_SLASH.sub("/", self.model)


BOTS = "tenantry-bots"
"""The owner of bots in the list of models."""


class UsableModelReply(ReplyModel):
    """A model, or a bot, that answers.

    Attributes:
        id: Its name, as requests have it.
        object: `model`.
        created: 0: nobody keeps it.
        owned_by: `tenantry`, or `tenantry-bots` for a bot.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "tenantry"


class UsableModelsReply(ReplyModel):
    """The models and bots that the tenant may use.

    Attributes:
        object: `list`.
        data: The models, by name, and then the bots, by id.
    """

    object: Literal["list"] = "list"
    data: list[UsableModelReply]
