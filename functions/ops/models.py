"""What health and documentation answer."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from shared.http import ParameterModel, ReplyModel


class DependencyState(StrEnum):
    """What is known of a dependency."""

    UP = "up"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"


class LiveReply(ReplyModel):
    """The worker answers."""

    status: str = "live"


class DependencyReply(ReplyModel):
    """One dependency; `breaker` tells whether calls to it are let through, `reason` what is wrong."""

    name: str
    state: DependencyState
    breaker: str
    reason: str | None = None


class ReadyReply(ReplyModel):
    """Each dependency by name; all are up, or the reply's status would be 503."""

    status: str = "ready"
    dependencies: list[DependencyReply]


class OpenApiReply(ReplyModel):
    """The OpenAPI document."""

    model_config = ConfigDict(frozen=True, extra="allow")


class UnknownPath(ParameterModel):
    """Whatever no other route has."""

    rest: str = ""
