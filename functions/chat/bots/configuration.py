"""A bot's configuration as callers send and get it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from shared.http.models import ReplyModel, RequestModel
from shared.llm.answer_format import AnswerFormat
from shared.llm.deployments import MODEL_NAME_PATTERN
from shared.prompts.reference import PromptReference
from shared.validation import refuse_value

MAX_MESSAGE_CHARACTERS = 100_000
MAX_MEMORY_TOKENS = 100_000
LEAST_SUMMARY_MEMORY = 1_000
"""Of which a quarter is the summary's: with less it would be a sentence."""

MAX_TAGS = 20

type Provider = Literal["openai", "azure"]
type ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
type BotTag = Annotated[str, Field(min_length=1, max_length=64)]


class LlmConfig(RequestModel):
    """The model that answers, and how it is called.

    Attributes:
        provider: The models that may answer: `openai` any that speaks OpenAI's API, Azure's too; `azure` only
            Azure's.
        model: The model; without one, the tenant's `chat.default_model`, then the deployment's.
        temperature: How freely it answers; without it, as the model's default has it.
        max_output_tokens: The most tokens of an answer, reasoning included.
        reasoning_effort: How long a reasoning model thinks; without it, as the model's default has it.
    """

    provider: Provider = "openai"
    model: str | None = Field(None, pattern=MODEL_NAME_PATTERN)
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int = Field(512, ge=1, le=16_384)
    reasoning_effort: ReasoningEffort | None = None


class StorageConfig(RequestModel):
    """Store of a bot's conversations.

    Attributes:
        backend: `cosmos`: in the database; `memory`: nowhere but in the process, to try a bot out.
    """

    backend: Literal["cosmos", "memory"] = "cosmos"


class MemoryConfig(RequestModel):
    """Memory of a bot: the part of the conversation that the model is reminded of.

    Attributes:
        type: `buffer`: the last turns, as many as `max_tokens` holds. `summary`: those, and of the turns
            before them a summary, which a model makes anew whenever turns have no room any more.
        max_tokens: The most tokens of the conversation before the message, the summary included; with 0 the
            bot has no memory. A `summary` needs 1,000.
        summary_model: The model that summarizes; without it, the one that answers.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"properties": {"type": {"const": "buffer"}, "summary_model": {"type": "null"}}},
                {
                    "properties": {
                        "type": {"const": "summary"},
                        "max_tokens": {"minimum": LEAST_SUMMARY_MEMORY},
                    },
                    "required": ["type"],
                },
            ]
        }
    )

    type: Literal["buffer", "summary"] = "buffer"
    max_tokens: int = Field(4_000, ge=0, le=MAX_MEMORY_TOKENS)
    summary_model: str | None = Field(None, pattern=MODEL_NAME_PATTERN)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "summary" and self.max_tokens < LEAST_SUMMARY_MEMORY:
            raise refuse_value(f"a summary needs max_tokens of {LEAST_SUMMARY_MEMORY} at least")
        if self.type != "summary" and self.summary_model is not None:
            raise refuse_value("summary_model is for the type summary")
        return self


class LimitsConfig(RequestModel):
    """Bounds of what users send.

    Attributes:
        max_message_characters: The most characters of a message.
        turns_per_minute: The most turns of the tenant's users with this bot in a minute, counted by each
            instance for itself; without it the tenant's request rate is the only one.
    """

    max_message_characters: int = Field(MAX_MESSAGE_CHARACTERS, ge=1, le=MAX_MESSAGE_CHARACTERS)
    turns_per_minute: int | None = Field(None, ge=1, le=100_000)


class BotConfig(RequestModel):
    """A bot; its instructions are either a `system_prompt` or a `prompt`.

    Attributes:
        llm: The model that answers, and how it is called.
        system_prompt: Its instructions as a text, in which braces are braces.
        prompt: One of the prompts, the tenant's own or a global one, resolved for each turn.
        conversation_storage: Where its conversations are kept.
        memory: What the model is reminded of.
        response_format: The form of its answers; without it, any text.
        limits: Bounds of what users send.
        retention_days: Days after which each turn is removed; of it and the tenant's `chat.retention_days`
            the shorter one wins, and without either turns are kept.
        description: What it is for.
        tags: Tags, for people.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["system_prompt"], "properties": {"system_prompt": {"type": "string"}}},
                {"required": ["prompt"], "properties": {"prompt": {"type": "object"}}},
            ]
        }
    )

    llm: LlmConfig = LlmConfig()
    system_prompt: str | None = Field(None, min_length=1, max_length=100_000)
    prompt: PromptReference | None = None
    conversation_storage: StorageConfig = StorageConfig()
    memory: MemoryConfig = MemoryConfig()
    response_format: AnswerFormat | None = None
    limits: LimitsConfig = LimitsConfig()
    retention_days: int | None = Field(None, ge=1, le=3_650)
    description: str | None = Field(None, max_length=2_000)
    tags: tuple[BotTag, ...] = Field((), max_length=MAX_TAGS, strict=False)

    @model_validator(mode="after")
    def _one_source_of_instructions(self) -> Self:
        if (self.prompt is None) == (self.system_prompt is None):
            raise refuse_value("exactly one of system_prompt and prompt is needed")
        return self


