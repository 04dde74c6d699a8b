"""Requests and replies about settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery
from shared.tenancy.context import Role
from shared.tenancy.settings import SettingScope, SettingSource, SettingType


class SettingPath(PathModel):
    """The path of one setting.

    Attributes:
        key: The setting's key; `GET /settings/schema` lists them.
    """

    key: str = Field(max_length=128)


class SettingQuery(QueryModel):
    """Scope of a value.

    Attributes:
        scope: `tenant` for the tenant's own value, `global` for the platform's, which holds for all who have
            none.
    """

    scope: SettingScope = SettingScope.TENANT


class SettingPageQuery(PageQuery, SettingQuery):
    """Query of settings, which are sorted by key.

    Attributes:
        prefix: The beginning of their keys, such as `chat.`.
    """

    prefix: str | None = Field(None, min_length=1, max_length=128)


class PutSettingRequest(RequestModel):
    """A setting's new value.

    Attributes:
        value: The value, of the type that `GET /settings/schema` tells.
    """

    value: Any


class SettingReply(VersionedReply):
    """A setting's value in force and where it comes from.

    Attributes:
        key: The setting's key.
        value: The value in force.
        source: Where it comes from: the tenant's own value, the platform's or the default.
        updated_at: When this scope's own value was set; null where none is set.
        updated_by: The key that set this scope's own value; None where none is set.
        etag: The state of this scope's own value, set or not.
    """

    key: str
    value: Any
    source: SettingSource
    updated_at: datetime | None = None
    updated_by: str | None = None


class SettingFormReply(ReplyModel):
    """Description of one setting for a form.

    Attributes:
        key: The setting's key.
        type: Kind of input that a form shows.
        label: Label of the input.
        description: What the setting decides.
        scope: Least scope that may set it: `global` is for the platform alone.
        min_role: Least role that may set a tenant's own value.
        default: The value where nobody has set one.
        choices: The values to choose from; null where it is no choice.
        minimum: The least number; null where there is no such bound.
        maximum: The largest number; null where there is no such bound.
        max_length: The most characters; null where it is no text.
        json_schema: The JSON schema that a value is checked against.
    """

    key: str
    type: SettingType
    label: str
    description: str
    scope: SettingScope
    min_role: Role
    default: Any
    choices: list[str] | None
    minimum: int | None
    maximum: int | None
    max_length: int | None
    json_schema: dict[str, Any]


class SettingSchemaReply(ReplyModel):
    """Every setting there is.

    Attributes:
        items: The settings, sorted by key.
    """

    items: list[SettingFormReply]
