"""Requests and replies about bots."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from shared.http.models import PathModel, ReplyModel, RequestModel, VersionedReply
from shared.prompts.models import NAME_PATTERN
from shared.prompts.reference import PromptReference
from shared.validation import refuse_value

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MAX_BOT_ID = 124
"""Shorter than other ids: `bot:{bot_id}` names the bot in the token ledger, in 128 characters."""

MAX_HISTORY_TURNS = 50
"""The most turns that a bot may be reminded of; as many are kept at hand per conversation."""


class BotPath(PathModel):
    """The path of one bot.

    Attributes:
        bot_id: The bot's id.
    """

    bot_id: str = Field(pattern=ID_PATTERN)


class BotConfig(RequestModel):
    """A bot; its instructions are one of `prompt`, `prompt_name` and `system_prompt`.

    Attributes:
        name: Its name, for people.
        description: What it is for.
        prompt_name: One of the tenant's prompts: the short form of a `prompt` without label and version.
        prompt: One of the tenant's prompts, resolved for each turn.
        system_prompt: Its instructions as a text, in which braces are braces.
        model: The model; without one, the tenant's `chat.default_model`, then the deployment's.
        temperature: How freely it answers; without it, as the model's default has it.
        max_output_tokens: The most tokens of an answer.
        history_turns: The turns of the conversation that the model is reminded of.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["prompt_name"], "properties": {"prompt_name": {"type": "string"}}},
                {"required": ["system_prompt"], "properties": {"system_prompt": {"type": "string"}}},
                {"required": ["prompt"], "properties": {"prompt": {"type": "object"}}},
            ]
        }
    )

    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=2_000)
    prompt_name: str | None = Field(None, pattern=NAME_PATTERN)
    prompt: PromptReference | None = None
    system_prompt: str | None = Field(None, min_length=1, max_length=100_000)
    model: str | None = Field(None, pattern=ID_PATTERN)
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int = Field(512, ge=1, le=16_384)
    history_turns: int = Field(10, ge=0, le=MAX_HISTORY_TURNS)

    @model_validator(mode="after")
    def _one_source_of_instructions(self) -> Self:
        sources = (self.prompt, self.prompt_name, self.system_prompt)
        if sum(source is not None for source in sources) != 1:
            raise refuse_value("exactly one of prompt, prompt_name and system_prompt is needed")
        return self


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


class BotConfigReply(ReplyModel):
    """A bot's configuration; its prompt is in the form in which it was given.

    Attributes:
        name: Its name, for people.
        description: What it is for.
        prompt_name: Its prompt, where it was given as `prompt_name`.
        prompt: Its prompt, where it was given as `prompt`.
        system_prompt: Its instructions, where they were given as a text.
        model: The model; without one, the tenant's `chat.default_model`, then the deployment's.
        temperature: How freely it answers; without it, as the model's default has it.
        max_output_tokens: The most tokens of an answer.
        history_turns: The turns of the conversation that the model is reminded of.
    """

    name: str | None = None
    description: str | None = None
    prompt_name: str | None = None
    prompt: PromptReferenceReply | None = None
    system_prompt: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_output_tokens: int
    history_turns: int


class BotReply(VersionedReply):
    """A bot as it is stored.

    Attributes:
        bot_id: The bot's id.
        config: Its configuration.
        updated_at: When it was saved last.
    """

    bot_id: str
    config: BotConfigReply
    updated_at: datetime
