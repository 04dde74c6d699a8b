"""Requests and replies about settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery
from shared.tenancy.settings import SettingScope, SettingSource, SettingType


class SettingPath(PathModel):
    """The path of one setting."""

    key: str = Field(max_length=128)


class SettingQuery(QueryModel):
    """Scope of the value: the tenant's, or the platform's for all who have none."""

    scope: SettingScope = SettingScope.TENANT


class SettingPageQuery(PageQuery, SettingQuery):
    """`GET /settings`: the cursor is a setting's key."""


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


class SettingFormReply(ReplyModel):
    """Description of one setting for a form; `json_schema` is what a value is checked against."""

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
