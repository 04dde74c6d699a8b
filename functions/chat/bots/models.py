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
    """The path of one bot."""

    bot_id: str = Field(pattern=ID_PATTERN)


class BotConfig(RequestModel):
    """`PUT /bots/{bot_id}`: the bot's instructions are one of `prompt`, `prompt_name` and `system_prompt`.

    `prompt_name` is the short form of a `prompt` without label and version.
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
    """A prompt by its name, and by a label or a version where one was said."""

    name: str
    label: str | None = None
    version: int | None = None


class BotConfigReply(ReplyModel):
    """A bot's configuration; its prompt is in the form in which it was given."""

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
    """A bot as it is stored."""

    bot_id: str
    config: BotConfigReply
    updated_at: datetime
