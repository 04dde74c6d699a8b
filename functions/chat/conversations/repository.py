"""A tenant's conversations in Cosmos: a head, and one item per turn, in a partition of their own.

The partition is (tenant, bot, conversation), so that an id of another tenant's conversation is only the name
of one's own.

A turn's number is reserved in the store before the model is paid: one batch counts it on the head and creates
its item, on the condition that the head is as it was read. The head says who holds the last turn and until
when it may be worked on. Turns of one conversation come one after the other, since each needs the answer of
the one before: a second message waits two seconds and is then told to come back. Waiting for as long as a
model may take would fill the worker's slots with requests that wait for each other.

The turn of a worker that died is passed over when its time is up. Its item stays as it is, pending. Should
the worker still answer, the answer goes into its own turn: every later write names the holder that the turn
was reserved by, so none can touch another turn, not even one of the same number in a conversation that was
deleted and begun anew. So clocks that differ can at worst let a turn begin before the one before it has its
answer; nothing is lost or overwritten.

The head also carries the numbers of the last turns done. The history is thereby looked up by id, at the same
cost in a conversation of 10,000 turns as in one of 10, however many of its turns have failed.

Names of conversations are the tenant's: a key reads by its name what a user began under it. A user who names
what is somebody else's has another place for that name, and learns nothing of the first one.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from functions.chat.bots.models import MAX_HISTORY_TURNS
from functions.chat.conversations.models import TurnStatus
from shared.contracts import Usage
from shared.cosmos.container import BatchFailedError, BatchOperation, Patch, PatchOperation, Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, ConversationNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

WORK_SECONDS = 100.0
"""How long one turn may be worked on; the service stops well before."""

_WAITS = (0.1, 0.3, 0.6, 1.0)
"""Seconds between the attempts to get the next turn while another one is in work."""

_HEAD = "head"
_MOST_IN_A_BATCH = 100
_MOST_ROUNDS = 10
_TURN_FIELDS = "c.id, c.kind, c.number, c.status, c.message, c.response, c.usage, c.holder, c.created_at"
_ANSWERED = (
    f"SELECT {_TURN_FIELDS} FROM c "  # noqa: S608  # only names of fields are put in
    "WHERE c.operation_id = @operation_id AND c.status = 'done'"
)
_PLACE_OF_ONE_USER = re.compile(r"u\.[0-9a-f]{32}")
_IS_HEAD = "c.kind = 'head'"


class ConversationItem(StoredItem):
    """What a list tells of a conversation.

    Attributes:
        conversation_id: Where it is: its name, unless that was another user's.
        name: What its user calls it, where that is not where it is.
    """

    conversation_id: str
    name: str | None = None
    user_id: str | None = None
    turns: int
    created_at: datetime
    updated_at: datetime


class HeadItem(ConversationItem):
    """What is known of a conversation without its turns.

    Attributes:
        turns: How many turns were begun.
        holder: Who has, or had, the last of them.
        busy_until: Until when the holder may work on it, in seconds of Unix time; 0 when it is over.
        recent: The numbers of the last turns done, in the order in which they were done.
    """

    id: str = _HEAD
    kind: Literal["head"] = "head"
    bot_id: str
    holder: str
    busy_until: float
    recent: tuple[int, ...] = ()


class TurnItem(StoredItem):
    """One turn; its id is its number, zero-padded, so that ids sort as numbers do."""

    kind: Literal["turn"] = "turn"
    bot_id: str = ""
    conversation_id: str = ""
    number: int
    status: TurnStatus
    message: str
    response: str | None = None
    usage: Usage = Usage()
    holder: str
    operation_id: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a turn is begun with.

    Attributes:
        operation_id: What the caller's Idempotency-Key stands for; the turn is found by it when asked again.
    """

    message: str
    user_id: str | None
    operation_id: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to work on one turn.

    Attributes:
        recent: The turns done before it, oldest first.
        user_id: Whose turn it is, where a token or the caller says so.
    """

    number: int
    holder: str
    recent: tuple[int, ...]
    user_id: str | None = None


class ConversationRepository:
    """One conversation of one tenant with one bot."""

    def __init__(
        self, tenant: TenantContext, container: Container, clock: Clock, *, bot_id: str, conversation_id: str
    ) -> None:
        self._own = Partition.of(tenant, container, bot_id, conversation_id)
        self._place = conversation_id
        self._tenant = tenant
        self._container = container
        self._clock = clock
        self._bot_id = bot_id
        self._conversation_id = conversation_id

    async def answered(self, operation_id: str) -> TurnItem | None:
        """Return the turn that answered an operation, if one has."""
        if self._tenant.only_user is not None:
            await self._find()
        found = await self._own.query(TurnItem, Query(_ANSWERED, {"@operation_id": operation_id}, 1))
        return found[0] if found else None

    async def reserve(
        self, message: str, user_id: str | None, operation_id: str | None = None
    ) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            PermissionDeniedError: A user's token names another user.
            ConflictError: Another turn of this conversation is still in work.
        """
        asked = _Asked(message, self._tenant.user_named(user_id), operation_id)
        holder = uuid.uuid4().hex
        for wait in (0.0, *_WAITS):
            if wait:
                await self._clock.sleep(wait)
            reserved = await self._try_to_reserve(holder, asked)
            if reserved is not None:
                return reserved
        raise ConflictError(
            f"Conversation '{self._conversation_id}' is answering another message",
            {"conversation_id": self._conversation_id},
            retry_after=1.0,
        )

    async def history(self, turn: Reservation, turns: int) -> list[TurnItem]:
        """Return the last `turns` turns done before the reserved one, oldest first."""
        found = await self._numbered(turn.recent[-turns:] if turns else ())
        return [item for item in found if item.status is TurnStatus.DONE]

    async def complete(self, turn: Reservation, response: str, usage: Usage) -> None:
        """Store a turn's answer and let the next one begin.

        Raises:
            ConversationNotFoundError: The conversation was deleted meanwhile.
        """
        change = (
            PatchOperation("set", "/status", TurnStatus.DONE),
            PatchOperation("set", "/response", response),
            PatchOperation("set", "/usage", usage.model_dump()),
        )
        await self._finish(turn, change, (PatchOperation("add", "/recent/-", turn.number),))

    async def fail(self, turn: Reservation) -> None:
        """Mark a turn that has no answer, and let the next one begin.

        Raises:
            ConversationNotFoundError: The conversation was deleted meanwhile.
        """
        await self._finish(turn, (PatchOperation("set", "/status", TurnStatus.FAILED),), ())

    async def read(self) -> HeadItem:
        """Return the head.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
        """
        head = await self._find()
        if head is None:
            raise ConversationNotFoundError(self._conversation_id)
        return head

    async def turns(self, numbers: Sequence[int]) -> list[TurnItem]:
        """Return turns of every status by their numbers, at most 100, in their order."""
        return await self._numbered(numbers)

    async def delete(self) -> None:
        """Remove the conversation: its turns first, so that an interrupted removal can be asked for again.

        Raises:
            ConversationNotFoundError: This tenant has no such conversation with this bot.
            ConflictError: It is being continued all the while.
        """
        head = await self.read()
        for _ in range(_MOST_ROUNDS):
            for first in range(1, head.turns + 1, _MOST_IN_A_BATCH):
                await self._delete_turns(range(first, min(first + _MOST_IN_A_BATCH, head.turns + 1)))
            try:
                await self._own.batch([BatchOperation("delete", _HEAD, etag=head.etag)])
            except BatchFailedError as error:
                _raise_unless_changed(error)
            else:
                return
            changed = await self._find()
            if changed is None:
                return  # somebody else removed it, or only the answer was lost
            head = changed
        raise ConflictError(
            f"Conversation '{self._conversation_id}' is being continued",
            {"conversation_id": self._conversation_id},
            retry_after=1.0,
        )

    async def _find(self) -> HeadItem | None:
        """Read the head; from now on the conversation is where that is, or where it would be."""
        head = await self._own.read(HeadItem, _HEAD)
        user = self._tenant.only_user
        if user is None or (head is not None and head.user_id == user):
            return head
        place = _place_of(user, self._conversation_id)
        if place == self._place:
            return None
        aside = Partition.of(self._tenant, self._container, self._bot_id, place)
        own = await aside.read(HeadItem, _HEAD)
        # Nobody gets by its name, as a user, where another user's may come to be.
        if own is not None or head is not None or _PLACE_OF_ONE_USER.fullmatch(self._conversation_id):
            self._own, self._place = aside, place
        return own

    async def _try_to_reserve(self, holder: str, asked: _Asked) -> Reservation | None:
        head = await self._find()
        now = self._clock.now()
        if head is not None and head.busy_until > now.timestamp():
            return None
        busy_until = (now + timedelta(seconds=WORK_SECONDS)).timestamp()
        new = self._next_head(head, holder, asked.user_id, now).model_copy(update={"busy_until": busy_until})
        begin = (
            self._own.creating(new) if head is None else self._own.patching(_HEAD, _moving_to(new, head.etag))
        )
        try:
            await self._own.batch([begin, self._own.creating(self._turn(new.turns, asked, holder, now))])
        except BatchFailedError as error:
            _raise_unless_changed(error)
            stored = await self._own.read(HeadItem, _HEAD)
            if stored is None or stored.holder != holder:
                return None  # another message got this turn
            # It was done; only the answer was lost.
        return Reservation(new.turns, holder, new.recent, asked.user_id)

    def _next_head(self, head: HeadItem | None, holder: str, user_id: str | None, now: datetime) -> HeadItem:
        if head is not None:
            recent = tuple(sorted(head.recent)[-MAX_HISTORY_TURNS:])
            return head.model_copy(
                update={"turns": head.turns + 1, "holder": holder, "updated_at": now, "recent": recent}
            )
        return HeadItem(
            bot_id=self._bot_id,
            conversation_id=self._place,
            name=None if self._place == self._conversation_id else self._conversation_id,
            user_id=user_id,
            turns=1,
            holder=holder,
            busy_until=0,
            created_at=now,
            updated_at=now,
        )

    def _turn(self, number: int, asked: _Asked, holder: str, now: datetime) -> TurnItem:
        return TurnItem(
            id=_turn_id(number),
            bot_id=self._bot_id,
            conversation_id=self._place,
            number=number,
            status=TurnStatus.PENDING,
            message=asked.message,
            holder=holder,
            operation_id=asked.operation_id,
            created_at=now,
        )

    async def _numbered(self, numbers: Sequence[int]) -> list[TurnItem]:
        """Look turns up by id: what this costs depends on how many are asked for and on nothing else."""
        if not numbers:
            return []
        names = {f"@t{position}": _turn_id(number) for position, number in enumerate(numbers)}
        text = f"SELECT {_TURN_FIELDS} FROM c WHERE c.id IN ({', '.join(names)}) ORDER BY c.id"  # noqa: S608  # only names of parameters are put in
        return await self._own.query(TurnItem, Query(text, names, len(names)))

    async def _finish(
        self, turn: Reservation, change: tuple[PatchOperation, ...], remember: tuple[PatchOperation, ...]
    ) -> None:
        """End a turn on the condition that it is pending and ours; free the head if its last turn is ours."""
        end = Patch(change, condition=f"c.holder = '{turn.holder}' AND c.status = 'pending'")
        end_turn = self._own.patching(_turn_id(turn.number), end)
        idle = (PatchOperation("set", "/busy_until", 0), *remember)
        free = Patch(idle, condition=f"c.holder = '{turn.holder}'")
        try:
            await self._own.batch([end_turn, self._own.patching(_HEAD, free)])
        except BatchFailedError as error:
            _raise_unless_changed(error)
        else:
            return
        # Either the next turn has begun, since this one took too long; or only the answer was lost.
        late = [end_turn, self._own.patching(_HEAD, Patch(remember))] if remember else [end_turn]
        try:
            await self._own.batch(late)
        except BatchFailedError as error:
            _raise_unless_changed(error)
            stored = await self._own.read(TurnItem, _turn_id(turn.number))
            if stored is None or stored.holder != turn.holder:
                raise ConversationNotFoundError(self._conversation_id) from error

    async def _delete_turns(self, numbers: Sequence[int]) -> None:
        while found := await self._numbered(numbers):
            try:
                await self._own.batch([BatchOperation("delete", turn.id) for turn in found])
            except BatchFailedError as error:
                _raise_unless_changed(error)


