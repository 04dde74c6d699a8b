"""The messages between the capabilities and with the outside; their JSON schemas are committed and gated.

Readers ignore fields that they do not know, so that a newer sender does not break them.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from shared.tenancy.context import TENANT_ID_PATTERN
from shared.validation import refuse_value, text_pattern

MESSAGE_ID_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$",
    "1 to 128 letters, digits and . _ : -, beginning with a letter or digit",
)
"""Service Bus takes message ids of 128 characters at most."""

_LARGEST_VERSION = 2**31 - 1
"""A larger number might be stored as one that cannot be read again."""


class Message(BaseModel):
    """Base of every message: the tenant that it is of, and its id."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    tenant_id: str = Field(pattern=TENANT_ID_PATTERN, description="The tenant that the message is of.")
    id: str = Field(
        pattern=MESSAGE_ID_PATTERN, description="Unique within the tenant; the same is not done twice."
    )
    schema_version: int = 1

    @field_validator("schema_version")
    @classmethod
    def _can_be_stored(cls, version: int) -> int:
        # No bound of the published schema: such a message was never handled, only delivered again and again.
        if abs(version) > _LARGEST_VERSION:
            raise refuse_value(f"must be <= {_LARGEST_VERSION}")
        return version


class ChatMessage(BaseModel):
    """One message of a conversation, as chat models take it.

    Attributes:
        role: Whose message it is.
        content: Its text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


MOST_TOKENS = 1_000_000_000
"""The largest count that is taken: far above any model's context, and no sum of them loses precision."""


class Usage(BaseModel):
    """The tokens that model calls used, by kind; what was stored before there were kinds has none of them."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = Field(0, ge=0)
    cached_tokens: int = Field(0, ge=0, description="Those of the prompt that the provider had in its cache.")
    completion_tokens: int = Field(0, ge=0)
    reasoning_tokens: int = Field(0, ge=0, description="Those of the answer that it was thought with.")
    total_tokens: int = Field(0, ge=0)

    def __add__(self, other: Usage) -> Usage:
        """Sum the tokens of two calls."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
        )


NOTHING_USED = Usage()


class PromptSelection(BaseModel):
    """A prompt by its name, and by a label or a version where one is said."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    label: str | None = None
    version: int | None = None


class PromptUse(BaseModel):
    """The version of a prompt that was used."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int

    def __str__(self) -> str:
        """Name both in one text."""
        return f"{self.name}:{self.version}"


class BudgetAlert(Message):
    """Queue `budget-alerts-out`: so much of a tenant's budget of a day or a month is used up.

    Sent once for each budget and percentage. At 100 a lock was refused, or what was reported has reached the
    budget; `used_tokens` is what was reported when that was seen. `id` is unique over all tenants. `pool` is
    `embeddings` where it is their budget, which is beside the tenant's own.
    """

    period: Literal["day", "month"]
    starts: date
    percent: Literal[80, 100]
    limit_tokens: int
    used_tokens: int
    pool: Literal["embeddings"] | None = None
    at: AwareDatetime


class TaskMessage(Message):
    """Base of the messages of jobs: what their senders call the task goes through to the result."""

    task_id: str | None = Field(
        None,
        alias="taskId",
        max_length=128,
        description="The sender's own name for the task; the result carries it.",
    )


