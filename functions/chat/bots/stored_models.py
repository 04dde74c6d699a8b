"""Stored model of a bot; what a newer release adds or allows is tolerated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.cosmos.partition import StoredItem


class _StoredPart(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class StoredLlm(_StoredPart):
    """The model that answers, and how it is called.

    Attributes:
        max_output_tokens: Not stored where it is None: a release before this one reads a number there, or
            nothing.
    """

    provider: str = "openai"
    model: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = Field(None, exclude_if=lambda tokens: tokens is None)
    reasoning_effort: str | None = None


class StoredPromptReference(_StoredPart):
    """A prompt by its name, and by a label or a version where one was said."""

    name: str
    label: str | None = None
    version: int | None = None


class StoredStorage(_StoredPart):
    """Store of a bot's conversations."""

    backend: str = "cosmos"


class StoredMemory(_StoredPart):
    """Memory of a bot."""

    type: str = "buffer"
    max_tokens: int = 4_000
    summary_model: str | None = None


class StoredAnswerFormat(_StoredPart):
    """Form of a bot's answers.

    Attributes:
        schema_text: Its schema as JSON: the store then has no path of it, and the cache one text.
    """

    type: str
    schema_text: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _write_schema(cls, given: object) -> object:
        if not isinstance(given, Mapping) or not isinstance(given.get("schema"), Mapping):
            return given
        text = json.dumps(given["schema"], ensure_ascii=False, separators=(",", ":"))
        return {"type": given.get("type"), "schema_text": text}

    def as_written(self) -> dict[str, object]:
        """Return it as callers send and get it."""
        return {
            "type": self.type,
            "schema": None if self.schema_text is None else json.loads(self.schema_text),
        }


class StoredBotLimits(_StoredPart):
    """Bounds of what users send."""

    max_message_characters: int = 100_000
    turns_per_minute: int | None = None


class StoredBotConfig(_StoredPart):
    """A bot's configuration; one in the flat shape of before is read as this one."""

    llm: StoredLlm = StoredLlm()
    system_prompt: str | None = None
    prompt: StoredPromptReference | None = None
    conversation_storage: StoredStorage = StoredStorage()
    memory: StoredMemory = StoredMemory()
    response_format: StoredAnswerFormat | None = None
    limits: StoredBotLimits = StoredBotLimits()
    retention_days: int | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_flat_shape(cls, stored: object) -> object:
        is_flat = isinstance(stored, Mapping) and "llm" not in stored and "max_output_tokens" in stored
        return _reshape(stored) if is_flat and isinstance(stored, Mapping) else stored


class BotName(StoredItem):
    """A bot, of which only its id is read."""


class BotItem(StoredItem):
    """One bot; its id is the item's."""

    config: StoredBotConfig
    updated_at: datetime


def _reshape(flat: Mapping[str, object]) -> dict[str, object]:
    """Put what was stored in the flat shape where it stands now.

    What counted turns has no equal in tokens: a bot that was reminded of any has the default memory. Its name
    for people becomes its description, where it has none.
    """
    llm = {name: flat[name] for name in ("model", "temperature", "max_output_tokens") if name in flat}
    prompt_name = flat.get("prompt_name")
    return {
        "llm": llm,
        "system_prompt": flat.get("system_prompt"),
        "prompt": flat.get("prompt") or (None if prompt_name is None else {"name": prompt_name}),
        "memory": {"max_tokens": 0} if flat.get("history_turns") == 0 else {},
        "description": flat.get("description") or flat.get("name"),
    }
