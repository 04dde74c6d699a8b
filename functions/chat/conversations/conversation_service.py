"""Show, change, copy and remove conversations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.chat.conversations.edits import ConversationEdits
from functions.chat.conversations.fork import ConversationFork
from functions.chat.conversations.models import (
    ConversationExportReply,
    ConversationHeadReply,
    ConversationReply,
    ConversationSummary,
    RatedTurnReply,
)
from functions.chat.conversations.recent import kept_summary, summary_until
from functions.chat.conversations.rendering import (
    render_exported_turn,
    render_head,
    render_rated_turn,
    render_running_summary,
    render_summary,
    render_turn,
)
from functions.chat.conversations.stored_models import RECENT, RecentItem
from functions.chat.conversations.turns import VisibleTurns
from shared.http.paging import ListReply, Page, cut_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.chat.conversations.edits import Edit
    from functions.chat.conversations.index import ConversationIndex
    from functions.chat.conversations.models import (
        ConversationPageQuery,
        ExportPageQuery,
        RatingRequest,
        TurnPageQuery,
    )
    from functions.chat.conversations.place import ConversationPlace
    from functions.chat.conversations.repository import ConversationRepository
    from functions.chat.conversations.service import ReadsBots
    from functions.chat.conversations.stored_models import HeadItem, TurnItem
    from functions.chat.conversations.turns import TurnPage
    from shared.clock import Clock
    from shared.http.paging import PageReply, RenderedPage


@dataclass(frozen=True, slots=True)
class ConversationService:
    """One bot's conversations as the tenant reads and changes them.

    Attributes:
        bots: The bots that the tenant can use.
        index: The bot's conversations.
        open_conversation: Opens one of them by its id.
        clock: Tells the time.
    """

    bots: ReadsBots
    index: ConversationIndex
    open_conversation: Callable[[str], ConversationRepository]
    clock: Clock

    async def list(self, bot_id: str, query: ConversationPageQuery) -> ListReply[ConversationSummary]:
        """Return one page of conversations, the last gone on with first; those of a removed bot, too.

        Raises:
            BotNotFoundError: The tenant has no such bot and no conversation with it.
            PermissionDeniedError: A user's token names another user.
        """
        found = await self.index.page(query.cursor, query.fetch_limit, query.user_id)
        if not found:
            await self.bots.read(bot_id)
        page = cut_page(found, query.limit, self.index.cursor_of)
        return ListReply[ConversationSummary].of(
            page, lambda one: render_summary(one, self.index.name_of(one))
        )

    async def read(self, conversation_id: str, query: TurnPageQuery) -> ConversationReply:
        """Return a conversation with one page of its visible turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        place, head = await self._find(conversation_id)
        found = await VisibleTurns(place.own, head).read_after(int(query.cursor or 0), query.limit)
        page = _page(found).render(render_turn)
        return _with_page(ConversationReply, dict(render_head(head, conversation_id)), page)

    async def export(self, conversation_id: str, query: ExportPageQuery) -> ConversationExportReply:
        """Return a conversation with one page of all turns that are kept, the hidden ones included.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        place, head = await self._find(conversation_id)
        turns = VisibleTurns(place.own, head)
        found = await turns.read_all_after(int(query.cursor or 0), query.limit)
        visible = await turns.visible_among(found.turns)
        page = _page(found).render(lambda turn: render_exported_turn(turn, is_visible=turn.number in visible))
        at_hand = summary_until(await place.own.read(RecentItem, RECENT), head, head.turns)
        summary = render_running_summary(kept_summary(at_hand, self.clock))
        fields = dict(render_head(head, conversation_id)) | {"summary": summary}
        return _with_page(ConversationExportReply, fields, page)

    async def rename(self, conversation_id: str, edit: Edit, title: str | None) -> ConversationHeadReply:
        """Give a conversation a title, or none.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
        """
        return render_head(await self._edits(conversation_id).rename(edit, title), conversation_id)

    async def undo(self, conversation_id: str, edit: Edit) -> ConversationHeadReply:
        """Hide the last answered turn.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work, or there is none to hide.
        """
        return render_head(await self._edits(conversation_id).undo(edit), conversation_id)

    async def rewind(self, conversation_id: str, edit: Edit, turn: int) -> ConversationHeadReply:
        """Hide what comes after a turn.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            TurnNotFoundError: No such turn is visible.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work.
        """
        return render_head(await self._edits(conversation_id).rewind(edit, turn), conversation_id)

    async def fork(self, conversation_id: str, edit: Edit, turn: int | None) -> ConversationHeadReply:
        """Begin another conversation with the visible turns up to one of them.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            TurnNotFoundError: No such turn is visible.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work, or none was answered.
        """
        source, target = (
            self.open_conversation(conversation_id).place,
            self.open_conversation(edit.edit_id).place,
        )
        copy = await ConversationFork(source, target, self.clock).copy(turn, edit.if_match)
        return render_head(copy, edit.edit_id)

    async def rate(
        self, conversation_id: str, turn: int, request: RatingRequest, if_match: str | None
    ) -> RatedTurnReply:
        """Judge a turn.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            TurnNotFoundError: It has no such turn.
            ConflictError: The turn has no answer.
            PreconditionFailedError: The turn's state is another one than the one named.
        """
        edits = self._edits(conversation_id)
        return render_rated_turn(await edits.rate(turn, request.rating, request.comment, if_match))

    async def delete(self, conversation_id: str, if_match: str | None = None) -> None:
        """Remove a conversation with all of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
        """
        await self.open_conversation(conversation_id).delete(if_match)

    async def _find(self, conversation_id: str) -> tuple[ConversationPlace, HeadItem]:
        place = self.open_conversation(conversation_id).place
        return place, await place.read()

    def _edits(self, conversation_id: str) -> ConversationEdits:
        return ConversationEdits(self.open_conversation(conversation_id).place, self.clock)


def _page(found: TurnPage) -> Page[TurnItem]:
    next_cursor = str(found.turns[-1].number) if found.has_more else None
    return Page(found.turns, lambda turn: str(turn.number), next_cursor)


def _with_page[R: PageReply](reply: type[R], head: dict[str, Any], page: RenderedPage[Any]) -> R:
    fields = {**head, "items": page.items, "next_cursor": page.next_cursor}
    return reply.model_validate(fields).with_encoded(page.encoded)
