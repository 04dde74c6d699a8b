"""Stored model of a bot."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from shared.cosmos.partition import StoredItem


class StoredPromptReference(BaseModel):
    """A prompt by its name, and by a label or a version where one was said."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: str
    label: str | None = None
    version: int | None = None


class StoredBotConfig(BaseModel):
    """A bot's configuration; what a newer release adds or allows is tolerated."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: str | None = None
    description: str | None = None
    prompt_name: str | None = None
    prompt: StoredPromptReference | None = None
    system_prompt: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_output_tokens: int
    history_turns: int

    @property
    def prompt_reference(self) -> StoredPromptReference | None:
        """Return the prompt that instructs the bot, in whichever of the two forms it is named."""
        if self.prompt is None and self.prompt_name is not None:
            return StoredPromptReference(name=self.prompt_name)
        return self.prompt


class BotItem(StoredItem):
    """One bot; its id is the item's."""

    config: StoredBotConfig
    updated_at: datetime
