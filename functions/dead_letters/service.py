"""Dead letters as administrators see them: listed without their texts, replayed, deleted, and audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.dead_letters.errors import DeadLetterInReplayError, DeadLetterNotReplayableError
from functions.dead_letters.models import (
    DeadLetterReply,
    RefusedReplay,
    ReplayedReply,
    ReplayReply,
)
from functions.dead_letters.repository import DeadLetterFilter
from shared.errors import NotFoundError
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, TenantContext

if TYPE_CHECKING:
    from functions.dead_letters.models import DeadLetterQuery, ReplayRequest
    from functions.dead_letters.replay import Replayer
    from functions.dead_letters.repository import DeadLetterEntry, DeadLetterRepository
    from shared.tenancy.audit import AuditTrail


_WHOLE = "message"
"""What the problem of a message as a whole is shown as: no model of these queues has such a field."""


class DeadLetterService:
    """The dead letters of one caller: a tenant's own, or the platform's for its administrator.

    Args:
        caller: Who asks.
        letters: The caller's dead letters.
        replayer: Sends their messages again.
        audit: Where it is kept who replayed or deleted which.
    """

    def __init__(
        self,
        caller: TenantContext | PlatformContext,
        letters: DeadLetterRepository,
        replayer: Replayer,
        audit: AuditTrail,
    ) -> None:
        self._caller = caller
        self._letters = letters
        self._replayer = replayer
        self._audit = audit

    async def list(self, query: DeadLetterQuery) -> ListReply[DeadLetterReply]:
        """Return one page of dead letters, by id."""
        wanted = DeadLetterFilter(query.queue, query.reason, query.since, query.until)
        found = await self._letters.page(wanted, query.cursor, query.fetch_limit)
        page = cut_page(found, query.limit, lambda letter: letter.id)
        return ListReply[DeadLetterReply].of(page, self._render)

    async def replay(self, letter_id: str) -> ReplayReply:
        """Put a dead letter's message on its queue again.

        Raises:
            DeadLetterNotFoundError: The caller has none of this id.
            DeadLetterInReplayError: Another request does.
            DeadLetterNotReplayableError: A replay would change nothing.
            BudgetExceededError: The tenant's budget admits nothing now.
        """
        async with (
            self._letters.replaying(letter_id) as letter,
            self._audit.recording(self._caller, AuditAction.DEAD_LETTER_REPLAY, letter_id),
        ):
            message = await self._replayer.replay(letter)
        return ReplayReply(id=letter.id, queue=letter.queue, job_id=message.id)

    async def replay_all(self, request: ReplayRequest) -> ReplayedReply:
        """Replay one page of the dead letters that a request selects, one after the other.

        Raises:
            BudgetExceededError: The tenant's budget admits nothing more; those before it are replayed.
            DependencyUnavailableError: Something is down; those before it are replayed.
        """
        wanted = DeadLetterFilter(request.queue, request.reason, until=request.before)
        found = await self._letters.page(wanted, request.cursor, request.limit + 1)
        page = cut_page(found, request.limit, lambda letter: letter.id)
        replayed: list[ReplayReply] = []
        refused: list[RefusedReplay] = []
        for letter in page.items:
            try:
                replayed.append(await self.replay(letter.id))
            except (DeadLetterNotReplayableError, DeadLetterInReplayError, NotFoundError) as error:
                reason = RefusedReplay(id=letter.id, error=type(error).__name__, message=error.message)
                refused.append(reason)
        return ReplayedReply(replayed=replayed, refused=refused, next_cursor=page.next_cursor)

    async def delete(self, letter_id: str) -> None:
        """Remove a dead letter with its message.

        Raises:
            DeadLetterNotFoundError: The caller has none of this id.
            DeadLetterInReplayError: Its message is being sent again.
        """
        letter = await self._letters.read(letter_id)  # nothing is audited for an id that anybody made up
        async with self._audit.recording(self._caller, AuditAction.DEAD_LETTER_DELETE, letter_id):
            await self._letters.delete(letter)

    def _render(self, letter: DeadLetterEntry) -> DeadLetterReply:
        return DeadLetterReply(
            id=letter.id,
            queue=letter.queue,
            tenant_id=self._caller.tenant_id if isinstance(self._caller, TenantContext) else letter.named,
            message_id=letter.message_id,
            job_id=letter.job_id,
            reason=letter.reason,
            fields=self._show_fields(letter),
            is_cut=letter.is_cut,
            quarantined_at=letter.quarantined_at,
        )

    def _show_fields(self, letter: DeadLetterEntry) -> dict[str, str]:
        """Return the model's fields at fault: whatever else is called a field is the sender's text."""
        queue = self._replayer.queues.get(letter.queue)
        if queue is None:
            return {}
        known = {name for own, field in queue.model.model_fields.items() for name in (own, field.alias)}
        shown: dict[str, str] = {}
        for name, problem in letter.fields.items():
            first = name.partition(".")[0] or _WHOLE
            if first in known or not name:
                shown.setdefault(first, problem)
        return shown
