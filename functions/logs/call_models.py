"""Requests and replies about model calls."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import Field, field_validator

from functions.logs.models import CURSOR_PATTERN, ID_PATTERN
from shared.http.grouping import grouping_pattern, read_dimensions
from shared.http.models import PathModel, QueryModel, ReplyModel
from shared.llm.model_call import CallStatus
from shared.validation import Day, Time, text_pattern

_MODEL = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$",
    "1 to 128 letters, digits and . _ : / -, beginning with a letter or digit",
)


class CallQuery(QueryModel):
    """Model calls that are wanted.

    Attributes:
        since: The earliest time of their end; without it, the beginning of the day before `to`, in UTC. At
            most 31 days before `to`.
        until: The time before which they ended; without it, now.
        model: The catalogue's name of the model that was asked for.
        bot_id: The bot that answered with it.
        conversation_id: The conversation that they are part of.
        status: How they ended.
        limit: The most calls of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    model: str | None = Field(None, pattern=_MODEL)
    bot_id: str | None = Field(None, pattern=ID_PATTERN)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    status: CallStatus | None = None
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, pattern=CURSOR_PATTERN)


class CallReply(ReplyModel):
    """Record of one model call; no text is in it.

    Attributes:
        time: When it began.
        request_id: The request or message in whose work it was made.
        key_id: The tenant's key that asked for it; null where something else did.
        user_id: The user that it was made for.
        app_id: The tenant's application that called.
        bot_id: The bot that answers with it.
        conversation_id: The conversation that it is part of.
        turn: The number of the turn there.
        job_id: The job that it is part of.
        step: The part of a turn or a job that it is.
        prompt_name: The prompt that its instructions come from.
        prompt_version: The version of that.
        model: The catalogue's name of the model that was asked for.
        deployment: The catalogue's name of the deployment that was asked last; null where none was.
        provider: The interface of that.
        stream: Whether the answer was asked for in parts.
        prompt_tokens: Tokens of the prompt, as reported to the ledger; null where nothing was.
        cached_tokens: Those of them that the provider had in its cache.
        completion_tokens: Tokens of the answer.
        reasoning_tokens: Those of them that it was thought with.
        cost: The exact cost of these tokens; null where they or the model's price are not known.
        currency: The currency of the cost.
        attempts: How often a deployment was asked.
        fallback_from: The model in whose place another deployment was asked; null where its own was.
        wait_ms: How long the ledger took to admit it.
        time_to_first_token_ms: How long its caller waited for the first part of a stream.
        duration_ms: How long its caller waited for its end.
        overhead_ms: That without the ledger's time and the deployments'.
        finish_reason: Why the answer ended.
        status: How the call ended.
        error: The kind of error that it ended with, where it failed or was refused.
    """

    time: datetime
    request_id: str | None = None
    key_id: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    bot_id: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    job_id: str | None = None
    step: str | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    model: str
    deployment: str | None = None
    provider: str | None = None
    stream: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Decimal | None = None
    currency: str | None = None
    attempts: int = 0
    fallback_from: str | None = None
    wait_ms: float = 0.0
    time_to_first_token_ms: float | None = None
    duration_ms: float = 0.0
    overhead_ms: float = 0.0
    finish_reason: str | None = None
    status: CallStatus
    error: str | None = None


class RequestPath(PathModel):
    """Path of one request's calls.

    Attributes:
        request_id: The request's id, as its answer told it in `x-request-id`.
    """

    request_id: str = Field(pattern=ID_PATTERN)


class RequestStep(ReplyModel):
    """A part of a request's way that was logged.

    Attributes:
        event: `request`, `model_call`, `turn` or another kind of event; `line` for other log lines.
        name: The route, the model, or the log line's sentence.
        level: The log line's level.
        started_at: When it began; the time of its log line where that tells no duration.
        offset_ms: That, from the request's beginning.
        duration_ms: How long it took; null where its log line does not tell.
        ledger_ms: How much of it was the token ledger's; null where no model was asked.
        model_ms: How much of it was the deployments'; null where no model was asked.
        status: How it ended, by its log line.
        error: The kind of error that it ended with.
    """

    event: str
    name: str
    level: str
    started_at: datetime
    offset_ms: float
    duration_ms: float | None
    ledger_ms: float | None
    model_ms: float | None
    status: str | None
    error: str | None


class RequestCallsReply(ReplyModel):
    """The way of one request, as far as its log lines were shipped.

    Attributes:
        request_id: The request's id.
        started_at: When it began.
        duration_ms: From there to the end of its last step.
        ledger_ms: How much of it the token ledger took, over all calls.
        model_ms: How much of it the deployments took, over all calls.
        calls: How many models were asked.
        steps: Its steps, in the order of their beginnings; the latest 1,000 of them.
    """

    request_id: str
    started_at: datetime
    duration_ms: float
    ledger_ms: float
    model_ms: float
    calls: int
    steps: list[RequestStep]


class CallDimension(StrEnum):
    """Dimension by which calls are grouped."""

    DAY = "day"
    MODEL = "model"
    BOT_ID = "bot_id"
    PROMPT = "prompt"


class CallSummaryQuery(QueryModel):
    """Days whose calls are summed up, in UTC and both included; without them, today.

    Attributes:
        from_: The first day; without it, the last one alone.
        to: The last day; without it, today.
        group_by: Any of day, model, bot_id and prompt, with commas between them.
    """

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None
    group_by: str = Field(
        "model",
        json_schema_extra={"pattern": grouping_pattern(CallDimension)},
    )

    @field_validator("group_by")
    @classmethod
    def _names_dimensions(cls, group_by: str) -> str:
        read_dimensions(group_by, CallDimension)
        return group_by

    @property
    def dimensions(self) -> list[CallDimension]:
        """Return what to group by, each once."""
        return read_dimensions(self.group_by, CallDimension)


class Quantiles(ReplyModel):
    """Times that shares of all are not above, in milliseconds, each at most 10 % off.

    Attributes:
        p50: The time that half of them are not above.
        p95: The time that 95 of 100 are not above.
        p99: The time that 99 of 100 are not above.
    """

    p50: float
    p95: float
    p99: float


class CallRow(ReplyModel):
    """Sums over a group of model calls.

    Attributes:
        day: The day; null where days are not grouped by.
        model: The model; null where models are not grouped by.
        bot_id: The bot; null for calls of none, or where bots are not grouped by.
        prompt_name: The prompt; null for calls of none, or where prompts are not grouped by.
        prompt_version: Its version.
        calls: How many there were.
        statuses: Calls by how they ended.
        prompt_tokens: Tokens of the prompts.
        cached_tokens: Those of the prompts that the provider had in its cache.
        completion_tokens: Tokens of the answers, reasoning included.
        reasoning_tokens: Those of the answers that they were thought with.
        cost: The cost of those whose price is known.
        duration_ms: How long their callers waited for the end.
        time_to_first_token_ms: How long those of streams waited for the first part; null where none was one.
    """

    day: date | None = None
    model: str | None = None
    bot_id: str | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    calls: int
    statuses: dict[str, int]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: Decimal
    duration_ms: Quantiles | None
    time_to_first_token_ms: Quantiles | None


class CallSummaryReply(ReplyModel):
    """Sums over the tenant's model calls, as far as they are indexed.

    Attributes:
        group_by: What the groups are by.
        items: The groups, in the order of what they are grouped by; the 1,000 with the most calls.
        calls: Calls of all groups.
    """

    group_by: list[CallDimension]
    items: list[CallRow]
    calls: int