class ContentClaim(BaseModel):
    """The claim of a content that is too large for a message, and kept beside the queue."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="What the content is found and checked by.")
    bytes: int = Field(ge=0)


class ReasonerIn(TaskMessage):
    """Queue `reasoner-in`: one text, conversation or prompt to reason about.

    The queue requires sessions: the sender sets the broker's `SessionId`, else the broker refuses the
    message. Messages of one session are worked on one after the other. The app uses `{tenant_id}#0` to
    `{tenant_id}#3`, by a hash of the id; others may use these or the tenant's id. The broker's message id of
    what the app sends is `{tenant_id}:{id}`; others may choose theirs.

    A message that can never be a job (more or less than one input, fields that a job does not have) is kept
    in the quarantine with the fields at fault, and nothing is sent to `reasoner-out`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "id": "ticket-4711",
                    "taskId": "4711",
                    "text": "The printer prints every page twice since Monday.",
                }
            ]
        }
    )

    text: str | None = Field(None, min_length=1, description="One text, of 1,000,000 characters at most.")
    messages: list[ChatMessage] | None = Field(
        None, min_length=1, description="A conversation instead of a text, of 200 messages at most."
    )
    prompt_name: str | None = Field(None, description="One of the tenant's prompts instead of a text.")
    prompt: PromptSelection | None = Field(
        None, description="A prompt by name, and by label or version, instead of `prompt_name`."
    )
    variables: dict[str, str] | None = Field(None, description="The values of the prompt's variables.")
    content: ContentClaim | None = Field(
        None,
        description="Instead of an input, in the app's own messages: the claim of one of more than 200 kB.",
    )
    strategy: str | None = Field(None, description="The way to reason; `direct` where none is named.")
    model: str | None = Field(None, description="The model; the deployment's default where none is named.")
    max_output_tokens: int | None = Field(
        None, ge=1, description="The most tokens of the analysis: 16,384, and 1,024 where it is not said."
    )
    deadline_seconds: int | None = Field(
        None,
        ge=1,
        description="How long after it was accepted the job may still be worked on: 7 days at most.",
    )
    token_budget: int | None = Field(
        None, ge=1, description="The most tokens that all of the job's model calls may take together."
    )
    needs_approval: bool | None = Field(
        None, description="Whether the job waits for a person's approval before it goes on to its result."
    )
    callback_url: str | None = Field(
        None, description="The URL of one of the tenant's webhooks; no other one is told of the job's end."
    )


class ReasonerOut(TaskMessage):
    """Queue `reasoner-out`: the end of a job.

    `message` is SUCCESS, or says what failed, or where a result is that is too large for a message.
    """

    ai_reason: str | None = Field(None, description="The model's own analysis.")
    reason: str | None = Field(None, description="The analysis, once it was checked.")
    summary: str | None = Field(None, description="A summary of 5 to 500 characters.")
    usage: Usage = Usage()
    message: str


class ResponsesIn(TaskMessage):
    """Queue `responses-in`: one response of the OpenAI surface that is to be made in the background.

    The app alone sends to it: what is asked is stored with the response that `id` names. The queue has no
    sessions. Nothing tells of the end but the response itself: `GET /responses/{id}`.
    """


class FeedbackHashtag(StrEnum):
    """Hashtag of a feedback."""

    PRODUCT = "#product"
    SERVICE = "#service"
    USABILITY = "#usability"
    PERFORMANCE = "#performance"
    SUGGESTION = "#suggestion"
    BUG = "#bug"
    POSITIVE = "#positive"
    NEGATIVE = "#negative"


class FeedbackCategory(StrEnum):
    """Category of a feedback."""

    COMPLAINT = "complaint"
    PRAISE = "praise"
    QUESTION = "question"
    REQUEST = "request"
    REPORT = "report"
    OTHER = "other"


class FeedbackFormIn(TaskMessage):
    """Queue `feedback-form-in`: one feedback to analyse.

    The queue has no sessions. A message that can never be a feedback (no language, no text, or too much of
    it) is kept in the quarantine with the fields at fault, and nothing is sent to `feedback-form-out`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "id": "survey-7-12",
                    "taskId": "survey-7",
                    "language": "en",
                    "text": "The new search is fast, but I cannot find my old tickets.",
                }
            ]
        }
    )

    language: str = Field(description="The language of the text, as BCP 47 names it: `de`, `pt-BR`.")
    text: str = Field(min_length=1, description="What somebody wrote, of 20,000 characters at most.")


class FeedbackFormOut(Message):
    """Queue `feedback-form-out`: the end of an analysis.

    `message` is SUCCESS, or says what failed; then there is no analysis.
    """

    task_id: str | None = Field(None, alias="taskId", description="The task id that the feedback came with.")
    ai_hashtag: str | None = Field(None, description="The model's own hashtag.")
    hashtag: FeedbackHashtag | None = Field(None, description="The hashtag of the enumeration.")
    summary: str | None = Field(
        None, description="A summary of 5 to 500 characters, without the personal data that was found."
    )
    category: FeedbackCategory | None = None
    contains_pii: bool | None = Field(None, description="Whether personal data was found in the text.")
    message: str
