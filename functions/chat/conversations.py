"""A tenant's conversations in Cosmos: a head, and one item per turn, in a partition of their own.

The partition is (tenant, bot, conversation), so that an id of another tenant's conversation is only the name
of one's own. A turn's number is reserved in the store before the model is paid: the head counts the turns
begun and says until when the last one may be worked on. A second message of the same conversation waits for
its turn; one whose worker died is passed over when its time is up. Its item stays, marked pending, and
nothing overwrites it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from functions.chat.models import TurnStatus
from shared.contracts import Usage
from shared.cosmos.container import (
    BatchFailedError,
    BatchOperation,
    ItemChangedError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
    Query,
)
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, ConversationNotFoundError

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

WORK_SECONDS = 100.0
"""How long one turn may be worked on; the service stops well before."""

_WAITS = (0.1, 0.3, 0.6, 1.0)
"""Seconds between the attempts to get the next turn while another one is in work."""

_HEAD = "head"
_DELETED_AT_ONCE = 100
_HISTORY = (
    "SELECT c.id, c.kind, c.number, c.status, c.message, c.response, c.usage, c.holder, c.created_at "
    "FROM c WHERE c.kind = 'turn' AND c.status = 'done' AND c.id < @before ORDER BY c.id DESC"
)
_TURNS = (
    "SELECT c.id, c.kind, c.number, c.status, c.message, c.response, c.usage, c.holder, c.created_at "
    "FROM c WHERE c.kind = 'turn' AND c.id > @after ORDER BY c.id"
)
_CONVERSATIONS = (
    "SELECT c.id, c.kind, c.conversation_id, c.bot_id, c.user_id, c.turns, c.holder, c.busy_until, "
    "c.created_at, c.updated_at FROM c WHERE c.kind = 'head' AND c.conversation_id > @after "
    "ORDER BY c.conversation_id"
)
_IDS = "SELECT c.id FROM c ORDER BY c.id"


class HeadItem(StoredItem):
    """What is known of a conversation without its turns."""

    id: str = _HEAD
    kind: Literal["head"] = "head"
    bot_id: str
    conversation_id: str
    user_id: str | None = None
    turns: int
    holder: str
    busy_until: float
    created_at: datetime
    updated_at: datetime


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
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to work on one turn."""

    number: int
    holder: str


