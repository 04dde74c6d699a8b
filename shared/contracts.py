"""The messages between the capabilities and with the outside; their JSON schemas are committed and gated.

Readers ignore fields that they do not know, so that a newer sender does not break them.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from shared.tenancy.context import TENANT_ID_PATTERN

MESSAGE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
"""Service Bus takes message ids of 128 characters at most."""

_LARGEST_VERSION = 2**31 - 1
"""A larger number might be stored as one that cannot be read again."""


class Message(BaseModel):
    """Base of every message: the tenant that it is of, and its id."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    tenant_id: str = Field(pattern=TENANT_ID_PATTERN)
    id: str = Field(pattern=MESSAGE_ID_PATTERN)
    schema_version: int = 1

    @field_validator("schema_version")
    @classmethod
    def _can_be_stored(cls, version: int) -> int:
        # No bound of the published schema: such a message was never handled, only delivered again and again.
        if abs(version) > _LARGEST_VERSION:
            raise ValueError(f"must be <= {_LARGEST_VERSION}")
        return version


class ChatMessage(BaseModel):
    """One message of a conversation, as chat models take it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


MOST_TOKENS = 1_000_000_000
"""The largest count that is taken: far above any model's context, and no sum of them loses precision."""


class Usage(BaseModel):
    """The tokens that model calls used."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    total_tokens: int = Field(0, ge=0)

    def __add__(self, other: Usage) -> Usage:
        """Sum the tokens of two calls."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
        )


class PromptUse(BaseModel):
    """The version of a prompt that was used."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int


class BudgetAlert(Message):
    """Queue `budget-alerts-out`: so much of a tenant's budget of a day or a month is used up.

    Sent once for each budget and percentage. At 100 a lock was refused, or what was reported has reached the
    budget; `used_tokens` is what was reported when that was seen. `id` is unique over all tenants.
    """

    period: Literal["day", "month"]
    starts: date
    percent: Literal[80, 100]
    limit_tokens: int
    used_tokens: int
    at: AwareDatetime


class ReasonerIn(Message):
    """Queue `reasoner-in`: one text or conversation to reason about."""

    task_id: str | None = Field(None, alias="taskId", max_length=128)
    text: str | None = Field(None, min_length=1)
    messages: list[ChatMessage] | None = Field(None, min_length=1)
    prompt_name: str | None = None
    variables: dict[str, str] | None = None
    strategy: str | None = None
    model: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)


class ReasonerOut(Message):
    """Queue `reasoner-out`: what came of it; `message` is SUCCESS or says what failed."""

    task_id: str | None = Field(None, alias="taskId")
    ai_reason: str | None = None
    reason: str | None = None
    summary: str | None = None
    usage: Usage = Usage()
    message: str
