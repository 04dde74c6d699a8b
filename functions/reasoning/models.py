"""Requests and replies about reasoning jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict, Field, model_validator

from functions.reasoning.strategies.registry import StrategyName
from shared.contracts import MESSAGE_ID_PATTERN, MOST_TOKENS, ChatMessage
from shared.http.models import AcceptedReply, PathModel, ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.jobs.models import JobStatus
from shared.llm.deployments import MODEL_NAME_PATTERN
from shared.prompts.models import NAME_PATTERN
from shared.prompts.reference import PromptReference
from shared.validation import refuse_value, text_pattern
from shared.webhooks.models import LONGEST_URL, URL_PATTERN

if TYPE_CHECKING:
    from pydantic.config import JsonDict

STEP_PATTERN = text_pattern(r"^[a-z]+(_[a-z0-9]+)*$", "the name of a step, such as plan or solve_1")
LONGEST_DEADLINE_SECONDS = 7 * 86_400
_NONE: JsonDict = {"type": "null"}
_INPUTS = {"text": "string", "messages": "array", "prompt_name": "string", "prompt": "object"}


def _only(name: str) -> JsonDict:
    """Describe requests with one input and no other; variables go with a prompt."""
    properties: JsonDict = {
        other: {"type": kind} if other == name else _NONE for other, kind in _INPUTS.items()
    }
    return {
        "required": [name],
        "properties": properties if name.startswith("prompt") else properties | {"variables": _NONE},
    }


class JobPath(PathModel):
    """The path of one job.

    Attributes:
        job_id: The job's id.
    """

    job_id: str = Field(pattern=MESSAGE_ID_PATTERN)


class JobPageQuery(PageQuery):
    """Query of the list of jobs.

    Attributes:
        status: The status of the jobs that are wanted; without one, all of them.
    """

    status: JobStatus | None = None


class JobRequest(RequestModel):
    """A job; its input is one of `text`, `messages`, `prompt` and `prompt_name`.

    Attributes:
        id: The job's id, unique within the tenant; without one, it is made up.
        task_id: The caller's own name for the task; the result carries it.
        text: The text to reason about.
        messages: A conversation to reason about.
        prompt_name: One of the tenant's prompts: the short form of a `prompt` without label and version.
        prompt: One of the tenant's prompts, with its variables filled in.
        variables: Values of the prompt's variables.
        model: The model; without one, the deployment's.
        max_output_tokens: The most tokens of the analysis; 1,024 where it is not said.
        strategy: The way to reason; `direct` where none is named.
        deadline_seconds: How long after it was accepted the job may still be worked on; then it fails.
        token_budget: The most tokens that all of the job's model calls may take together, prompts included. A
            call that might take more than what is left of it is not made, and the job fails.
        needs_approval: Whether the job waits for a person's approval after the step that decides what comes.
        callback_url: The URL of one of the tenant's webhooks, character by character: it is told of the job's
            end.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only(name) for name in _INPUTS]})

    id: str | None = Field(None, pattern=MESSAGE_ID_PATTERN)
    task_id: str | None = Field(None, max_length=128)
    text: str | None = Field(None, min_length=1, max_length=1_000_000)
    messages: list[ChatMessage] | None = Field(None, min_length=1, max_length=200)
    prompt_name: str | None = Field(None, pattern=NAME_PATTERN)
    prompt: PromptReference | None = None
    variables: dict[str, str] | None = Field(None, max_length=200)
    model: str | None = Field(None, pattern=MODEL_NAME_PATTERN)
    max_output_tokens: int | None = Field(None, ge=1, le=16_384)
    strategy: StrategyName | None = Field(None, strict=False)
    deadline_seconds: int | None = Field(None, ge=1, le=LONGEST_DEADLINE_SECONDS)
    token_budget: int | None = Field(None, ge=1, le=MOST_TOKENS)
    needs_approval: bool | None = None
    callback_url: str | None = Field(None, max_length=LONGEST_URL, pattern=URL_PATTERN)

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if sum(getattr(self, name) is not None for name in _INPUTS) != 1:
            raise refuse_value("exactly one of text, messages, prompt and prompt_name is needed")
        if self.variables is not None and self.prompt_name is None and self.prompt is None:
            raise refuse_value("variables go with a prompt")
        return self


class ApprovalRequest(RequestModel):
    """A person's word on the step that a job waits for.

    Attributes:
        step: The step, as the job's `waiting_step` names it.
        approved: Whether the job may go on; where it may not, it is cancelled.
        comment: The reason, in the person's own words.
    """

    step: str = Field(max_length=64, pattern=STEP_PATTERN)
    approved: bool
    comment: str | None = Field(None, max_length=1_000)


class JobAccepted(AcceptedReply):
    """A job that will be worked on.

    Attributes:
        job_id: The job's id.
        status: How far it is.
    """

    job_id: str
    status: JobStatus


class StepReply(ReplyModel):
    """One finished step of a job.

    Attributes:
        name: The step's name.
        number: Its place among the job's steps, from 1.
        text: What the model answered; null in lists.
        usage: Tokens that it took.
        model: The provider's name of the model that answered.
        finish_reason: Why its answer ended: `length` where the output limit cut it; null where the provider
            does not say.
    """

    name: str
    number: int
    text: str | None
    usage: TokenUsageReply
    model: str | None
    finish_reason: str | None


class ApprovalReply(ReplyModel):
    """A person's word on a step.

    Attributes:
        step: The step.
        approved: Whether the job may go on.
        comment: The reason; null where none was given.
        by: The credential that it came with: a key's id, or a user.
        at: When it came.
    """

    step: str
    approved: bool
    comment: str | None
    by: str
    at: datetime


class JobResultReply(ReplyModel):
    """Result of a job that succeeded.

    Attributes:
        reason: The analysis.
        summary: Its summary.
    """

    reason: str
    summary: str


class JobProgressReply(ReplyModel):
    """The event `status` of a job that is followed.

    Attributes:
        status: How far the job is.
        waiting_until: When it is tried again, or given up; null where it does not wait.
        waiting_for: What it waits for; null where it does not wait.
        waiting_step: The step that waits for approval; null where none does.
        cancel_requested: Whether it is to end at its next boundary.
    """

    status: JobStatus
    waiting_until: datetime | None
    waiting_for: str | None
    waiting_step: str | None
    cancel_requested: bool


class JobReply(ReplyModel):
    """A job as it stands.

    Attributes:
        job_id: The job's id.
        task_id: The caller's own name for the task; null where it gave none.
        status: How far it is.
        steps: The steps that are finished.
        prompt: The version of its prompt that was used; null where there is none.
        result: The result; null until it succeeded.
        usage: Tokens of all of its model calls, as far as they are known.
        error: Why it failed, or was cancelled; null where it was not.
        waiting_until: When it is tried again, or given up where it waits for approval; null where it does not
            wait.
        waiting_for: What it waits for, such as the token budget; null where it does not wait.
        waiting_step: The step that waits for approval; null where none does.
        approvals: What was said of steps.
        cancel_requested: Whether it is to end at its next boundary.
        created_at: When it was accepted.
        updated_at: When it was changed last.
    """

    job_id: str
    task_id: str | None
    status: JobStatus
    steps: list[StepReply]
    prompt: PromptUseReply | None
    result: JobResultReply | None
    usage: TokenUsageReply
    error: str | None
    waiting_until: datetime | None
    waiting_for: str | None
    waiting_step: str | None
    approvals: list[ApprovalReply]
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
