"""Replies of health and documentation."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from shared.http.models import PathModel, ReplyModel


class DependencyState(StrEnum):
    """State of a dependency."""

    UP = "up"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"


class LiveReply(ReplyModel):
    """The worker answers.

    Attributes:
        status: Always `live`.
    """

    status: str = "live"


class DependencyReply(ReplyModel):
    """One dependency, as this worker sees it.

    Attributes:
        name: Name of the dependency.
        state: Whether it answers.
        breaker: Whether calls to it are let through.
        throttled_parts: How many of its parts are left alone, because they refused this worker's rate.
        reason: What is wrong; null where nothing is.
    """

    name: str
    state: DependencyState
    breaker: str
    throttled_parts: int = 0
    reason: str | None = None


class CacheReply(ReplyModel):
    """Counts of one region of this worker's cache since it began.

    Attributes:
        region: Name of the region.
        hits: Answers out of the cache.
        misses: Answers that had to be fetched.
        stale: Answers that were given while a newer one was being fetched.
        last_good: Answers that stood in while the dependency was out.
        evictions: Entries that had to make room.
        entries: Entries that it holds now.
        oldest_served_seconds: The greatest age of an answer.
    """

    region: str
    hits: int
    misses: int
    stale: int
    last_good: int
    evictions: int
    entries: int
    oldest_served_seconds: float


class LogFileState(StrEnum):
    """State of this worker's log file; lines go to stderr in any case."""

    OFF = "off"
    WRITTEN = "written"
    FAILING = "failing"


class ReadyReply(ReplyModel):
    """Each dependency by name; all are up, or the status would be 503.

    Attributes:
        status: Always `ready`.
        log_file: State of the worker's log file.
        dependencies: Each dependency, as this worker sees it.
        caches: Counts of the worker's caches.
    """

    status: str = "ready"
    log_file: LogFileState
    dependencies: list[DependencyReply]
    caches: list[CacheReply]


class OpenApiReply(ReplyModel):
    """The OpenAPI document."""

    model_config = ConfigDict(frozen=True, extra="allow")


class UnknownPath(PathModel):
    """Path that no other route has."""

    rest: str = ""
