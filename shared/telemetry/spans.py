"""Traces and metrics, where an exporter is configured; where none is, no SDK is imported, nothing measured.

Like logging it is the process's own. A span names a request's route, never its path, its body or the text of
its errors.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from decimal import Decimal

    from shared.contracts import Usage

type Attributes = dict[str, str | int | float]
type SpanAttributes = dict[str, str | int | float | tuple[str, ...]]

_logger = get_logger(__name__)


@dataclass(slots=True)
class SpanFacts:
    """Attributes of one piece of work, filled while it runs.

    Attributes:
        attributes: Facts for its span.
        measured: Those of them, few in number, that its duration is grouped by.
    """

    attributes: SpanAttributes = field(default_factory=dict)
    measured: Attributes = field(default_factory=dict)


class Exporter(Protocol):
    """Exporter of traces and metrics; nothing waits for it."""

    @contextmanager
    def work(self, name: str, facts: SpanFacts, headers: Mapping[str, str] | None) -> Iterator[None]:
        """Trace the block and measure it under the name, with the facts as they are when it ends.

        Args:
            name: The histogram of its duration; the span's name, unless `facts` has a `name`, now or in the
                end.
            facts: What is known of it, filled while it runs.
            headers: Those of the request that it answers, where it does: a caller's trace goes on.
        """
        ...

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        """Let a counter rise."""
        ...

    async def stop(self) -> None:
        """Export what is left, and stop."""
        ...


_exporters: list[Exporter] = []


def start_telemetry(open_exporter: Callable[[], Exporter]) -> bool:
    """Begin to export, unless this process does already; tell whether this call began it."""
    if _exporters:
        return False
    _exporters.append(open_exporter())
    _logger.info("Telemetry is exported")
    return True


async def stop_telemetry() -> None:
    """Export what is left, and stop."""
    while _exporters:
        await _exporters.pop().stop()


@contextmanager
def request_telemetry(
    method: str, route: str, request_id: str, headers: Mapping[str, str]
) -> Iterator[SpanFacts | None]:
    """Trace one request; the caller fills in its answer. None where nothing is exported."""
    if not _exporters:
        yield None
        return
    facts = SpanFacts(
        {"name": f"{method} {route}", "tenantry.request_id": request_id},
        {"http.request.method": method, "http.route": route},
    )
    with _exporters[0].work("http.server.request.duration", facts, headers):
        yield facts


@contextmanager
def dependency_telemetry(dependency: str) -> Iterator[SpanFacts | None]:
    """Trace one call to a dependency, with all of its attempts. None where nothing is exported."""
    if not _exporters:
        yield None
        return
    facts = SpanFacts({"name": dependency}, {"tenantry.dependency": dependency})
    with _exporters[0].work("tenantry.dependency.duration", facts, None):
        yield facts


@contextmanager
def model_telemetry(operation: str) -> Iterator[SpanFacts | None]:
    """Trace one call of a model by OpenTelemetry's conventions for generative AI; None without exporter.

    Args:
        operation: What these call it: `chat` or `embeddings`.
    """
    if not _exporters:
        yield None
        return
    facts = SpanFacts({"name": operation}, {"gen_ai.operation.name": operation})
    with _exporters[0].work("gen_ai.client.operation.duration", facts, None):
        yield facts


def count_event(name: str, attributes: Attributes) -> None:
    """Count something that happened; its attributes are few in number."""
    for exporter in _exporters:
        exporter.add(name, 1, attributes)


def count_cost(cost: Decimal, model: str, currency: str) -> None:
    """Count what a model call cost."""
    for exporter in _exporters:
        exporter.add("tenantry.cost", float(cost), {"model": model, "currency": currency})


def count_tokens(usage: Usage, model: str) -> None:
    """Count what a model call used, and apart from it the parts of that which have another price."""
    for exporter in _exporters:
        exporter.add("tenantry.tokens", usage.prompt_tokens, {"model": model, "kind": "prompt"})
        exporter.add("tenantry.tokens", usage.completion_tokens, {"model": model, "kind": "completion"})
        exporter.add("tenantry.tokens.part", usage.cached_tokens, {"model": model, "kind": "cached"})
        exporter.add("tenantry.tokens.part", usage.reasoning_tokens, {"model": model, "kind": "reasoning"})
