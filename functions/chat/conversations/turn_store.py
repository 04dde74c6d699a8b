"""Store of one conversation's turns, as far as answering one needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.contracts import NOTHING_USED

if TYPE_CHECKING:
    from functions.chat.conversations.reservation import NewTurn, Reservation
    from functions.chat.conversations.stored_models import AnswerSource, TurnItem
    from shared.contracts import Usage


class TurnStore(Protocol):
    """One conversation of one tenant with one bot."""

    @property
    def backend(self) -> str:
        """The name of the backend in a bot's `conversation_storage`."""
        ...

    @property
    def name(self) -> str:
        """The conversation's id, as its caller knows it."""
        ...

    async def answered(self, operation_id: str) -> TurnItem | None:
        """Return the turn that answered an operation, if one has."""
        ...

    async def reserve(self, new: NewTurn) -> Reservation:
        """Begin the next turn, once the one before it is over.

        Raises:
            PermissionDeniedError: A user's token names another user.
            ConflictError: Another turn of this conversation is still in work.
        """
        ...

    async def load_history(self, turn: Reservation) -> None:
        """Look up what the bot may be reminded of, where the reservation does not know it."""
        ...

    async def complete(
        self, turn: Reservation, response: str, usage: Usage, source: AnswerSource | None = None
    ) -> TurnItem:
        """Store a turn's answer, let the next one begin, and return the turn."""
        ...

    async def fail(self, turn: Reservation, usage: Usage = NOTHING_USED) -> None:
        """Mark a turn that has no answer, with what it took all the same, and let the next one begin."""
        ...
