"""What callers send and get about settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from shared.http.models import ParameterModel, ReplyModel, RequestModel, VersionedReply
from shared.tenancy.settings import SettingScope, SettingSource, SettingType


class SettingPath(ParameterModel):
    """The path of one setting."""

    key: str = Field(max_length=128)


class SettingQuery(ParameterModel):
    """Whose value is meant: the tenant's, or the platform's for all who have none."""

    scope: SettingScope = SettingScope.TENANT


class SettingPage(SettingQuery):
    """`GET /settings`: `cursor` is the `next_cursor` of the page before."""

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=128)


class PutSettingRequest(RequestModel):
    """`PUT /settings/{key}`; `GET /settings/schema` tells the type."""

    value: JsonValue


class SettingReply(VersionedReply):
    """A setting's value in force and where it comes from.

    Attributes:
        etag: The state of this scope's own value, set or not.
        updated_by: The key that set this scope's own value; None where none is set.
    """

    key: str
    value: JsonValue
    source: SettingSource
    updated_at: datetime | None = None
    updated_by: str | None = None


class SettingListReply(ReplyModel):
    """One page of settings."""

    items: list[SettingReply]
    next_cursor: str | None


class SettingFormReply(ReplyModel):
    """What a form has to know of one setting; `json_schema` is what a value is checked against."""

    key: str
    type: SettingType
    label: str
    description: str
    scope: SettingScope
    default: JsonValue
    choices: list[str] | None
    minimum: int | None
    maximum: int | None
    max_length: int | None
    json_schema: dict[str, Any]


class SettingSchemaReply(ReplyModel):
    """Every setting there is."""

    items: list[SettingFormReply]
