"""Context of log lines: the request and the tenant, carried by context variables."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class LogContext:
    """The fields that the edges set and the formatter writes."""

    request_id: str | None = None
    tenant_id: str | None = None


_NOTHING = LogContext()
_current: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


def log_context() -> LogContext:
    """Return the fields in force for this task."""
    return _current.get() or _NOTHING


class SpanIds(NamedTuple):
    """Trace and span that a line is written in, as OpenTelemetry writes their ids: in hexadecimal digits."""

    trace_id: str
    span_id: str


_span_readers: list[Callable[[], SpanIds | None]] = []


def name_spans_by(read: Callable[[], SpanIds | None] | None) -> None:
    """Write the span that a function tells on every line of this process; None for no more."""
    _span_readers[:] = [] if read is None else [read]


def span_ids() -> SpanIds | None:
    """Return the span in force; None where there is none, or none is traced."""
    return _span_readers[0]() if _span_readers else None


@contextmanager
def logging_as(*, request_id: str | None = None, tenant_id: str | None = None) -> Iterator[None]:
    """Write the given fields on every line within the block; what is not given stays as it was."""
    current = log_context()
    token = _current.set(
        replace(
            current,
            request_id=request_id or current.request_id,
            tenant_id=tenant_id or current.tenant_id,
        )
    )
    try:
        yield
    finally:
        _current.reset(token)


def attribute_logs_to(tenant_id: str) -> None:
    """Write the tenant on every line from here until the enclosing `logging_as` ends."""
    _current.set(replace(log_context(), tenant_id=tenant_id))