class ConversationRepository:
    """One conversation of one tenant with one bot."""

    def __init__(
        self, tenant: TenantContext, container: Container, clock: Clock, *, bot_id: str, conversation_id: str
    ) -> None:
        self._own = Partition.of(tenant, container, bot_id, conversation_id)
        self._clock = clock
        self._bot_id = bot_id
        self._conversation_id = conversation_id

    async def reserve(self, message: str, user_id: str | None) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            ConflictError: Another turn of this conversation is still in work.
        """
        holder = uuid.uuid4().hex
        for wait in (*_WAITS, None):
            head = await self._own.read(HeadItem, _HEAD)
            if head is not None and head.holder == holder:
                return Reservation(head.turns, holder)  # it was done; only the answer was lost
            now = self._clock.now()
            if head is None or head.busy_until <= now.timestamp():
                number = 1 if head is None else head.turns + 1
                steps = [
                    self._opening(head, holder, user_id, now),
                    self._own.creating(self._turn(number, message, holder, now)),
                ]
                try:
                    await self._own.batch(steps)
                except BatchFailedError:
                    pass  # another message got this turn: look again
                else:
                    return Reservation(number, holder)
            if wait is not None:
                await self._clock.sleep(wait)
        raise ConflictError(
            f"Conversation '{self._conversation_id}' is answering another message",
            {"conversation_id": self._conversation_id},
            retry_after=1.0,
        )

    async def history(self, before: int, turns: int) -> list[TurnItem]:
        """Return the last `turns` finished turns before a number, oldest first."""
        if turns == 0:
            return []
        query = Query(_HISTORY, {"@before": _turn_id(before)}, turns)
        return (await self._own.query(TurnItem, query))[::-1]

    async def complete(self, turn: Reservation, response: str, usage: Usage) -> None:
        """Store a turn's answer and let the next one begin.

        Raises:
            ConflictError: The turn is over already, without this answer.
        """
        change = (
            PatchOperation("set", "/status", TurnStatus.DONE),
            PatchOperation("set", "/response", response),
            PatchOperation("set", "/usage", usage.model_dump()),
        )
        await self._finish(turn, change)

    async def fail(self, turn: Reservation) -> None:
        """Mark a turn that has no answer, and let the next one begin."""
        await self._finish(turn, (PatchOperation("set", "/status", TurnStatus.FAILED),))

    async def read(self) -> HeadItem:
        """Return the head.

        Raises:
            ConversationNotFoundError: This tenant has no such conversation with this bot.
        """
        head = await self._own.read(HeadItem, _HEAD)
        if head is None:
            raise ConversationNotFoundError(self._conversation_id)
        return head

    async def turns(self, after: int, limit: int) -> list[TurnItem]:
        """Return turns of every status in their order."""
        return await self._own.query(TurnItem, Query(_TURNS, {"@after": _turn_id(after)}, limit))

    async def delete(self) -> None:
        """Remove the conversation: its turns first, so that an interrupted removal can be asked for again.

        The ids of turns are digits and sort before the head's.

        Raises:
            ConversationNotFoundError: This tenant has no such conversation with this bot.
        """
        await self.read()
        while items := await self._own.query(StoredItem, Query(_IDS, limit=_DELETED_AT_ONCE)):
            await self._own.batch([BatchOperation("delete", item.id) for item in items])

    def _opening(
        self, head: HeadItem | None, holder: str, user_id: str | None, now: datetime
    ) -> BatchOperation:
        busy_until = (now + timedelta(seconds=WORK_SECONDS)).timestamp()
        if head is None:
            return self._own.creating(
                HeadItem(
                    bot_id=self._bot_id,
                    conversation_id=self._conversation_id,
                    user_id=user_id,
                    turns=1,
                    holder=holder,
                    busy_until=busy_until,
                    created_at=now,
                    updated_at=now,
                )
            )
        changes = (
            PatchOperation("set", "/turns", head.turns + 1),
            PatchOperation("set", "/holder", holder),
            PatchOperation("set", "/busy_until", busy_until),
            PatchOperation("set", "/updated_at", now.isoformat()),
        )
        return self._own.patching(_HEAD, Patch(changes, etag=head.etag))

    def _turn(self, number: int, message: str, holder: str, now: datetime) -> TurnItem:
        return TurnItem(
            id=_turn_id(number),
            bot_id=self._bot_id,
            conversation_id=self._conversation_id,
            number=number,
            status=TurnStatus.PENDING,
            message=message,
            holder=holder,
            created_at=now,
        )

    async def _finish(self, turn: Reservation, change: tuple[PatchOperation, ...]) -> None:
        item_id = _turn_id(turn.number)
        patch = Patch(change, condition="c.status = 'pending'")
        idle = Patch((PatchOperation("set", "/busy_until", 0),), condition=f"c.turns = {turn.number}")
        try:
            await self._own.batch([self._own.patching(item_id, patch), self._own.patching(_HEAD, idle)])
        except BatchFailedError:
            # The next turn has begun already, since this one took too long; or only an answer was lost.
            await self._finish_late(turn, item_id, patch)

    async def _finish_late(self, turn: Reservation, item_id: str, patch: Patch) -> None:
        try:
            await self._own.patch(TurnItem, item_id, patch)
        except ItemChangedError as error:
            stored = await self._own.read(TurnItem, item_id)
            wanted = patch.operations[0].value
            if stored is None or (stored.holder, stored.status) != (turn.holder, wanted):
                raise ConflictError(f"Turn {turn.number} is over already") from error
        except ItemNotFoundError as error:
            raise ConversationNotFoundError(self._conversation_id) from error


class ConversationIndex:
    """The conversations of one tenant with one bot."""

    def __init__(self, tenant: TenantContext, container: Container, bot_id: str) -> None:
        self._own = Partition.of(tenant, container, bot_id)

    async def list(self, after: str | None, limit: int) -> list[HeadItem]:
        """Return conversations by id, after the given one."""
        return await self._own.query(HeadItem, Query(_CONVERSATIONS, {"@after": after or ""}, limit))


def _turn_id(number: int) -> str:
    return f"{number:09d}"