class LlmReply(ReplyModel):
    """The model that answers, and how it is called.

    Attributes:
        provider: The models that may answer: `openai` any that speaks OpenAI's API, Azure's too; `azure` only
            Azure's.
        model: The model; without one, the tenant's `chat.default_model`, then the deployment's.
        temperature: How freely it answers; without it, as the model's default has it.
        max_output_tokens: The most tokens of an answer, reasoning included.
        reasoning_effort: How long a reasoning model thinks; without it, as the model's default has it.
    """

    provider: str
    model: str | None
    temperature: float | None
    max_output_tokens: int
    reasoning_effort: str | None


class PromptReferenceReply(ReplyModel):
    """A prompt by its name, and by a label or a version where one was said.

    Attributes:
        name: The prompt's name.
        label: The label whose version is used; null where none was said.
        version: The version that is used for good; null where none was said.
    """

    name: str
    label: str | None = None
    version: int | None = None


class StorageReply(ReplyModel):
    """Store of a bot's conversations.

    Attributes:
        backend: `cosmos`: in the database; `memory`: nowhere but in the process.
    """

    backend: str


class MemoryReply(ReplyModel):
    """Memory of a bot: the part of the conversation that the model is reminded of.

    Attributes:
        type: `buffer`: the last turns, as many as `max_tokens` holds; `summary`: those, and a summary of the
            turns before them.
        max_tokens: The most tokens of the conversation before the message.
        summary_model: The model that summarizes; null where it is the one that answers.
    """

    type: str
    max_tokens: int
    summary_model: str | None


class AnswerFormatReply(ReplyModel):
    """Form of a bot's answers.

    Attributes:
        type: `text`; `json_object`: one JSON object; `json_schema`: one that fits `schema`.
        json_schema: The JSON Schema that its answers fit; null where they fit none.
    """

    type: str
    json_schema: dict[str, Any] | None = Field(None, alias="schema")


class BotLimitsReply(ReplyModel):
    """Bounds of what users send.

    Attributes:
        max_message_characters: The most characters of a message.
        turns_per_minute: The most turns in a minute; null where there is no such limit.
    """

    max_message_characters: int
    turns_per_minute: int | None


class BotConfigReply(ReplyModel):
    """A bot's configuration with its defaults.

    Attributes:
        llm: The model that answers, and how it is called.
        system_prompt: Its instructions, where they were given as a text.
        prompt: Its prompt, where it has one.
        conversation_storage: Where its conversations are kept.
        memory: What the model is reminded of.
        response_format: The form of its answers; null where they may be any text.
        limits: Bounds of what users send.
        retention_days: Days after which each turn is removed; null where the tenant's setting alone decides.
        description: What it is for.
        tags: Tags, for people.
    """

    llm: LlmReply
    system_prompt: str | None
    prompt: PromptReferenceReply | None
    conversation_storage: StorageReply
    memory: MemoryReply
    response_format: AnswerFormatReply | None
    limits: BotLimitsReply
    retention_days: int | None
    description: str | None
    tags: list[str]
