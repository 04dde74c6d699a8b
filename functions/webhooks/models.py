"""Requests and replies about webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from shared.http.models import PathModel, ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.validation import text_pattern
from shared.webhooks.models import LONGEST_URL, URL_PATTERN, DeliveryStatus, WebhookEvent

_DELIVERY_CURSOR_PATTERN = text_pattern(
    r"^[0-9T:.+-]{19,32}\|[0-9a-f]{32}$", "the `next_cursor` of the page before"
)
WEBHOOK_ID_PATTERN = text_pattern(r"^[A-Za-z0-9]{1,64}$", "1 to 64 letters and digits")
MOST_OVERLAP_SECONDS = 7 * 86_400


type _Event = Annotated[WebhookEvent, Field(strict=False)]


class WebhookPath(PathModel):
    """Path of one webhook.

    Attributes:
        webhook_id: The webhook's id.
    """

    webhook_id: str = Field(pattern=WEBHOOK_ID_PATTERN)


class WebhookQuery(PageQuery):
    """Query of the webhooks, which are sorted by id.

    Attributes:
        cursor: The `next_cursor` of the page before: the last webhook of that page.
    """

    cursor: str | None = Field(None, pattern=WEBHOOK_ID_PATTERN)


class DeliveryQuery(PageQuery):
    """Query of a webhook's deliveries, the newest first.

    Attributes:
        cursor: The `next_cursor` of the page before: the last delivery of that page.
    """

    cursor: str | None = Field(None, pattern=_DELIVERY_CURSOR_PATTERN)


class CreateWebhookRequest(RequestModel):
    """The webhook to add.

    Attributes:
        url: The completion URL that jobs may name, character by character: https, without credentials and
            fragment, and to a public address.
        events: The ends of jobs that it is told of; all of them where it is not said.
    """

    url: str = Field(max_length=LONGEST_URL, pattern=URL_PATTERN)
    events: list[_Event] = Field(
        default_factory=lambda: list(WebhookEvent), min_length=1, max_length=len(WebhookEvent)
    )


class RotateWebhookRequest(RequestModel):
    """Replacement of a webhook's signing secret.

    Attributes:
        overlap_seconds: How long deliveries are signed with the old secret, too: 7 days at most; 0 where it
            has leaked.
    """

    overlap_seconds: int = Field(24 * 3600, ge=0, le=MOST_OVERLAP_SECONDS)


class WebhookSummary(ReplyModel):
    """A webhook, without its secret.

    Attributes:
        webhook_id: Its id.
        url: The completion URL that jobs may name.
        events: The ends of jobs that it is told of.
        created_at: When it was added.
        rotated_at: When its secret was replaced last; null where it was not.
        old_secret_until: Until when deliveries are signed with the secret before, too; null where they are
            not.
    """

    webhook_id: str
    url: str
    events: list[WebhookEvent]
    created_at: datetime
    rotated_at: datetime | None
    old_secret_until: datetime | None


class WebhookReply(WebhookSummary):
    """A webhook with a new secret.

    Attributes:
        secret: What its deliveries are signed with. It is shown this once, and kept encrypted.
    """

    secret: str


class DeliveryReply(ReplyModel):
    """One delivery.

    Attributes:
        delivery_id: Its id, the same at each attempt.
        event: What it tells of.
        job_id: The job that has ended.
        status: Whether it was taken, is still tried, or was given up.
        attempts: Attempts so far.
        status_code: The HTTP status of the last answer; null where there was none.
        problem: Why the last attempt failed; null where it did not.
        next_attempt_at: When it is tried next; null where it is not.
        created_at: When the job ended.
        updated_at: When it was changed last.
    """

    delivery_id: str
    event: WebhookEvent
    job_id: str
    status: DeliveryStatus
    attempts: int
    status_code: int | None
    problem: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
