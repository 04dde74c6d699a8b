"""Copies of a conversation's visible turns, which begin another conversation.

A copy, not a reference: the first one may be removed, or its turns may end, and neither has to know of the
other. It is made in batches, each of which leaves a conversation that is right as far as it goes and says how
far that is; who asks for it again goes on from there. Its turns are numbered anew, from 1 on.
"""

from __future__ import annotations

import json
from collections import deque
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
    in_work,
    raise_unless_changed,
    recency_of,
    refuse_while_in_work,
)
from functions.chat.conversations.reservation import RESERVATION_LEASE, RESERVATION_SECONDS
from functions.chat.conversations.retention import seconds_left, seconds_left_of_head
from functions.chat.conversations.stored_models import (
    HEAD,
    RECENT,
    ForkOrigin,
    HeadItem,
    RecentItem,
    TurnItem,
    TurnStatus,
    turn_id,
)
from functions.chat.conversations.turns import VisibleTurns
from shared.cosmos.container import BatchFailedError, Patch, PatchOperation
from shared.cosmos.leases import Lease
from shared.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from functions.chat.conversations.place import ConversationPlace
    from functions.chat.conversations.stored_models import RecentTurn, RunningSummary
    from shared.clock import Clock

_AT_ONCE = 90
_BYTES_AT_ONCE = 1024 * 1024


