"""Conversations of bots whose `conversation_storage.backend` is `memory`: kept by this process, for a time.

They are for trying a bot out, and no promise: another instance does not know them, a restart forgets them,
and so does this process an hour after the last turn, or when others need their room. Each answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from functions.chat.bots.models import MAX_HISTORY_TURNS
from functions.chat.conversations.recent import after_summary, remember
from functions.chat.conversations.reservation import ATTEMPT_WAITS, RESERVATION_SECONDS, NewTurn, Reservation
from functions.chat.conversations.stored_models import HeadItem, PendingTurn, TurnItem, TurnStatus
from shared.caching.region import Freshness
from shared.contracts import NOTHING_USED
from shared.cosmos.leases import Lease
from shared.errors import ConflictError

if TYPE_CHECKING:
    from functions.chat.conversations.stored_models import AnswerSource, RunningSummary
    from shared.caching.region import Region
    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.tenancy.context import TenantContext

REMEMBERED = Freshness(ttl_seconds=3_600)
MAX_CONVERSATIONS = 1_000
MAX_CHARACTERS = 32_000
"""Of one conversation; what was said before its last so many characters is forgotten."""

_NOBODY = Lease("", 0)


@dataclass(frozen=True, slots=True)
class RememberedConversation:
    """One conversation as it is now.

    Attributes:
        turns: The last turns that were answered, oldest first.
        begun: The turn in work; None where there is none.
        number: The number of the turn that was begun last.
        lease: The lease of the turn in work, or one that is over.
        summary: The summary of those that are too far back to be told in full.
        summary_failed_at: The number of the turn for which no summary could be made; 0 once one was.
    """

    turns: tuple[TurnItem, ...] = ()
    begun: TurnItem | None = None
    number: int = 0
    lease: Lease = _NOBODY
    summary: RunningSummary | None = None
    summary_failed_at: int = 0


class MemoryConversation:
    """One conversation of one tenant with one bot, or of one of its users, in this process.

    A user whose token or key is bound has conversations apart from everybody else's of these names.

    Args:
        tenant: The caller.
        region: The conversations of every tenant.
        clock: The process's time.
        bot_id: The bot.
        conversation_id: The conversation's id.
    """

    backend = "memory"

    def __init__(
        self,
        tenant: TenantContext,
        region: Region[RememberedConversation],
        clock: Clock,
        *,
        bot_id: str,
        conversation_id: str,
    ) -> None:
        self._tenant = tenant
        self._region = region
        self._clock = clock
        self._bot_id = bot_id
        self.name = conversation_id
        # Neither a bot's id nor a conversation's has a colon.
        self._key = f"{bot_id}:{conversation_id}:{tenant.only_user or ''}"

    async def answered(self, operation_id: str) -> TurnItem | None:
        """Return the turn that answered an operation, if one has and is still known."""
        return next((turn for turn in self._known.turns if turn.operation_id == operation_id), None)

    async def reserve(self, new: NewTurn) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            PermissionDeniedError: A user's token names another user.
            ConflictError: Another turn of this conversation is still in work.
        """
        new = replace(new, user_id=self._tenant.user_named(new.user_id))
        before = await self._wait_for_the_turn()
        lease = Lease.begin(self._clock, RESERVATION_SECONDS)
        begun = TurnItem(
            id=str(before.number + 1),
            bot_id=self._bot_id,
            conversation_id=self.name,
            number=before.number + 1,
            status=TurnStatus.PENDING,
            message=new.message,
            holder=lease.holder,
            operation_id=new.operation_id,
            created_at=self._clock.now(),
        )
        self._keep(replace(before, begun=begun, number=begun.number, lease=lease))
        head = HeadItem(
            bot_id=self._bot_id,
            conversation_id=self.name,
            turns=begun.number,
            holder=lease.holder,
            busy_until=lease.until,
            created_at=begun.created_at,
            updated_at=begun.created_at,
        )
        summary = before.summary if new.has_summary else None
        return Reservation(
            number=begun.number,
            holder=lease.holder,
            new=new,
            head=head,
            pending=PendingTurn(message=new.message, created_at=begun.created_at),
            recent=after_summary([remember(turn) for turn in before.turns], summary),
            is_enough=True,
            whole=True,
            before=begun.number,
            summary=summary,
            summary_failed_at=before.summary_failed_at,
        )

    async def load_history(self, turn: Reservation) -> None:
        """Leave out what was forgotten since the turn was reserved."""
        known = {one.number for one in self._known.turns}
        turn.recent = tuple(one for one in turn.recent if one.number in known)

    async def complete(
        self, turn: Reservation, response: str, usage: Usage, source: AnswerSource | None = None
    ) -> TurnItem:
        """Keep a turn's answer and let the next one begin; what was forgotten meanwhile stays so."""
        known = self._known
        answer = TurnItem(
            id=str(turn.number),
            number=turn.number,
            status=TurnStatus.DONE,
            message=turn.new.message,
            response=response,
            usage=usage,
            source=source,
            holder=turn.holder,
            operation_id=turn.new.operation_id,
            created_at=turn.pending.created_at,
        )
        if known.begun is not None and known.begun.holder == turn.holder:
            turns = _forget_the_oldest((*known.turns, answer))
            known = replace(known, summary=turn.summary, summary_failed_at=turn.summary_failed_at)
            self._keep(replace(known, turns=turns, begun=None, lease=_NOBODY))
        return answer

    async def fail(self, turn: Reservation, usage: Usage = NOTHING_USED) -> None:  # noqa: ARG002  # it keeps none
        """Let the next turn begin."""
        known = self._known
        if known.begun is not None and known.begun.holder == turn.holder:
            known = replace(known, summary=turn.summary, summary_failed_at=turn.summary_failed_at)
            self._keep(replace(known, begun=None, lease=_NOBODY))

    async def _wait_for_the_turn(self) -> RememberedConversation:
        for wait in (0.0, *ATTEMPT_WAITS):
            if wait:
                await self._clock.sleep(wait)
            if (known := self._known).lease.is_over(self._clock):
                return known
        raise ConflictError(
            f"Conversation '{self.name}' is answering another message",
            {"conversation_id": self.name},
            retry_after=1.0,
        )

    @property
    def _known(self) -> RememberedConversation:
        return self._region.peek(self._tenant, self._key) or RememberedConversation()

    def _keep(self, conversation: RememberedConversation) -> None:
        self._region.put(self._tenant, self._key, conversation)


def _forget_the_oldest(turns: tuple[TurnItem, ...]) -> tuple[TurnItem, ...]:
    room = MAX_CHARACTERS
    last = turns[-MAX_HISTORY_TURNS:]
    for place in reversed(range(len(last))):
        room -= len(last[place].message) + len(last[place].response or "")
        if room < 0:
            return last[place + 1 :]
    return last
