"""Requests and replies about reasoning jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict, Field, model_validator

from shared.contracts import MESSAGE_ID_PATTERN, ChatMessage
from shared.http.models import AcceptedReply, PathModel, ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.http.replies import TokenUsageReply
from shared.jobs.models import JobStatus
from shared.prompts.models import NAME_PATTERN

if TYPE_CHECKING:
    from pydantic.config import JsonDict

_NONE: JsonDict = {"type": "null"}
_TEXT: JsonDict = {
    "required": ["text"],
    "properties": {"text": {"type": "string"}, "messages": _NONE, "prompt_name": _NONE, "variables": _NONE},
}
_MESSAGES: JsonDict = {
    "required": ["messages"],
    "properties": {"text": _NONE, "messages": {"type": "array"}, "prompt_name": _NONE, "variables": _NONE},
}
_PROMPT: JsonDict = {
    "required": ["prompt_name"],
    "properties": {"text": _NONE, "messages": _NONE, "prompt_name": {"type": "string"}},
}


class JobPath(PathModel):
    """The path of one job."""

    job_id: str = Field(pattern=MESSAGE_ID_PATTERN)


class JobPageQuery(PageQuery):
    """Query of the list of jobs: all of them, or those of one status."""

    status: JobStatus | None = None


class JobRequest(RequestModel):
    """`POST /reasoning/jobs`: one of `text`, `messages` and `prompt_name`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_TEXT, _MESSAGES, _PROMPT]})

    id: str | None = Field(None, pattern=MESSAGE_ID_PATTERN)
    task_id: str | None = Field(None, max_length=128)
    text: str | None = Field(None, min_length=1, max_length=200_000)
    messages: list[ChatMessage] | None = Field(None, min_length=1, max_length=200)
    prompt_name: str | None = Field(None, pattern=NAME_PATTERN)
    variables: dict[str, str] | None = Field(None, max_length=200)
    model: str | None = Field(None, pattern=NAME_PATTERN)
    max_output_tokens: int | None = Field(None, ge=1, le=16_384)

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if sum(given is not None for given in (self.text, self.messages, self.prompt_name)) != 1:
            raise ValueError("exactly one of text, messages and prompt_name is needed")
        if self.variables is not None and self.prompt_name is None:
            raise ValueError("variables go with prompt_name")
        return self


class JobAccepted(AcceptedReply):
    """A job that will be worked on."""

    job_id: str
    status: JobStatus


class StepReply(ReplyModel):
    """One finished step; `finish_reason` is `length` where the output limit cut its answer."""

    name: str
    usage: TokenUsageReply
    model: str | None
    finish_reason: str | None


class JobResultReply(ReplyModel):
    """Result of a job that succeeded."""

    reason: str
    summary: str


class JobReply(ReplyModel):
    """A job as it stands.

    While it waits, `waiting_for` says what for, and `waiting_until` when it is tried again.
    """

    job_id: str
    task_id: str | None
    status: JobStatus
    steps: list[StepReply]
    result: JobResultReply | None
    usage: TokenUsageReply
    error: str | None
    waiting_until: datetime | None
    waiting_for: str | None
    created_at: datetime
    updated_at: datetime
