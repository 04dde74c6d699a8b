"""Base models of the HTTP edge: paths, queries and bodies that come in, replies that go out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from shared.validation import refuse_value


class RequestModel(BaseModel):
    """Body that a caller sends: frozen, strict about types, refusing fields it does not know."""

    whole_bodies: ClassVar[Mapping[str, str]] = {}
    """The field that a body of another type than JSON is as a whole, by that media type."""

    # Models are built when they are first used: all of them at once are a fifth of a cold start.
    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class ReplyModel(BaseModel):
    """Body that a caller gets."""

    model_config = ConfigDict(defer_build=True, frozen=True, hide_input_in_errors=True)

    def headers(self) -> dict[str, str]:
        """Return what the reply also says as headers."""
        return {}

    def encode(self) -> bytes:
        """Return it as JSON."""
        return self.model_dump_json(by_alias=True).encode()


class VersionedReply(ReplyModel):
    """A stored thing; its `etag` is also sent as the ETag header.

    Attributes:
        etag: The state that is shown; sent as If-Match, it makes a change take effect on this state alone.
    """

    etag: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the ETag."""
        return {"etag": self.etag} if self.etag else {}


class AcceptedReply(ReplyModel):
    """Work that was accepted; where to look for it is also sent as the Location header.

    Attributes:
        status_url: Path of the route that shows how far the work is.
    """

    status_url: str

    def headers(self) -> dict[str, str]:
        """Return the Location."""
        return {"location": self.status_url}


class _ParameterModel(BaseModel):
    """Parameters as texts, read into the types that the fields declare, in one spelling of each value."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _has_one_spelling(cls, value: object, info: ValidationInfo) -> object:
        # pydantic reads `1_0` and `2.0` as whole numbers, and `on` as true: the document promises neither.
        if isinstance(value, str) and info.field_name is not None:
            kind = cls.model_fields[info.field_name].annotation
            for told, (spelling, problem) in _SPELLINGS.items():
                if told in (kind, *get_args(kind)) and spelling.fullmatch(value) is None:
                    raise refuse_value(problem)
        return value


_SPELLINGS: dict[type, tuple[re.Pattern[str], str]] = {
    bool: (re.compile("true|false"), "must be true or false"),
    int: (re.compile("-?(0|[1-9][0-9]*)"), "must be a whole number in decimal digits"),
}


class PathModel(_ParameterModel):
    """Path parameters: texts, read into the types that the fields declare."""


class QueryModel(_ParameterModel):
    """Query parameters: texts, read into the types that the fields declare."""


class TenantPath(PathModel):
    """Path of a route below one tenant, for its own administrators and the platform's.

    Attributes:
        tenant_id: The tenant's id; a foreign one is answered as an unknown one.
    """

    tenant_id: str
