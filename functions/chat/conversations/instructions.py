"""Instructions of a bot, as the model gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.contracts import ChatMessage, PromptUse
from shared.errors import ValidationError
from shared.prompts.rendering import render_for_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.chat.bots.stored_models import StoredBotConfig
    from shared.prompts.library import ResolvesPrompts

type Instructions = tuple[tuple[ChatMessage, ...], PromptUse | None]
"""A bot's instructions, and the version of the prompt that they come from, if they do."""


async def read_instructions(
    bot: StoredBotConfig, prompts: ResolvesPrompts, variables: Mapping[str, str]
) -> Instructions:
    """Return a bot's instructions, and the version of the prompt that they come from, if they do.

    Raises:
        PromptNotFoundError: Its prompt, or the version or label of it, is not there.
        ValidationError: The variables do not fit.
    """
    reference = bot.prompt
    if reference is not None:
        prompt = await prompts.resolve(reference.name, reference.label, reference.version)
        use = PromptUse(name=prompt.version.name, version=prompt.version.version)
        return render_for_model(prompt, variables, "system"), use
    if variables:
        names = sorted(variables)
        raise ValidationError(
            f"This bot's instructions have no variables (unknown: {', '.join(names)})",
            {"missing": [], "unknown": names},
        )
    return (ChatMessage(role="system", content=bot.system_prompt or ""),), None
