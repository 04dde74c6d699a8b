"""Store of one conversation's turns, as far as answering one needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from functions.chat.conversations.reservation import Reservation
    from functions.chat.conversations.stored_models import AnswerSource, TurnItem
    from shared.contracts import Usage


class TurnStore(Protocol):
    """One conversation of one tenant with one bot."""

    @property
    def backend(self) -> str:
        """The name of the backend in a bot's `conversation_storage`."""
        ...

    async def answered(self, operation_id: str) -> TurnItem | None:
        """Return the turn that answered an operation, if one has."""
        ...

    async def reserve(
        self, message: str, user_id: str | None, operation_id: str | None = None
    ) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            PermissionDeniedError: A user's token names another user.
            ConflictError: Another turn of this conversation is still in work.
        """
        ...

    async def history(self, turn: Reservation, turns: int) -> list[TurnItem]:
        """Return the last `turns` turns done before the reserved one, oldest first."""
        ...

    async def complete(
        self, turn: Reservation, response: str, usage: Usage, source: AnswerSource | None = None
    ) -> None:
        """Store a turn's answer and let the next one begin."""
        ...

    async def fail(self, turn: Reservation) -> None:
        """Mark a turn that has no answer, and let the next one begin."""
        ...
