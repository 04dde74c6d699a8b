"""Models and bots as OpenAI's clients list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.openai.models import UsableModelReply, UsableModelsReply

if TYPE_CHECKING:
    from functions.chat.openai.forwarding import Forwarding


async def list_usable(forwarding: Forwarding) -> UsableModelsReply:
    """List the models that the tenant may use, by name; bots have a list of their own."""
    usable = await forwarding.models.usable(forwarding.tenant)
    return UsableModelsReply(data=[UsableModelReply(id=name) for name in sorted(usable)])


async def find_usable(forwarding: Forwarding, name: str) -> UsableModelReply:
    """Return a model that the tenant may use, or a bot.

    Raises:
        ModelNotFoundError: There is neither, or not for this tenant.
    """
    usable = await forwarding.models.usable(forwarding.tenant)
    if name not in usable:
        await forwarding.require_bot(name)
    return UsableModelReply(id=name)
