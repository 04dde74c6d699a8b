"""Paths and replies about bots."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from functions.chat.bots.configuration import BotConfigReply
from shared.http.models import PathModel, VersionedReply
from shared.http.paging import PageQuery
from shared.tenancy.source import Source
from shared.validation import text_pattern

ID_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    "1 to 128 letters, digits and . _ -, beginning with a letter or digit",
)
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


class BotPageQuery(PageQuery):
    """Query of bots, which are sorted by id.

    Attributes:
        prefix: The beginning of their ids.
        scope: The tenant's own bots, or the global ones.
    """

    prefix: str | None = Field(None, pattern=ID_PATTERN)
    scope: Source = Source.TENANT


class BotReply(VersionedReply):
    """A bot as it is stored.

    Attributes:
        bot_id: The bot's id.
        config: Its configuration.
        source: Its owner: the tenant, or the platform.
        updated_at: When it was saved last.
    """

    bot_id: str
    config: BotConfigReply
    source: Source
    updated_at: datetime
