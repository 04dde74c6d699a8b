"""Queries and replies about contents of model calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from shared.http.models import ReplyModel
from shared.http.paging import PageQuery
from shared.llm.model_call import CallStatus
from shared.validation import text_pattern

_CURSOR_PATTERN = text_pattern(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f-]{1,80}\.json$", "the `next_cursor` of the page before"
)


class ContentQuery(PageQuery):
    """Page of what a request's model calls said.

    Attributes:
        limit: The most calls of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    cursor: str | None = Field(None, pattern=_CURSOR_PATTERN)


class CallContentReply(ReplyModel):
    """Messages and answers of one model call.

    Attributes:
        time: When it began.
        request_id: The request or message in whose work it was made.
        model: The catalogue's name of the model that was asked for.
        deployment: The catalogue's name of the deployment that was asked last; null where none was.
        bot_id: The bot that answers with it.
        conversation_id: The conversation that it is part of.
        turn: The number of the turn there.
        job_id: The job that it is part of.
        step: The part of a turn or a job that it is.
        status: How the call ended.
        finish_reason: Why the answer ended.
        messages: What the model was sent, oldest first, each as it was sent: of more than 1 MiB the newest,
            and of one with more than 256 KiB the beginning.
        messages_left_out: How many are not shown.
        answers: Its answers, each as a message: several where several were asked for, none where it failed.
        answers_left_out: How many are not shown.
    """

    time: datetime
    request_id: str | None
    model: str
    deployment: str | None
    bot_id: str | None
    conversation_id: str | None
    turn: int | None
    job_id: str | None
    step: str | None
    status: CallStatus
    finish_reason: str | None
    messages: list[dict[str, Any]]
    messages_left_out: int
    answers: list[dict[str, Any]]
    answers_left_out: int
