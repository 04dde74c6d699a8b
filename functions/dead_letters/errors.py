"""Errors of dead letters."""

from __future__ import annotations

from shared.errors import ConflictError, NotFoundError


class DeadLetterNotFoundError(NotFoundError):
    """No such dead letter for this caller."""

    def __init__(self, letter_id: str) -> None:
        super().__init__(f"Dead letter with ID '{letter_id}' not found", {"dead_letter_id": letter_id})


class DeadLetterInReplayError(ConflictError):
    """Another request replays the dead letter, or died over it a moment ago."""

    def __init__(self, letter_id: str, seconds: float) -> None:
        super().__init__(
            f"Dead letter with ID '{letter_id}' is being replayed; for {seconds:.0f} s at most",
            {"dead_letter_id": letter_id},
        )


class DeadLetterNotReplayableError(ConflictError):
    """The message would be refused again, or its job is over: a replay changes nothing."""

    def __init__(self, letter_id: str, reason: str) -> None:
        super().__init__(
            f"The message cannot be replayed: {reason}", {"dead_letter_id": letter_id, "reason": reason}
        )