class ConversationIndex:
    """The conversations of one tenant, or of one of its users, with one bot."""

    def __init__(self, tenant: TenantContext, container: Container, bot_id: str) -> None:
        self._own = Partition.of(tenant, container, bot_id)
        self._user = tenant.only_user

    async def list(self, after: str | None, limit: int) -> list[ConversationItem]:
        """Return conversations by id, after the given one."""
        page = KeysetPage(limit, after, "conversation_id", where=_IS_HEAD)
        if self._user is not None:
            where, whose = f"{_IS_HEAD} AND c.user_id = @user", {"@user": self._user}
            page = replace(page, where=where, parameters=whose)
        return await self._own.read_prefix_page(ConversationItem, page)

    def name_of(self, conversation: ConversationItem) -> str:
        """Return by what its reader asks for it."""
        if self._user is not None and conversation.name is not None:
            return conversation.name
        return conversation.conversation_id


def _moving_to(new: HeadItem, etag: str | None) -> Patch:
    """Patch the head rather than replace it, so that what a newer release put there stays."""
    fields = new.model_dump(mode="json", include={"turns", "holder", "busy_until", "updated_at", "recent"})
    return Patch(tuple(PatchOperation("set", f"/{name}", value) for name, value in fields.items()), etag=etag)


def _raise_unless_changed(error: BatchFailedError) -> None:
    """Tell that somebody else was faster from every other refusal."""
    if not error.is_race:
        raise error


def _place_of(user: str, name: str) -> str:
    """Return where one user's conversation is whose name was another's; a tenant's key can ask for that."""
    return f"u.{hashlib.sha256(json.dumps([user, name]).encode()).hexdigest()[:32]}"


def _turn_id(number: int) -> str:
    return f"{number:09d}"
