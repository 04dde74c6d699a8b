"""Stored state of feedback and of its imports."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, computed_field

from functions.feedback.errors import FeedbackConflictError
from functions.feedback.spreadsheet import RefusedRow
from shared.contracts import FeedbackCategory, FeedbackFormIn, FeedbackHashtag
from shared.cosmos.partition import StoredItem
from shared.jobs.intake import JobIntake
from shared.jobs.models import JobEnd, JobItem, JobKind, JobState, JobStatus
from shared.jobs.repository import JobRepository


class Analysis(BaseModel):
    """Analysis of one feedback; personal data that was found is out of sight in its texts.

    Attributes:
        ai_hashtag: The model's own hashtag.
        personal_data: The kinds of personal data that were found.
    """

    model_config = ConfigDict(frozen=True)

    ai_hashtag: str
    hashtag: FeedbackHashtag
    category: FeedbackCategory
    summary: str
    contains_pii: bool
    personal_data: list[str]


class FeedbackItem(JobItem[FeedbackFormIn, Analysis]):
    """One feedback, whole; what lists are filtered by stands beside the request, which is in no index."""

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def language(self) -> str:
        """Return the language of the text, without what narrows it down."""
        return self.request.language.partition("-")[0].lower()

    @computed_field  # type: ignore[prop-decorator]  # same
    @property
    def day(self) -> str:
        """Return the day on which it was accepted (UTC)."""
        return self.created_at.date().isoformat()


class FeedbackState(JobState[Analysis]):
    """The part of a feedback that its callers are shown."""

    language: str


class FeedbackCount(StoredItem):
    """The part of a feedback that is counted."""

    day: str
    language: str
    status: JobStatus
    hashtag: FeedbackHashtag | None = None
    category: FeedbackCategory | None = None
    contains_pii: bool = False


class RowState(StoredItem):
    """The status of a feedback that an import's row has become."""

    status: JobStatus


class ImportItem(StoredItem):
    """One import, stored once all of its rows are; its id is the item's.

    Attributes:
        user_id: The user whose token asked for it; None where a key did.
        rows: The number of its rows.
        refused: The rows that are no feedback.
    """

    user_id: str | None = None
    rows: int
    refused: list[RefusedRow] = Field(default_factory=list)
    created_at: datetime

    @property
    def accepted(self) -> int:
        """Return the number of rows that are feedback."""
        return self.rows - len(self.refused)

    def feedback_id(self, row: int) -> str:
        """Return the id of the feedback that a row is, whoever stores it."""
        return name_row(self.id, row)


def name_row(import_id: str, row: int) -> str:
    """Return the id of the feedback that a row of an import is."""
    return f"{import_id}:{row:04}"


type FeedbackJob = JobItem[FeedbackFormIn, Analysis]
type FeedbackIntake = JobIntake[FeedbackFormIn, Analysis]
type FeedbackEnd = JobEnd[Analysis]
type FeedbackJobs = JobRepository[FeedbackFormIn, Analysis]

FEEDBACK = JobKind(FeedbackItem, FeedbackState, FeedbackConflictError)