class ConversationFork:
    """A conversation that is copied from another one.

    Args:
        source: The conversation that is copied.
        target: The one that it becomes.
        clock: Tells the time.
    """

    def __init__(self, source: ConversationPlace, target: ConversationPlace, clock: Clock) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._lease = Lease.begin(clock, RESERVATION_SECONDS)

    async def copy(self, turn: int | None, if_match: str | None = None) -> HeadItem:
        """Copy all visible turns that were answered, or those up to one of them.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            TurnNotFoundError: No such turn is visible.
            PreconditionFailedError: The conversation's state is another one than the one named.
            ConflictError: A turn is in work, none was answered, or the copy was gone on with.
        """
        head = await self._source.read()
        copy = await self._target.find()
        if copy is None:
            self._source.check_state(head, if_match)
            refuse_while_in_work(head, self._source.name, self._clock)
            copy = await self._begin(head, await self._last_to_copy(head, turn))
        else:
            copy = await self._resume(copy)
        return await self._copy_turns(head, copy)

    async def _last_to_copy(self, head: HeadItem, turn: int | None) -> int:
        visible = VisibleTurns(self._source.own, head)
        if turn is not None:
            if not await visible.has(turn):
                raise TurnNotFoundError(turn)
            return turn
        done = await visible.read_last_done(1)
        if not done:
            raise ConflictError(
                f"Conversation '{self._source.name}' has no answered turn to fork from",
                {"conversation_id": self._source.name},
            )
        return done[0].number

    async def _begin(self, head: HeadItem, last: int) -> HeadItem:
        now = self._clock.now()
        copy = HeadItem(
            bot_id=self._target.bot_id,
            conversation_id=self._target.stored_id,
            title=head.title,
            user_id=self._target.tenant.only_user or head.user_id,
            turns=0,
            holder=self._lease.holder,
            busy_until=self._lease.until,
            created_at=now,
            updated_at=now,
            recency=recency_of(now, self._target.stored_id),
            forked_from=ForkOrigin(conversation_id=self._source.name, turn=last),
            memory_tokens=head.memory_tokens,
            expires_at=head.expires_at,
            ttl=seconds_left_of_head(head.expires_at, self._clock),
        )
        own = self._target.own
        try:
            return HeadItem.from_json((await own.batch([own.creating(copy)]))[0])
        except BatchFailedError as error:
            raise_unless_changed(error)
            return await self._reread(error)

    async def _resume(self, copy: HeadItem) -> HeadItem:
        """Go on with a copy that was begun: take it over, unless it is whole."""
        origin = copy.forked_from
        if origin is None or origin.conversation_id != self._source.name:
            raise ConflictError(
                f"Conversation '{self._target.name}' is there already",
                {"conversation_id": self._target.name},
            )
        if origin.is_whole:
            return copy
        refuse_while_in_work(copy, self._target.name, self._clock)
        if copy.turns != origin.turns:
            raise ConflictError(
                f"Conversation '{self._target.name}' was gone on with before it was whole",
                {"conversation_id": self._target.name},
            )
        own = self._target.own
        take = Patch(RESERVATION_LEASE.take(self._lease), etag=copy.etag)
        try:
            return HeadItem.from_json((await own.batch([own.patching(HEAD, take)]))[0])
        except BatchFailedError as error:
            raise_unless_changed(error)
            return await self._reread(error)

    async def _copy_turns(self, head: HeadItem, copy: HeadItem) -> HeadItem:
        visible = VisibleTurns(self._source.own, head)
        memory_tokens = MOST_MEMORY if head.memory_tokens is None else head.memory_tokens
        recent: deque[RecentTurn] = deque(maxlen=most_turns(memory_tokens))
        is_new = copy.turns == 0
        summary = await self._summary_to_copy(head, copy) if is_new else None
        summarized = 0
        while (origin := copy.forked_from) is not None and not origin.is_whole:
            found, has_more = await visible.read_after(origin.copied, _AT_ONCE)
            wanted = [turn for turn in found if turn.number <= origin.turn]
            is_last = not has_more or len(wanted) < len(found) or found[-1].number >= origin.turn
            done = [turn for turn in wanted if turn.status is TurnStatus.DONE]
            for turns in _in_batches(done):
                items = [
                    self._renumber(turn, copy.turns + place) for place, turn in enumerate(turns, start=1)
                ]
                recent.extend(map(remember, items))
                summarized += sum(summary is not None and one.number <= summary.through for one in turns)
                copy = await self._store(copy, items, turns[-1].number)
            if is_last:
                if summary is not None:
                    summary = summary.model_copy(update={"through": summarized})
                kept = after_summary(recent, summary)
                known = Recollection(
                    kept, memory_tokens if is_new else 0, whole=len(kept) < len(recent), summary=summary
                )
                copy = await self._end(copy, origin.turn, keep_recent(copy, known, self._clock))
            elif not done:
                copy = await self._store(copy, [], wanted[-1].number)
        return copy

    async def _summary_to_copy(self, head: HeadItem, copy: HeadItem) -> RunningSummary | None:
        """Return the summary, unless it speaks of turns that are not copied."""
        last = 0 if copy.forked_from is None else copy.forked_from.turn
        return summary_until(await self._source.own.read(RecentItem, RECENT), head, last)

    async def _store(self, copy: HeadItem, items: Sequence[TurnItem], copied: int) -> HeadItem:
        """Store some more turns, and that they are copied."""
        own = self._target.own
        count = copy.turns + len(items)
        steps = (
            PatchOperation("set", "/turns", count),
            PatchOperation("set", "/forked_from/turns", count),
            PatchOperation("set", "/forked_from/copied", copied),
            RESERVATION_LEASE.extend(self._lease.extend(self._clock, RESERVATION_SECONDS)),
        )
        head = own.patching(HEAD, Patch(steps, etag=copy.etag))
        try:
            return HeadItem.from_json((await own.batch([head, *map(own.creating, items)]))[0])
        except BatchFailedError as error:
            raise_unless_changed(error)
            stored = await self._reread(error)
            if stored.turns != count:
                raise in_work(self._target.name) from error
            return stored

    async def _end(self, copy: HeadItem, last: int, recent: RecentItem) -> HeadItem:
        """Let the copy be gone on with."""
        own = self._target.own
        steps = (PatchOperation("set", "/forked_from/copied", last), RESERVATION_LEASE.release())
        head = own.patching(HEAD, Patch(steps, etag=copy.etag))
        try:
            return HeadItem.from_json((await own.batch([head, own.upserting(recent)]))[0])
        except BatchFailedError as error:
            raise_unless_changed(error)
            return await self._reread(error)

    async def _reread(self, error: BatchFailedError) -> HeadItem:
        """Return the copy where only an answer of the store was lost.

        Raises:
            ConflictError: Somebody else has it now.
        """
        copy = await self._target.find()
        if copy is None or copy.holder != self._lease.holder:
            raise in_work(self._target.name) from error
        return copy

    def _renumber(self, turn: TurnItem, number: int) -> TurnItem:
        return turn.model_copy(
            update={
                "id": turn_id(number),
                "number": number,
                "conversation_id": self._target.stored_id,
                "holder": self._lease.holder,
                "operation_id": None,
                "rating": None,
                "ttl": seconds_left(turn.expires_at, self._clock),
            }
        )


def _in_batches(turns: Sequence[TurnItem]) -> Iterator[list[TurnItem]]:
    """Cut turns into batches that the store takes."""
    batch: list[TurnItem] = []
    size = 0
    for turn in turns:
        length = len(json.dumps([turn.message, turn.response]))
        if batch and size + length > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(turn)
        size += length
    if batch:
        yield batch
