"""Errors of conversations."""

from __future__ import annotations

from shared.errors import APIError, NotFoundError


class ConversationNotFoundError(NotFoundError):
    """No such conversation of this bot for this tenant."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"Conversation with ID '{conversation_id}' not found", {"conversation_id": conversation_id}
        )


class ConversationUnavailableError(APIError):
    """The conversation cannot be read or continued now; its history is untouched."""

    status = 503
    transient = True
    is_outage = True


class TurnNotFoundError(NotFoundError):
    """The conversation has no such turn, or does not show it any more."""

    def __init__(self, turn: int) -> None:
        super().__init__(f"Turn {turn} not found", {"turn": turn})
