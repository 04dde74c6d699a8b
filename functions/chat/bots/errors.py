"""Errors of bots."""

from __future__ import annotations

from shared.errors import NotFoundError


class BotNotFoundError(NotFoundError):
    """No such bot for this tenant."""

    def __init__(self, bot_id: str) -> None:
        super().__init__(f"Bot with ID '{bot_id}' not found", {"bot_id": bot_id})
