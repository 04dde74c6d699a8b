"""Errors of feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import APIError, NotFoundError, ValidationError
from shared.jobs.errors import JobConflictError

if TYPE_CHECKING:
    from shared.contracts import Usage


class FeedbackNotFoundError(NotFoundError):
    """No such feedback for this tenant."""

    def __init__(self, feedback_id: str) -> None:
        super().__init__(f"Feedback with ID '{feedback_id}' not found", {"feedback_id": feedback_id})


class ImportNotFoundError(NotFoundError):
    """No such import for this tenant."""

    def __init__(self, import_id: str) -> None:
        super().__init__(f"Import with ID '{import_id}' not found", {"import_id": import_id})


class FeedbackConflictError(JobConflictError):
    """A feedback of this id says something else."""

    def __init__(self, feedback_id: str) -> None:
        super().__init__(feedback_id, "Feedback", "feedback_id")


class TooMuchFeedbackError(ValidationError):
    """The days that were asked for have more feedback than is counted at once."""

    def __init__(self, most: int) -> None:
        problem = f"these days have more than {most} feedbacks: ask for fewer days"
        super().__init__(f"Invalid request: {problem}", {"fields": {"query.from": problem}, "most": most})


class UnfitSummaryError(APIError):
    """The model's summary is too short to be one; `usage` tells what the answer took."""

    status = 422

    def __init__(self, shortest: int, usage: Usage) -> None:
        super().__init__(f"The model's summary has less than {shortest} characters")
        self.usage = usage
