"""A tenant's conversations in Cosmos: a head, and one item per turn, in a partition of their own.

The partition is (tenant, bot, conversation), so that an id of another tenant's conversation is only the name
of one's own.

A turn's number is reserved in the store before the model is paid: one batch counts it on the head and creates
its item, on the condition that the head is as it was read. The head has the lease of the last turn. Turns of
one conversation come one after the other, since each needs the answer of the one before: a second message
waits two seconds and is then told to come back. Waiting for as long as a model may take would fill the
worker's slots with requests that wait for each other.

The turn of a worker that died is passed over when its time is up. Its item stays as it is, pending. Should
the worker still answer, the answer goes into its own turn: every later write names the holder that the turn
was reserved by, so none can touch another turn, not even one of the same number in a conversation that was
deleted and begun anew. So clocks that differ can at worst let a turn begin before the one before it has its
answer; nothing is lost or overwritten.

The head also carries the numbers of the last turns done. The history is thereby looked up by id, at the same
cost in a conversation of 10,000 turns as in one of 10, however many of its turns have failed.

Names of conversations are the tenant's: a key reads by its name what a user began under it. A user who names
what is somebody else's has that conversation under another id in the store, and learns nothing of the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from functions.chat.bots.models import MAX_HISTORY_TURNS
from functions.chat.conversations.errors import ConversationNotFoundError
from functions.chat.conversations.reservation import (
    ATTEMPT_WAITS,
    RESERVATION_LEASE,
    RESERVATION_SECONDS,
    NewTurn,
    Reservation,
)
from functions.chat.conversations.stored_models import HEAD, ConversationItem, HeadItem, TurnItem, TurnStatus
from shared.cosmos.container import BatchFailedError, BatchOperation, Patch, PatchOperation, Query
from shared.cosmos.leases import Lease
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.cosmos.queries import select
from shared.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.conversations.stored_models import AnswerSource
    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_MOST_IN_A_BATCH = 100
_MOST_ROUNDS = 10
_ANSWERED = select(TurnItem, where=f"c.operation_id = @operation_id AND c.status = '{TurnStatus.DONE}'")
_ID_OF_ONE_USER = re.compile(r"u\.[0-9a-f]{32}")
_IS_HEAD = "c.kind = 'head'"


class ConversationRepository:
    """One conversation of one tenant with one bot."""

    backend = "cosmos"

    def __init__(
        self, tenant: TenantContext, container: Container, clock: Clock, *, bot_id: str, conversation_id: str
    ) -> None:
        self._own = Partition.of(tenant, container, bot_id, conversation_id)
        self._stored_id = conversation_id
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
        new = NewTurn(message, self._tenant.user_named(user_id), operation_id)
        lease = Lease.begin(self._clock, RESERVATION_SECONDS)
        for wait in (0.0, *ATTEMPT_WAITS):
            if wait:
                await self._clock.sleep(wait)
            reserved = await self._try_to_reserve(lease.extend(self._clock, RESERVATION_SECONDS), new)
            if reserved is not None:
                return reserved
        raise ConflictError(
            f"Conversation '{self._conversation_id}' is answering another message",
            {"conversation_id": self._conversation_id},
            retry_after=1.0,
        )

    async def history(self, turn: Reservation, turns: int) -> list[TurnItem]:
        """Return the last `turns` turns done before the reserved one, oldest first."""
        found = await self._read_turns(turn.recent[-turns:] if turns else ())
        return [item for item in found if item.status is TurnStatus.DONE]

    async def complete(
        self, turn: Reservation, response: str, usage: Usage, source: AnswerSource | None = None
    ) -> None:
        """Store a turn's answer and let the next one begin.

        Raises:
            ConversationNotFoundError: The conversation was deleted meanwhile.
        """
        change = (
            PatchOperation("set", "/status", TurnStatus.DONE),
            PatchOperation("set", "/response", response),
            PatchOperation("set", "/usage", usage.model_dump()),
            PatchOperation("set", "/source", None if source is None else source.model_dump()),
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
        return await self._read_turns(numbers)

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
                await self._own.batch([BatchOperation("delete", HEAD, etag=head.etag)])
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
        """Read the head; from now on the partition is the one that has it, or would have it."""
        head = await self._own.read(HeadItem, HEAD)
        user = self._tenant.only_user
        if user is None or (head is not None and head.user_id == user):
            return head
        own_id = _id_of_users_own(user, self._conversation_id)
        if own_id == self._stored_id:
            return None
        partition = Partition.of(self._tenant, self._container, self._bot_id, own_id)
        own = await partition.read(HeadItem, HEAD)
        # Nobody gets by its name, as a user, where another user's may come to be.
        if own is not None or head is not None or _ID_OF_ONE_USER.fullmatch(self._conversation_id):
            self._own, self._stored_id = partition, own_id
        return own

    async def _try_to_reserve(self, lease: Lease, new: NewTurn) -> Reservation | None:
        head = await self._find()
        if head is not None and not Lease(head.holder, head.busy_until).is_over(self._clock):
            return None
        if head is None:
            stored = self._new_head(lease, new.user_id)
            begin = self._own.creating(stored)
        else:
            stored, change = self._next_head(head, lease)
            begin = self._own.patching(HEAD, change)
        try:
            await self._own.batch([begin, self._own.creating(self._turn(stored.turns, new, lease))])
        except BatchFailedError as error:
            _raise_unless_changed(error)
            found = await self._own.read(HeadItem, HEAD)
            if found is None or found.holder != lease.holder:
                return None  # another message got this turn
            # It was done; only the answer was lost.
        return Reservation(stored.turns, lease.holder, stored.recent, new.user_id)

    def _next_head(self, head: HeadItem, lease: Lease) -> tuple[HeadItem, Patch]:
        """Return the head with one turn more, and its change: what a newer release put there stays."""
        recent = tuple(sorted(head.recent)[-MAX_HISTORY_TURNS:])
        now = self._clock.now()
        following = head.model_copy(update={"turns": head.turns + 1, "updated_at": now, "recent": recent})
        fields = following.model_dump(mode="json", include={"turns", "updated_at", "recent"})
        changes = [PatchOperation("set", f"/{name}", value) for name, value in fields.items()]
        return following, Patch((*RESERVATION_LEASE.take(lease), *changes), etag=head.etag)

    def _new_head(self, lease: Lease, user_id: str | None) -> HeadItem:
        now = self._clock.now()
        return HeadItem(
            bot_id=self._bot_id,
            conversation_id=self._stored_id,
            name=None if self._stored_id == self._conversation_id else self._conversation_id,
            user_id=user_id,
            turns=1,
            holder=lease.holder,
            busy_until=lease.until,
            created_at=now,
            updated_at=now,
        )

    def _turn(self, number: int, new: NewTurn, lease: Lease) -> TurnItem:
        return TurnItem(
            id=_turn_id(number),
            bot_id=self._bot_id,
            conversation_id=self._stored_id,
            number=number,
            status=TurnStatus.PENDING,
            message=new.message,
            holder=lease.holder,
            operation_id=new.operation_id,
            created_at=self._clock.now(),
        )

    async def _read_turns(self, numbers: Sequence[int]) -> list[TurnItem]:
        """Look turns up by id: what this costs depends on how many are asked for and on nothing else."""
        found = await self._own.read_many(TurnItem, [_turn_id(number) for number in numbers])
        return sorted(found, key=lambda turn: turn.number)

    async def _finish(
        self, turn: Reservation, change: tuple[PatchOperation, ...], remember: tuple[PatchOperation, ...]
    ) -> None:
        """End a turn on the condition that it is pending and ours; free the head if its last turn is ours."""
        is_held = RESERVATION_LEASE.is_held_by(turn.holder)
        end = Patch(change, f"{is_held} AND c.status = '{TurnStatus.PENDING}'")
        end_turn = self._own.patching(_turn_id(turn.number), end)
        free = Patch((RESERVATION_LEASE.release(), *remember), is_held)
        try:
            await self._own.batch([end_turn, self._own.patching(HEAD, free)])
        except BatchFailedError as error:
            _raise_unless_changed(error)
        else:
            return
        # Either the next turn has begun, since this one took too long; or only the answer was lost.
        late = [end_turn, self._own.patching(HEAD, Patch(remember))] if remember else [end_turn]
        try:
            await self._own.batch(late)
        except BatchFailedError as error:
            _raise_unless_changed(error)
            stored = await self._own.read(TurnItem, _turn_id(turn.number))
            if stored is None or stored.holder != turn.holder:
                raise ConversationNotFoundError(self._conversation_id) from error

    async def _delete_turns(self, numbers: Sequence[int]) -> None:
        while found := await self._read_turns(numbers):
            try:
                await self._own.batch([BatchOperation("delete", turn.id) for turn in found])
            except BatchFailedError as error:
                _raise_unless_changed(error)


class ConversationIndex:
    """The conversations of one tenant, or of one of its users, with one bot."""

    def __init__(self, tenant: TenantContext, container: Container, bot_id: str) -> None:
        self._tenant = tenant
        self._own = Partition.of(tenant, container, bot_id)

    async def page(self, after: str | None, limit: int, user_id: str | None = None) -> list[ConversationItem]:
        """Return conversations by id, after the given one: all of them, or those of one user.

        Raises:
            PermissionDeniedError: A user's token names another user.
        """
        page = KeysetPage(limit, after, "conversation_id", where=_IS_HEAD)
        if self._tenant.only_user is not None:
            user_id = self._tenant.user_named(user_id)
        if user_id is not None:
            page = replace(page, where=f"{_IS_HEAD} AND c.user_id = @user", parameters={"@user": user_id})
        return await self._own.read_prefix_page(ConversationItem, page)

    def name_of(self, conversation: ConversationItem) -> str:
        """Return the id by which its reader asks for it."""
        if self._tenant.only_user is not None and conversation.name is not None:
            return conversation.name
        return conversation.conversation_id


def _raise_unless_changed(error: BatchFailedError) -> None:
    """Tell that somebody else was faster from every other refusal."""
    if not error.is_race:
        raise error


def _id_of_users_own(user: str, name: str) -> str:
    """Return the id of one user's conversation whose name was another's; a tenant's key can ask for it."""
    return f"u.{hashlib.sha256(json.dumps([user, name]).encode()).hexdigest()[:32]}"


def _turn_id(number: int) -> str:
    return f"{number:09d}"
