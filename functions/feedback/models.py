"""Requests and replies about feedback."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import ClassVar

from pydantic import Field, field_validator

from shared.contracts import MESSAGE_ID_PATTERN, FeedbackCategory, FeedbackHashtag
from shared.http.models import AcceptedReply, PathModel, QueryModel, ReplyModel, RequestModel
from shared.http.paging import PageQuery, PageReply
from shared.http.usage_replies import TokenUsageReply
from shared.jobs.models import JobStatus
from shared.validation import Day, refuse_value, refused_field, text_pattern

_NOT_BLANK = text_pattern(r"\S", "a text that is not blank")
_ROW_CURSOR_PATTERN = text_pattern(r"^[1-9][0-9]{0,3}$", "the `next_cursor` of the page before")
MOST_CHARACTERS = 20_000
MOST_ROWS = 1_000
MOST_DAYS = 92
_DAYS = 30
LANGUAGE_PATTERN = text_pattern(
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", "a language tag such as de or pt-BR"
)
"""A tag as BCP 47 has it: a language, and what narrows it down."""

PRIMARY_LANGUAGE_PATTERN = text_pattern(
    r"^[a-z]{2,3}$", "a language of two or three small letters, such as de"
)
_NAMES_OF_ROUTES = frozenset({"summary", "import"})


class FeedbackPath(PathModel):
    """The path of one feedback.

    Attributes:
        feedback_id: The feedback's id.
    """

    feedback_id: str = Field(pattern=MESSAGE_ID_PATTERN)


class ImportPath(PathModel):
    """The path of one import.

    Attributes:
        import_id: The import's id.
    """

    import_id: str = Field(pattern=MESSAGE_ID_PATTERN)


class FeedbackRequest(RequestModel):
    """One feedback to analyse.

    Attributes:
        id: Its id, unique within the tenant; without one, it is made up. `summary` and `import` are taken.
        task_id: The caller's own name for the task; the result carries it.
        language: The language of the text, as BCP 47 names it, such as `de` or `pt-BR`: the summary is in it.
        text: What somebody wrote.
    """

    id: str | None = Field(None, pattern=MESSAGE_ID_PATTERN)
    task_id: str | None = Field(None, max_length=128)
    language: str = Field(pattern=LANGUAGE_PATTERN)
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS, pattern=_NOT_BLANK)

    @field_validator("id")
    @classmethod
    def _has_a_route_of_its_own(cls, feedback_id: str | None) -> str | None:
        if feedback_id in _NAMES_OF_ROUTES:
            raise refuse_value("is the name of a route")
        return feedback_id


class ImportRequest(RequestModel):
    """Feedback as CSV; a body of the type `text/csv` is the CSV itself.

    Attributes:
        csv: A first line that names the columns `language`, `text` and, if there is one, `task_id`, then a
            line for each feedback, 1,000 at most. Columns are parted by commas, semicolons or tabs.
    """

    whole_bodies: ClassVar[Mapping[str, str]] = {"text/csv": "csv"}

    csv: str = Field(min_length=1)


class FeedbackPageQuery(PageQuery):
    """Query of the list of feedback.

    Attributes:
        status: How far it is.
        language: The language, without what narrows it down: `pt` for `pt-BR`, too.
        hashtag: The hashtag, whose # is written `%23`.
        category: The category.
        contains_pii: Whether personal data was found in it.
        from_day: The first day on which it was accepted (UTC).
        to_day: The last one.
    """

    status: JobStatus | None = None
    language: str | None = Field(None, pattern=PRIMARY_LANGUAGE_PATTERN)
    hashtag: FeedbackHashtag | None = None
    category: FeedbackCategory | None = None
    contains_pii: bool | None = None
    from_day: Day | None = Field(None, alias="from")
    to_day: Day | None = Field(None, alias="to")


class FeedbackSummaryQuery(QueryModel):
    """Days whose feedback is counted, in UTC and both included: 92 at most.

    Attributes:
        from_day: The first day; without it, the 30 days that end with the last one.
        to_day: The last day; without it, today.
    """

    from_day: Day | None = Field(None, alias="from")
    to_day: Day | None = Field(None, alias="to")

    def days(self, today: date) -> tuple[date, date]:
        """Return the first and the last day.

        Raises:
            ValidationError: The first one is after the last one, or they are too far apart.
        """
        last = self.to_day or today
        first = self.from_day or last - timedelta(days=_DAYS - 1)
        if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
            raise refused_field("query.from", f"must be 0 to {MOST_DAYS - 1} days before to")
        return first, last


class ImportPageQuery(QueryModel):
    """Query of an import.

    Attributes:
        limit: The most rows of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, pattern=_ROW_CURSOR_PATTERN)

    @property
    def after(self) -> int:
        """Return the row after which the page begins."""
        return int(self.cursor or 0)


