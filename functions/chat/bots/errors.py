"""Errors of bots."""

from __future__ import annotations

from shared.errors import APIError, NotFoundError


class BotNotFoundError(NotFoundError):
    """No such bot for this tenant."""

    def __init__(self, bot_id: str) -> None:
        super().__init__(f"Bot with ID '{bot_id}' not found", {"bot_id": bot_id})


class BotCreationError(APIError):
    """A bot cannot be made of what the loader of its configuration gives."""

    status = 422

    def __init__(self, bot_id: str, reason: str) -> None:
        super().__init__(f"Failed to create bot '{bot_id}': {reason}", {"bot_id": bot_id, "reason": reason})
