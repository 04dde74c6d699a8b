"""Changes of a conversation that ask no model: its title, its visible path, ratings of its turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.conversations.errors import TurnNotFoundError
from functions.chat.conversations.history import most_turns
from functions.chat.conversations.recent import (
    MOST_MEMORY,
    Recollection,
    after_summary,
    keep_recent,
    remember,
    summary_until,
)
from functions.chat.conversations.repository import (
    abandoned_operations,
    in_work,
    path_operations,
    raise_unless_changed,
    refuse_while_in_work,
    segment_operations,
)
from functions.chat.conversations.reservation import RESERVATION_LEASE, PathChange
from functions.chat.conversations.retention import seconds_left, seconds_left_of_head
from functions.chat.conversations.stored_models import (
    HEAD,
    RECENT,
    HeadItem,
    RecentItem,
    TurnItem,
    TurnRating,
    TurnStatus,
    turn_id,
)
from functions.chat.conversations.turns import VisibleTurns
from shared.cosmos.container import BatchFailedError, ItemChangedError, Patch, PatchOperation
from shared.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from functions.chat.conversations.path import VisiblePath
    from functions.chat.conversations.place import ConversationPlace
    from functions.chat.conversations.stored_models import Rating
    from shared.clock import Clock

_EDITS_KNOWN = 16
_MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Edit:
    """One change that a caller asks for.

    Attributes:
        edit_id: Its id, the same where it is asked for again: what was made is not made again.
        if_match: The state that is to be changed; None for whichever is there.
    """

    edit_id: str
    if_match: str | None = None


class ConversationEdits:
    """Changes of one conversation, each made as a whole or not at all."""

    def __init__(self, place: ConversationPlace, clock: Clock) -> None:
        self._place = place
        self._clock = clock

    async def rename(self, edit: Edit, title: str | None) -> HeadItem:
        """Give the conversation a title, or none.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: It is being changed all the while.
        """
        for _ in range(_MOST_ROUNDS):
            head = await self._place.read()
            if edit.edit_id in head.edits:
                return head
            self._place.check_state(head, edit.if_match)
            change = (
                PatchOperation("set", "/title", title),
                self._keeping_its_end(head),
                _noting(head, edit),
            )
            try:
                return await self._place.own.patch(HeadItem, HEAD, Patch(change, etag=head.etag))
            except ItemChangedError:
                continue
        raise in_work(self._place.name)

    async def undo(self, edit: Edit) -> HeadItem:
        """Hide the last turn that was answered, and what came after it.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work, or there is none to hide.
        """

        async def plan(visible: VisibleTurns) -> int:
            done = await visible.read_last_done(1)
            if not done:
                raise ConflictError(
                    f"Conversation '{self._place.name}' has no answered turn to undo",
                    {"conversation_id": self._place.name},
                )
            return done[0].number - 1

        return await self._cut(edit, plan)

    async def rewind(self, edit: Edit, turn: int) -> HeadItem:
        """Hide all turns after a visible one; 0 hides them all.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            TurnNotFoundError: No such turn is visible.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work.
        """

        async def plan(visible: VisibleTurns) -> int:
            if turn and not await visible.has(turn):
                raise TurnNotFoundError(turn)
            return turn

        return await self._cut(edit, plan)

    async def rate(self, turn: int, rating: Rating, comment: str | None, if_match: str | None) -> TurnItem:
        """Judge a turn that was answered; a judgement before it is replaced.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            TurnNotFoundError: It has no such turn.
            ConflictError: The turn has no answer.
            ItemChangedError: The turn's state is another one than the one named.
        """
        await self._place.read()
        stored = await self._place.own.read(TurnItem, turn_id(turn))
        if stored is None:
            raise TurnNotFoundError(turn)
        if stored.status is not TurnStatus.DONE:
            raise ConflictError(f"Turn {turn} has no answer", {"turn": turn})
        judged = TurnRating(rating=rating, comment=comment, rated_at=self._clock.now())
        change = (
            PatchOperation("set", "/rating", judged.model_dump(mode="json")),
            PatchOperation("set", "/ttl", seconds_left(stored.expires_at, self._clock)),
        )
        return await self._place.own.patch(TurnItem, stored.id, Patch(change, etag=if_match))

    async def _cut(self, edit: Edit, plan: Callable[[VisibleTurns], Awaitable[int]]) -> HeadItem:
        """Hide all turns after the one that the plan names."""
        own = self._place.own
        for _ in range(_MOST_ROUNDS):
            head = await self._place.read()
            if edit.edit_id in head.edits:
                return head
            self._place.check_state(head, edit.if_match)
            refuse_while_in_work(head, self._place.name, self._clock)
            visible = VisibleTurns(self._place.own, head)
            last_kept = await plan(visible)
            path = await visible.cut(last_kept, head.turns + 1)
            change = PathChange(*path.spill())
            recent = await self._recall(head, path, last_kept)
            steps = (
                RESERVATION_LEASE.release(),
                PatchOperation("set", "/pending", None),
                self._keeping_its_end(head),
                _noting(head, edit),
                *path_operations(change),
            )
            try:
                stored = await own.batch(
                    [
                        own.patching(HEAD, Patch(steps, etag=head.etag)),
                        own.upserting(recent),
                        *abandoned_operations(self._place, head, self._clock),
                        *segment_operations(self._place, head, change),
                    ]
                )
            except BatchFailedError as error:
                raise_unless_changed(error)
            else:
                return HeadItem.from_json(stored[0])
        raise in_work(self._place.name)

    async def _recall(self, head: HeadItem, path: VisiblePath, last_kept: int) -> RecentItem:
        """Make the item of what the next turn may be reminded of, with nothing in it that is hidden now."""
        own = self._place.own
        memory_tokens = MOST_MEMORY if head.memory_tokens is None else head.memory_tokens
        limit = most_turns(memory_tokens)
        summary = summary_until(await own.read(RecentItem, RECENT), head, last_kept)
        known = await VisibleTurns(own, head, path).read_last_done(limit + 1)
        before = [remember(turn) for turn in known]
        kept = after_summary(before, summary)
        whole = len(known) <= limit or len(kept) < len(before)
        return keep_recent(head, Recollection(kept, memory_tokens, whole, summary), self._clock)

    def _keeping_its_end(self, head: HeadItem) -> PatchOperation:
        return PatchOperation("set", "/ttl", seconds_left_of_head(head.expires_at, self._clock))


def _noting(head: HeadItem, edit: Edit) -> PatchOperation:
    return PatchOperation("set", "/edits", [*head.edits, edit.edit_id][-_EDITS_KNOWN:])
