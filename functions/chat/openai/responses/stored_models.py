"""Stored models of responses: what was asked and answered, the input by itself, and a stream's events."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from functions.chat.conversations.retention import FOR_EVER
from functions.chat.openai.responses.response_ids import ResponseId
from shared.contracts import Usage
from shared.cosmos.partition import StoredItem

BOT_ID = "openai:responses"
"""What stands for a bot where responses are stored among the conversations; no bot's id has a colon."""


class ResponseStatus(StrEnum):
    """Stage of a response; `deleted` ones leave nothing but their place, which is not given again."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing of it changes any more by itself."""
        return self not in {ResponseStatus.QUEUED, ResponseStatus.IN_PROGRESS}

    @property
    def has_answer(self) -> bool:
        """Tell whether another response can go on with it."""
        return self in {ResponseStatus.COMPLETED, ResponseStatus.INCOMPLETE}


class BranchPart(BaseModel):
    """The part of a branch that leads to another one: from its beginning to a depth."""

    model_config = ConfigDict(frozen=True)

    branch: str
    depth: int


class ResponseFault(BaseModel):
    """The reason for which a response failed, in OpenAI's words."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str


class _ResponsePart(StoredItem):
    """Base of all that is stored of one response, in the partition of its conversation."""

    bot_id: str = BOT_ID
    conversation_id: str
    branch: str
    depth: int
    expires_at: int | None = None
    ttl: int = FOR_EVER

    @property
    def response_id(self) -> ResponseId:
        """Return the response's id."""
        return ResponseId(self.conversation_id, self.branch, self.depth)


class ResponseItem(_ResponsePart):
    """One response, but for its input.

    Attributes:
        path: The parts of other branches that lead to its own, the oldest first.
        user_id: The user whom it was made for; None where it is of nobody.
        operation_id: The id that the caller's Idempotency-Key stands for, or one of its own.
        request: The request, without its input; nothing once it was deleted.
        output: The items that the model gave.
        usage: What they took; None until that is known.
        incomplete_reason: The reason for which it is not whole, in OpenAI's words.
        lease_until: Until when its worker may be alive, in seconds of Unix time, where it is not made in the
            background.
        created_at: When it was asked for, in seconds of Unix time.
        completed_at: When it was whole.
    """

    kind: Literal["response"] = "response"
    path: tuple[BranchPart, ...] = ()
    user_id: str | None = None
    operation_id: str | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    status: ResponseStatus = ResponseStatus.IN_PROGRESS
    output: list[Any] = Field(default_factory=list)
    usage: Usage | None = None
    incomplete_reason: str | None = None
    error: ResponseFault | None = None
    lease_until: float = 0
    created_at: int
    completed_at: int | None = None


class ResponseInputItem(_ResponsePart):
    """The input of one response.

    Attributes:
        input: Its items; each has an id.
    """

    kind: Literal["input"] = "input"
    input: list[Any]


class ResponseEventsItem(_ResponsePart):
    """Some events of the stream of a response that is made in the background.

    Attributes:
        first: The number of the first of them.
        last: The number of the last of them.
        events: The events, as they are sent.
    """

    kind: Literal["events"] = "events"
    first: int
    last: int
    events: list[Any]


class ResponseTrace(StoredItem):
    """The part of a response, or of its input, that a model is told by those after it."""

    kind: str
    branch: str
    depth: int
    expires_at: int | None = None
    input: list[Any] = Field(default_factory=list)
    output: list[Any] = Field(default_factory=list)


def item_id(response: ResponseId) -> str:
    """Return the id of a response's item in its partition."""
    return f"{response.branch}-{response.depth:08x}-response"


def input_id(response: ResponseId) -> str:
    """Return the id of its input's item."""
    return f"{response.branch}-{response.depth:08x}-input"


def events_id(response: ResponseId, first: int) -> str:
    """Return the id of the item of its events from a number on."""
    return f"{response.branch}-{response.depth:08x}-events-{first:08}"