class FeedbackAccepted(AcceptedReply):
    """A feedback that will be analysed.

    Attributes:
        feedback_id: The feedback's id.
        status: How far it is.
    """

    feedback_id: str
    status: JobStatus


class AnalysisReply(ReplyModel):
    """Analysis of a feedback.

    Attributes:
        ai_hashtag: The model's own hashtag for it.
        hashtag: The hashtag of the enumeration.
        category: What it is.
        summary: A summary in the language of the feedback, of 5 to 500 characters, without the personal data
            that was found.
        contains_pii: Whether personal data was found.
        personal_data: The kinds of it that were found.
    """

    ai_hashtag: str
    hashtag: FeedbackHashtag
    category: FeedbackCategory
    summary: str
    contains_pii: bool
    personal_data: list[str]


class FeedbackReply(ReplyModel):
    """A feedback as it stands.

    Attributes:
        feedback_id: The feedback's id.
        task_id: The caller's own name for the task; null where it gave none.
        language: The language of the text.
        status: How far it is.
        analysis: The analysis; null until it succeeded.
        usage: Tokens that the analysis took.
        error: Why it failed; null where it did not.
        waiting_until: When it is tried again; null where it does not wait.
        waiting_for: What it waits for, such as the token budget; null where it does not wait.
        created_at: When it was accepted.
        updated_at: When it was changed last.
    """

    feedback_id: str
    task_id: str | None
    language: str
    status: JobStatus
    analysis: AnalysisReply | None
    usage: TokenUsageReply
    error: str | None
    waiting_until: datetime | None
    waiting_for: str | None
    created_at: datetime
    updated_at: datetime


class FeedbackSummaryReply(ReplyModel):
    """Counts of the feedback of some days.

    Attributes:
        first_day: The first day.
        last_day: The last one.
        total: All of it, analysed or not.
        contains_pii: Those in which personal data was found.
        by_status: How many are how far.
        by_hashtag: How many analyses have which hashtag.
        by_category: How many analyses have which category.
        by_language: How many are in which language, without what narrows that down.
        by_day: How many were accepted on which day (UTC).
    """

    first_day: date
    last_day: date
    total: int
    contains_pii: int
    by_status: dict[str, int]
    by_hashtag: dict[str, int]
    by_category: dict[str, int]
    by_language: dict[str, int]
    by_day: dict[str, int]


class ImportAccepted(AcceptedReply):
    """An import whose rows will be analysed.

    Attributes:
        import_id: The import's id.
        rows: How many rows there are.
        refused: How many of them are no feedback.
    """

    import_id: str
    rows: int
    refused: int


class ImportRowReply(ReplyModel):
    """One row of an import.

    Attributes:
        row: Its number; the first one after the names of the columns is 1.
        feedback_id: The feedback that it has become; null where it was refused.
        status: How far that is; null where the row was refused.
        analysis: Its analysis; null until it succeeded.
        error: Why it failed or was refused; null where neither is so.
        fields: What is wrong with which column, where the row was refused.
    """

    row: int
    feedback_id: str | None
    status: JobStatus | None
    analysis: AnalysisReply | None
    error: str | None
    fields: dict[str, str] | None


class ImportReply(PageReply):
    """An import as it stands, with a page of its rows.

    Attributes:
        import_id: The import's id.
        rows: How many rows there are.
        refused: How many of them are no feedback.
        finished: How many analyses have ended, whatever came of them.
        by_status: How many rows are how far, those that were refused left out.
        created_at: When it was accepted.
        items: The rows of this page, in their order.
        next_cursor: Sent as `cursor`, it asks for the next page; null on the last one.
    """

    import_id: str
    rows: int
    refused: int
    finished: int
    by_status: dict[str, int]
    created_at: datetime
    items: list[ImportRowReply]
    next_cursor: str | None
