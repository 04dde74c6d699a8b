"""Paths and replies about bots."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from functions.chat.bots.configuration import BotConfigReply
from shared.http.models import PathModel, QueryModel, VersionedReply
from shared.http.paging import PageQuery

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MAX_BOT_ID = 124
"""Shorter than other ids: `bot:{bot_id}` names the bot in the token ledger, in 128 characters."""

MAX_HISTORY_TURNS = 50
"""The most turns that a bot may be reminded of; as many are kept at hand per conversation."""


class BotSource(StrEnum):
    """Owner of a bot: the tenant, or the platform, whose bots every tenant can use."""

    TENANT = "tenant"
    GLOBAL = "global"


class BotPath(PathModel):
    """The path of one bot.

    Attributes:
        bot_id: The bot's id.
    """

    bot_id: str = Field(pattern=ID_PATTERN)


class BotReadScope(QueryModel):
    """Scope of a bot that is read.

    Attributes:
        scope: `tenant` or `global`; without it, the tenant's own bot and else the global one.
    """

    scope: BotSource | None = None


class BotWriteScope(QueryModel):
    """Scope of a bot that is changed.

    Attributes:
        scope: `tenant` for the tenant's own; `global` is the administrator's.
    """

    scope: BotSource = BotSource.TENANT


class BotPageQuery(PageQuery):
    """Query of bots, which are sorted by id.

    Attributes:
        scope: The tenant's own bots, or the global ones.
    """

    scope: BotSource = BotSource.TENANT


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
    source: BotSource
    updated_at: datetime
