"""Models and bots as OpenAI's clients list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.openai.models import BOTS, UsableModelReply, UsableModelsReply
from shared.llm.deployments import BOT_PREFIX

if TYPE_CHECKING:
    from functions.chat.openai.forwarding import Forwarding


MOST_BOTS = 1_000
"""The most bots that are listed: OpenAI's list of models has no pages."""


async def list_usable(forwarding: Forwarding) -> UsableModelsReply:
    """List the models that the tenant may use, by name, and then its bots, by id."""
    usable = await forwarding.models.usable(forwarding.tenant)
    bots = await forwarding.bots.list_ids(MOST_BOTS)
    models = [UsableModelReply(id=name) for name in sorted(usable)]
    return UsableModelsReply(data=[*models, *(_show_bot(f"{BOT_PREFIX}{bot_id}") for bot_id in bots)])


async def find_usable(forwarding: Forwarding, name: str) -> UsableModelReply:
    """Return a model that the tenant may use, or a bot.

    Raises:
        ModelNotFoundError: There is neither, or not for this tenant.
    """
    usable = await forwarding.models.usable(forwarding.tenant)
    if name not in usable:
        await forwarding.require_bot(name)
        return _show_bot(name)
    return UsableModelReply(id=name)


def _show_bot(name: str) -> UsableModelReply:
    return UsableModelReply(id=name, owned_by=BOTS)
