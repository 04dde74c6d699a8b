"""A bot's conversations in a list, the last gone on with first.

Each head has a text that sorts so; those that an older release stored and that were not gone on with since
have none, and come after the others, by id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.conversations.stored_models import ConversationItem
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition

if TYPE_CHECKING:
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext

_IS_HEAD = "c.kind = 'head'"
_OLDER = "id."
"""What the cursors of the older ones begin with; the others' begin with a digit."""


class ConversationIndex:
    """The conversations of one tenant, or of one of its users, with one bot."""

    def __init__(self, tenant: TenantContext, container: Container, bot_id: str) -> None:
        self._tenant = tenant
        self._own = Partition.of(tenant, container, bot_id)

    async def page(self, after: str | None, limit: int, user_id: str | None = None) -> list[ConversationItem]:
        """Return conversations after a cursor: all of them, or those of one user.

        Raises:
            PermissionDeniedError: A user's token names another user.
        """
        if self._tenant.only_user is not None:
            user_id = self._tenant.user_named(user_id)
        if after is not None and after.startswith(_OLDER):
            return await self._older(after.removeprefix(_OLDER), limit, user_id)
        found = await self._page("recency", after, limit, "IS_STRING(c.recency)", user_id)
        if len(found) < limit:
            found += await self._older(None, limit - len(found), user_id)
        return found

    @staticmethod
    def cursor_of(conversation: ConversationItem) -> str:
        """Return the cursor after a conversation."""
        return conversation.recency or f"{_OLDER}{conversation.conversation_id}"

    def name_of(self, conversation: ConversationItem) -> str:
        """Return the id by which its reader asks for it."""
        if self._tenant.only_user is not None and conversation.name is not None:
            return conversation.name
        return conversation.conversation_id

    async def _older(self, after: str | None, limit: int, user_id: str | None) -> list[ConversationItem]:
        return await self._page("conversation_id", after, limit, "NOT IS_STRING(c.recency)", user_id)

    async def _page(
        self, by: str, after: str | None, limit: int, where: str, user_id: str | None
    ) -> list[ConversationItem]:
        where = f"{_IS_HEAD} AND {where}"
        parameters: dict[str, JsonValue] = {}
        if user_id is not None:
            where, parameters = f"{where} AND c.user_id = @user", {"@user": user_id}
        page = KeysetPage(limit, after, by, where=where, parameters=parameters)
        return await self._own.read_prefix_page(ConversationItem, page)
