"""A tenant's conversations in Cosmos: a head, one item per turn, and the last turns at hand in one item.

A turn's number is reserved in the store before the model is paid: one batch counts it on the head, on the
condition that nobody has a turn in work, puts the message there, and reads the last turns. Another batch
stores the turn with its answer, frees the head, and keeps the last turns. So a turn takes two requests,
whatever the conversation's length; more where it is the first, where a worker has died, or where another one
is in the way. Turns of one conversation come one after the other, since each needs the answer of the one
before: a second message waits two seconds and is then told to come back.

The turn of a worker that died is passed over when its time is up: whoever comes next stores it as it is,
pending. Should the worker still answer, the answer goes into its own turn: every later write names the holder
that the turn was reserved by, so none can touch another turn, not even one of the same number in a
conversation that was deleted and begun anew. So clocks that differ can at worst let a turn begin before the
one before it has its answer; nothing is lost or overwritten.

docs/adr/0039-conversations-and-their-visible-path.md has the reasons.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from functions.chat.conversations.errors import ConversationNotFoundError
from functions.chat.conversations.history import most_turns
from functions.chat.conversations.place import ConversationPlace
from functions.chat.conversations.recent import (
    Recollection,
    after_summary,
    keep_recent,
    kept_summary,
    remember,
    still_kept,
    summary_until,
)
from functions.chat.conversations.reservation import (
    ATTEMPT_WAITS,
    RESERVATION_LEASE,
    RESERVATION_SECONDS,
    NewTurn,
    PathChange,
    Reservation,
)
from functions.chat.conversations.retention import end_of, later, seconds_left, seconds_left_of_head
from functions.chat.conversations.stored_models import (
    HEAD,
    RECENT,
    HeadItem,
    PathSegmentItem,
    PendingTurn,
    RecentItem,
    TurnItem,
    TurnStatus,
    turn_id,
)
from functions.chat.conversations.turns import VisibleTurns
from shared.contracts import NOTHING_USED
from shared.cosmos.container import (
    BatchFailedError,
    BatchFailure,
    BatchOperation,
    Patch,
    PatchOperation,
    Query,
)
from shared.cosmos.leases import Lease
from shared.cosmos.partition import StoredItem
from shared.cosmos.queries import select
from shared.errors import ConflictError
from shared.resilience.run_to_completion import run_or_undo

if TYPE_CHECKING:
    from datetime import datetime

    from functions.chat.conversations.stored_models import AnswerSource, RecentTurn
    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_MOST_IN_A_BATCH = 100
_MOST_ROUNDS = 10
_ANSWERED = select(TurnItem, where=f"c.operation_id = @operation_id AND c.status = '{TurnStatus.DONE}'")
_NOBODY_WORKS = "c.busy_until = 0"
_LATEST_MICROSECOND = 10**17
_LAST_AND_ONE_MORE = 2
"""Turns that are read beside those that are wanted: one that is asked again, and one that tells of more."""


class ConversationRepository:
    """One conversation of one tenant with one bot."""

    backend = "cosmos"

    @property
    def name(self) -> str:
        """The conversation's id, as its caller knows it."""
        return self.place.name

    def __init__(
        self, tenant: TenantContext, container: Container, clock: Clock, *, bot_id: str, conversation_id: str
    ) -> None:
        self.place = ConversationPlace(tenant, container, bot_id=bot_id, conversation_id=conversation_id)
        self._tenant = tenant
        self._clock = clock

    async def answered(self, operation_id: str) -> TurnItem | None:
        """Return the turn that answered an operation, if one has."""
        if self._tenant.only_user is not None:
            await self.place.find()
        found = await self.place.own.query(TurnItem, Query(_ANSWERED, {"@operation_id": operation_id}, 1))
        return found[0] if found else None

    async def reserve(self, new: NewTurn) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            PermissionDeniedError: A user's token names another user.
            ConflictError: Another turn of this conversation is still in work.
        """
        new = replace(new, user_id=self._tenant.user_named(new.user_id))
        lease = Lease.begin(self._clock, RESERVATION_SECONDS)
        for wait in (0.0, *ATTEMPT_WAITS):
            if wait:
                await self._clock.sleep(wait)
            lease = lease.extend(self._clock, RESERVATION_SECONDS)
            reserved = await run_or_undo(self._try_to_reserve(lease, new), self._give_back)
            if reserved is not None:
                return reserved
            new = replace(new, begins=False)
        raise in_work(self.place.name)

    async def reserve_again(self, new: NewTurn, if_match: str | None = None) -> Reservation:
        """Begin a turn that takes the place of the last visible one that was answered, with its message.

        That one stays visible until the new one has its answer.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            PreconditionFailedError: The conversation's state is another one than the one named.
            ConflictError: A turn is in work, or none was answered.
        """
        lease = Lease.begin(self._clock, RESERVATION_SECONDS)
        for _ in range(_MOST_ROUNDS):
            lease = lease.extend(self._clock, RESERVATION_SECONDS)
            head = await self.place.read()
            is_ours = head.holder == lease.holder
            if not is_ours:
                self.place.check_state(head, if_match)
                refuse_while_in_work(head, self.place.name, self._clock)
            number = head.turns if is_ours else head.turns + 1
            visible = VisibleTurns(self.place.own, head)
            wanted = most_turns(new.memory_tokens) + _LAST_AND_ONE_MORE
            done = await visible.read_last_done(wanted)
            if not done:
                raise ConflictError(
                    f"Conversation '{self.place.name}' has no answer yet",
                    {"conversation_id": self.place.name},
                )
            change = PathChange(*(await visible.cut(done[-1].number - 1, number)).spill())
            at_hand = await self.place.own.read(RecentItem, RECENT) if new.has_summary else None
            summary = summary_until(at_hand, head, done[-1].number - 1)
            again = replace(new, message=done[-1].message, user_id=self._tenant.only_user or head.user_id)
            pending = self._pending(again)
            if not is_ours and not await self._take(head, lease, pending):
                continue
            return Reservation(
                number=number,
                holder=lease.holder,
                new=again,
                head=head,
                pending=pending,
                recent=after_summary([remember(turn) for turn in done[:-1]], summary),
                is_enough=True,
                whole=len(done) < wanted or (summary is not None and done[0].number <= summary.through),
                before=done[-1].number,
                change=change,
                summary=summary,
            )
        raise in_work(self.place.name)

    async def load_history(self, turn: Reservation) -> None:
        """Look up what the bot may be reminded of, where it is not at hand."""
        summary = kept_summary(turn.summary, self._clock)
        if not turn.is_enough or summary is not turn.summary:
            turn.summary = summary
            wanted = most_turns(turn.new.memory_tokens) + _LAST_AND_ONE_MORE
            found = await VisibleTurns(self.place.own, turn.head).read_last_done(wanted)
            before = [remember(one) for one in found if one.number < turn.before]
            turn.recent, turn.is_enough = after_summary(before, summary), True
            turn.whole = len(found) < wanted or len(turn.recent) < len(before)
        turn.recent = still_kept(turn.recent, self._clock)

    async def complete(
        self, turn: Reservation, response: str, usage: Usage, source: AnswerSource | None = None
    ) -> TurnItem:
        """Store a turn with its answer, let the next one begin, and return what is stored.

        Raises:
            ConversationNotFoundError: The conversation was deleted meanwhile.
        """
        item = self._ended(turn, TurnStatus.DONE).model_copy(
            update={"response": response, "usage": usage, "source": source}
        )
        recent = self._recall(turn, remember(item, turn.tokens))
        end = later(turn.head.expires_at, item.expires_at)
        change = [
            PatchOperation("set", "/memory_tokens", turn.new.memory_tokens),
            PatchOperation("set", "/expires_at", end),
            PatchOperation("set", "/ttl", seconds_left_of_head(end, self._clock)),
        ]
        others = [self.place.own.upserting(recent)]
        if turn.change is not None:
            change += path_operations(turn.change)
            others += segment_operations(self.place, turn.head, turn.change)
        await self._finish(turn, item, tuple(change), others)
        return item

    async def fail(self, turn: Reservation, usage: Usage = NOTHING_USED) -> None:
        """Store a turn that has no answer, with what it took all the same, and let the next one begin.

        A summary that was paid for is kept.

        Raises:
            ConversationNotFoundError: The conversation was deleted meanwhile.
        """
        # The history of a turn that takes another one's place lacks that one, which stays visible now.
        is_kept = turn.has_new_summary and turn.change is None
        recent = [self.place.own.upserting(self._recall(turn))] if is_kept else []
        item = self._ended(turn, TurnStatus.FAILED).model_copy(update={"usage": usage})
        await self._finish(turn, item, (), recent)

    async def read(self) -> HeadItem:
        """Return the head.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
        """
        return await self.place.read()

    async def delete(self, if_match: str | None = None) -> None:
        """Remove the conversation: its turns first, so that an interrupted removal can be asked for again.

        Raises:
            ConversationNotFoundError: This tenant has no such conversation with this bot.
            PreconditionFailedError: The conversation's state is another one than the one named.
            ConflictError: It is being continued all the while.
        """
        head = await self.place.read(if_match)
        for _ in range(_MOST_ROUNDS):
            if await self._delete_all_but_the_head(head):
                try:
                    await self.place.own.batch([BatchOperation("delete", HEAD, etag=head.etag)])
                except BatchFailedError as error:
                    raise_unless_changed(error)
                else:
                    return
            changed = await self.place.find()
            if changed is None:
                return  # somebody else removed it, or only the answer was lost
            head = changed
        raise ConflictError(
            f"Conversation '{self.place.name}' is being continued",
            {"conversation_id": self.place.name},
            retry_after=1.0,
        )

    async def _try_to_reserve(self, lease: Lease, new: NewTurn) -> Reservation | None:
        reserved = None if new.begins else await self._reserve_unseen(lease, new)
        return reserved or await self._reserve_seen(lease, new)

    async def _give_back(self, turn: Reservation | None) -> None:
        """End a turn whose caller left while it was taken."""
        if turn is not None:
            await self.fail(turn)

    async def _reserve_unseen(self, lease: Lease, new: NewTurn) -> Reservation | None:
        """Take the next turn without a look at the head, which the store refuses where that is needed."""
        own = self.place.own
        pending = self._pending(new)
        take = Patch(
            self._taking(lease, pending, self.place.stored_id), _NOBODY_WORKS + self.place.is_the_readers
        )
        try:
            taken, read = await own.batch([own.patching(HEAD, take), own.reading(RECENT)])
        except BatchFailedError as error:
            raise_unless_changed(error)
            is_absent = (error.index, error.reason) == (0, BatchFailure.MISSING)
            if is_absent and self._tenant.only_user is None:
                return await self._begin(lease, new, pending)
            return None
        return _reservation(lease, new, HeadItem.from_json(taken), pending, RecentItem.from_json(read))

    async def _reserve_seen(self, lease: Lease, new: NewTurn) -> Reservation | None:
        """Look at the head first: begin the conversation, or pass a dead worker's turn over."""
        pending = self._pending(new)
        head = None if new.begins else await self.place.find()
        if head is None:
            return await self._begin(lease, new, pending)
        if head.holder != lease.holder:  # else only the answer to our taking it was lost
            if not Lease(head.holder, head.busy_until).is_over(self._clock):
                return None
            if not await self._take(head, lease, pending):
                return None
            head = head.model_copy(update={"turns": head.turns + 1})
        recent = await self.place.own.read(RecentItem, RECENT)
        return _reservation(lease, new, head, pending, recent)

    async def _begin(self, lease: Lease, new: NewTurn, pending: PendingTurn) -> Reservation | None:
        """Begin a conversation with its first turn."""
        own = self.place.own
        head = self._new_head(lease, new, pending)
        try:
            await own.batch([own.creating(head)], minimal=True)
        except BatchFailedError as error:
            raise_unless_changed(error)
            stored = await self.place.find()
            if stored is None or stored.holder != lease.holder:
                return None
        return _reservation(lease, new, head, pending, _NOTHING_BEFORE)

    async def _take(self, head: HeadItem, lease: Lease, pending: PendingTurn) -> bool:
        """Take the next turn of a conversation that nobody has, and store what its last holder has left."""
        own = self.place.own
        take = Patch(self._taking(lease, pending, head.conversation_id), etag=head.etag)
        try:
            await own.batch([own.patching(HEAD, take), *abandoned_operations(self.place, head, self._clock)])
        except BatchFailedError as error:
            raise_unless_changed(error)
            return False
        return True

    def _taking(self, lease: Lease, pending: PendingTurn, stored_id: str) -> tuple[PatchOperation, ...]:
        now = self._clock.now()
        return (
            PatchOperation("incr", "/turns", 1),
            *RESERVATION_LEASE.take(lease),
            PatchOperation("set", "/pending", pending.model_dump(mode="json")),
            PatchOperation("set", "/updated_at", now.isoformat()),
            PatchOperation("set", "/recency", recency_of(now, stored_id)),
        )

    def _new_head(self, lease: Lease, new: NewTurn, pending: PendingTurn) -> HeadItem:
        place, now = self.place, self._clock.now()
        return HeadItem(
            bot_id=place.bot_id,
            conversation_id=place.stored_id,
            name=None if place.stored_id == place.name else place.name,
            user_id=new.user_id,
            turns=1,
            holder=lease.holder,
            busy_until=lease.until,
            pending=pending,
            created_at=now,
            updated_at=now,
            recency=recency_of(now, place.stored_id),
            expires_at=pending.expires_at,
            ttl=seconds_left_of_head(pending.expires_at, self._clock),
        )

    def _pending(self, new: NewTurn) -> PendingTurn:
        now = self._clock.now()
        return PendingTurn(
            message=new.message,
            operation_id=new.operation_id,
            created_at=now,
            expires_at=end_of(now, new.retention_days),
        )

    def _recall(self, turn: Reservation, *answered: RecentTurn) -> RecentItem:
        """Make the item of what the next turn may be reminded of."""
        known = Recollection(
            [*still_kept(turn.recent, self._clock), *answered],
            turn.new.memory_tokens if turn.is_enough else 0,
            turn.whole,
            turn.summary,
            turn.summary_failed_at,
            turn.tokenizer,
        )
        return keep_recent(turn.head, known, self._clock)

    def _ended(self, turn: Reservation, status: TurnStatus) -> TurnItem:
        return TurnItem(
            id=turn_id(turn.number),
            bot_id=turn.head.bot_id,
            conversation_id=turn.head.conversation_id,
            number=turn.number,
            status=status,
            holder=turn.holder,
            ttl=seconds_left(turn.pending.expires_at, self._clock),
            **turn.pending.model_dump(),
        )

    async def _finish(
        self,
        turn: Reservation,
        item: TurnItem,
        change: tuple[PatchOperation, ...],
        others: list[BatchOperation],
    ) -> None:
        """Store a turn that is over, and free the head, on the condition that it is still its holder's."""
        own = self.place.own
        free = (RESERVATION_LEASE.release(), PatchOperation("set", "/pending", None), *change)
        head = Patch(free, RESERVATION_LEASE.is_held_by(turn.holder))
        try:
            await own.batch([own.creating(item), own.patching(HEAD, head), *others], minimal=True)
        except BatchFailedError as error:
            raise_unless_changed(error)
            await self._finish_late(turn, item, error)

    async def _finish_late(self, turn: Reservation, item: TurnItem, error: BatchFailedError) -> None:
        """Put an answer into its own turn, which the next one has passed over, if it is not there yet."""
        own = self.place.own
        for _ in range(_MOST_ROUNDS):
            stored = await own.read(TurnItem, item.id)
            if stored is None or stored.holder != turn.holder:
                raise ConversationNotFoundError(self.place.name) from error
            if stored.status is not TurnStatus.PENDING:
                return
            held = f"{RESERVATION_LEASE.is_held_by(turn.holder)} AND c.status = '{TurnStatus.PENDING}'"
            answer = item.model_dump(mode="json", include={"status", "response", "usage", "source", "ttl"})
            end = Patch(tuple(PatchOperation("set", f"/{name}", answer[name]) for name in answer), held)
            told = Patch((PatchOperation("incr", "/late", 1),))
            try:
                await own.batch([own.patching(item.id, end), own.patching(HEAD, told)], minimal=True)
            except BatchFailedError as failure:
                raise_unless_changed(failure)
            else:
                return
        raise ConversationNotFoundError(self.place.name) from error

    async def _delete_all_but_the_head(self, head: HeadItem) -> bool:
        """Remove all that there was when the head was read; tell whether nothing is left."""
        query = Query(select("c.id", where="c.id != @head"), {"@head": HEAD}, _MOST_IN_A_BATCH)
        for _ in range((head.turns + head.segments) // _MOST_IN_A_BATCH + 3):
            found = await self.place.own.query(_Named, query)
            if not found:
                return True
            try:
                await self.place.own.batch([BatchOperation("delete", item.id) for item in found])
            except BatchFailedError as error:
                raise_unless_changed(error)
        return False


def _is_current(recent: RecentItem, head: HeadItem) -> bool:
    """Tell whether the turns at hand are this conversation's, and none is missing."""
    return recent.unseen == head.unseen and recent.begun == head.created_at


class _Named(StoredItem):
    """An item of whatever kind."""


_NOTHING_BEFORE = RecentItem(bot_id="", conversation_id="")
_NOTHING_KNOWN = RecentItem(bot_id="", conversation_id="", whole=False)


def _reservation(
    lease: Lease, new: NewTurn, head: HeadItem, pending: PendingTurn, recent: RecentItem | None
) -> Reservation:
    """Return the right to the turn that was begun, and what is known of those before it."""
    summary = summary_until(recent, head, head.turns) if new.has_summary else None
    failed_at = 0 if recent is None else recent.summary_failed_at
    if recent is None or (recent is not _NOTHING_BEFORE and not _is_current(recent, head)):
        recent = _NOTHING_KNOWN
    whole = recent.whole or (recent.joins_summary and summary is not None)
    return Reservation(
        number=head.turns,
        holder=lease.holder,
        new=new,
        head=head,
        pending=pending,
        recent=recent.remembered,
        is_enough=whole or recent.memory_tokens >= new.memory_tokens,
        whole=whole,
        before=head.turns,
        summary=summary,
        summary_failed_at=failed_at if new.has_summary else 0,
        tokenizer=recent.tokenizer,
    )


def recency_of(moment: datetime, stored_id: str) -> str:
    """Return a text by which conversations sort from the last gone on with to the first, each once."""
    return f"{_LATEST_MICROSECOND - int(moment.timestamp() * 1_000_000):017d}.{stored_id}"


def in_work(name: str) -> ConflictError:
    """Return the refusal of what cannot be done while a turn is in work."""
    return ConflictError(
        f"Conversation '{name}' is answering another message", {"conversation_id": name}, retry_after=1.0
    )


def refuse_while_in_work(head: HeadItem, name: str, clock: Clock) -> None:
    """Refuse a change of what a turn in work builds on.

    Raises:
        ConflictError: A turn is in work.
    """
    if not Lease(head.holder, head.busy_until).is_over(clock):
        raise in_work(name)


def abandoned_operations(place: ConversationPlace, head: HeadItem, clock: Clock) -> list[BatchOperation]:
    """Describe for a batch that the turn of a worker that died is stored as it is, pending."""
    turn = head.pending_turn()
    if turn is None:
        return []
    return [place.own.creating(turn.model_copy(update={"ttl": seconds_left(turn.expires_at, clock)}))]


def path_operations(change: PathChange) -> list[PatchOperation]:
    """Describe a change of the path as steps of a patch of the head."""
    path = change.path
    return [
        PatchOperation("set", "/path", [list(ended) for ended in path.ended]),
        PatchOperation("set", "/segments", path.segments),
        PatchOperation("set", "/open_from", path.open_from),
    ]


def segment_operations(place: ConversationPlace, head: HeadItem, change: PathChange) -> list[BatchOperation]:
    """Describe for a batch that ranges which the head has no room for are stored as a segment."""
    if change.spill is None:
        return []
    index, ranges = change.spill
    segment = PathSegmentItem(
        id=f"path-{index:06d}",
        bot_id=head.bot_id,
        conversation_id=head.conversation_id,
        index=index,
        first=ranges[0][0],
        last=ranges[-1][1],
        ranges=ranges,
    )
    return [place.own.upserting(segment)]


def raise_unless_changed(error: BatchFailedError) -> None:
    """Tell that somebody else was faster from every other refusal."""
    if not error.is_race:
        raise error
