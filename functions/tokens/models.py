"""Requests and replies about token budgets, beside those of `shared.tokens.api_models`."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from shared.http.grouping import grouping_pattern, read_dimensions
from shared.http.models import QueryModel, ReplyModel, VersionedReply
from shared.tenancy.store import Tier
from shared.tokens.api_models import AppId
from shared.tokens.limits import LimitsOverride, TenantLimits
from shared.validation import Day, Time


class StatusQuery(QueryModel):
    """The application that asks.

    Attributes:
        app_id: The application whose headroom is wanted.
    """

    app_id: AppId


class LockQuery(QueryModel):
    """Form of a refusal.

    Attributes:
        strict: With `true`, a refused lock is a 429 instead of a 200 that says so.
    """

    strict: Literal["true", "false"] = "false"


class Dimension(StrEnum):
    """Property that usage can be grouped by."""

    DAY = "day"
    MODEL = "model"
    APP_ID = "app_id"
    USER_ID = "user_id"


class UsageQuery(QueryModel):
    """Days whose usage is summed up, in UTC and both included; without them, the month to this day.

    Attributes:
        since: The first day.
        until: The last day.
        group_by: Any of day, model, app_id and user_id, with commas between them.
    """

    since: Day | None = Field(None, alias="from")
    until: Day | None = Field(None, alias="to")
    group_by: str = Field(
        "day,model",
        json_schema_extra={"pattern": grouping_pattern(Dimension)},
    )

    @field_validator("group_by")
    @classmethod
    def _names_dimensions(cls, group_by: str) -> str:
        read_dimensions(group_by, Dimension)
        return group_by

    @property
    def dimensions(self) -> list[Dimension]:
        """Return what to group by, each once."""
        return read_dimensions(self.group_by, Dimension)


class UsageSum(ReplyModel):
    """Usage and its cost at the prices of now.

    Attributes:
        prompt_tokens: Tokens of the prompts.
        cached_tokens: Those of the prompts that the provider had in its cache.
        completion_tokens: Tokens of the answers, reasoning included.
        reasoning_tokens: Those of the answers that they were thought with.
        total_tokens: Prompts and answers together.
        requests: Calls of models.
        cost: The exact cost in the reply's currency; null where a model has no price.
        unpriced_models: Models without a price.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    total_tokens: int
    requests: int
    cost: str | None
    unpriced_models: list[str]


class UsageRow(UsageSum):
    """One group of usage.

    Attributes:
        day: The day of the group; null where days are not grouped by.
        model: The model; null where models are not grouped by.
        app_id: The application; null where applications are not grouped by.
        user_id: The user; null for calls made for no user, or where users are not grouped by.
    """

    day: date | None = None
    model: str | None = None
    app_id: str | None = None
    user_id: str | None = None


class UsageReply(ReplyModel):
    """Usage of some days.

    Attributes:
        since: The first day.
        until: The last day.
        group_by: What the groups are by.
        currency: Currency of all costs.
        items: The groups, in the order of what they are grouped by.
        total: The sum of all groups.
    """

    since: date = Field(serialization_alias="from")
    until: date = Field(serialization_alias="to")
    group_by: list[Dimension]
    currency: str
    items: list[UsageRow]
    total: UsageSum


class PutLimitsRequest(LimitsOverride):
    """The whole override: what it leaves out is as the tier has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    expires_at: Time | None = None


class LimitsReply(VersionedReply):
    """A tenant's limits.

    Attributes:
        tier: The tenant's tier.
        limits: What is in force.
        tier_limits: What holds without an override.
        override: What the administrator gave; where it has expired, it is out of force.
        expired: Whether the override has expired.
    """

    tier: Tier
    limits: TenantLimits
    tier_limits: TenantLimits
    override: LimitsOverride | None
    expired: bool
