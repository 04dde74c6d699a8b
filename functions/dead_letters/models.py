"""Requests and replies about dead letters. None of them has a message's text."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.http.models import PathModel, ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.messaging.quarantine import ENTRY_ID_PATTERN
from shared.validation import Time, text_pattern

type QueueName = Literal["reasoner-in", "feedback-form-in", "responses-in"]

REASON_PATTERN = text_pattern(r"^[A-Za-z]{1,64}$", "1 to 64 letters")
_CURSOR_LENGTH = 100
_ANY_ID_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,127}$",
    "1 to 128 letters, digits and . _ : -, beginning with a letter or digit",
)
"""Wider than those that there are: an id that nobody has is not found, whatever it looks like."""


class DeadLetterPath(PathModel):
    """Path of one dead letter.

    Attributes:
        dead_letter_id: The dead letter's id.
    """

    dead_letter_id: str = Field(pattern=_ANY_ID_PATTERN)


class DeadLetterQuery(PageQuery):
    """Query of the dead letters.

    Attributes:
        queue: Only those of this queue.
        reason: Only those of this reason, such as `DeliveriesExhaustedError`.
        since: Those that were kept at this time or after.
        until: Those that were kept before this time.
        cursor: The `next_cursor` of the page before.
    """

    queue: QueueName | None = None
    reason: str | None = Field(None, pattern=REASON_PATTERN)
    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    cursor: str | None = Field(None, pattern=ENTRY_ID_PATTERN)


class DeadLetterReply(ReplyModel):
    """A message that is kept with the reason for which nobody could handle it.

    Attributes:
        id: The dead letter's id.
        queue: The queue that it came from.
        tenant_id: The tenant that the message names, whether or not there is such a tenant; null where it
            names none.
        message_id: The broker's id of it, as its sender chose it.
        job_id: The `id` in the message, which its result would have; null where it has none.
        reason: The error: `DeliveriesExhaustedError` where each delivery failed, `ValidationError` where
            fields are at fault, `MalformedRequestError` where it is no JSON, and others.
        fields: The problem of each field at fault; that of the message as a whole is `message`.
        is_cut: Whether only the message's beginning is kept, so that it cannot be replayed.
        quarantined_at: When it was kept.
    """

    id: str
    queue: str
    tenant_id: str | None
    message_id: str
    job_id: str | None
    reason: str
    fields: dict[str, str]
    is_cut: bool
    quarantined_at: datetime


class ReplayReply(ReplyModel):
    """A replayed message.

    Attributes:
        id: The id of the dead letter, which is not one any more.
        queue: The queue that the message is on again.
        job_id: The id of its job.
    """

    id: str
    queue: str
    job_id: str


class ReplayRequest(RequestModel):
    """Selection of dead letters to replay.

    Attributes:
        queue: Only those of this queue.
        reason: Only those of this reason, such as `DeliveriesExhaustedError`.
        before: Only those that were kept before this time.
        limit: The most dead letters of one request.
        cursor: The `next_cursor` of the request before: those that it passed over are not tried again.
    """

    queue: QueueName | None = None
    reason: str | None = Field(None, pattern=REASON_PATTERN)
    before: Time | None = None
    limit: int = Field(25, ge=1, le=50)
    cursor: str | None = Field(None, pattern=ENTRY_ID_PATTERN, max_length=_CURSOR_LENGTH)


class RefusedReplay(ReplyModel):
    """A dead letter that stays one.

    Attributes:
        id: The dead letter's id.
        error: The error's name.
        message: What a replay of it meets.
    """

    id: str
    error: str
    message: str


class ReplayedReply(ReplyModel):
    """Outcome of the replay of a selection of dead letters.

    Attributes:
        replayed: Those whose messages are on their queues again.
        refused: Those that stay dead letters.
        next_cursor: Sent as `cursor` with the same selection, it goes on; null where nothing is left.
    """

    replayed: list[ReplayReply]
    refused: list[RefusedReplay]
    next_cursor: str | None
