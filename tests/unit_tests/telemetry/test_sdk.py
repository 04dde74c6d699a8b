"""What OpenTelemetry is told, seen where it would be exported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shared.errors import DependencyUnavailableError
from shared.logging.context import span_ids
from shared.settings import Settings
from shared.telemetry.measurements import Measurement
from shared.telemetry.opentelemetry import OpenTelemetry, open_telemetry
from shared.telemetry.spans import SpanFacts
from tests.support.whole_app import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan


class Seen:
    """Telemetry that ends in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.telemetry = OpenTelemetry("app", SimpleSpanProcessor(self._spans), self._metrics, self.read)

    def read(self) -> Iterable[Measurement]:
        return [
            Measurement("tenantry.cache.answers", 3, {"region": "notes"}),
            Measurement("tenantry.cache.entries", 2, {"region": "notes"}),
        ]

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def points(self) -> dict[str, list[dict[str, object]]]:
        """Return each instrument's points: their attributes, and the value or the count."""
        data = self._metrics.get_metrics_data()
        assert data is not None
        return {
            metric.name: [
                dict(point.attributes or {}) | {"": getattr(point, "value", getattr(point, "count", None))}
                for point in metric.data.data_points
            ]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def test_work_is_a_span_and_a_duration() -> None:
    seen = Seen()
    told = SpanFacts({"name": "GET /x", "id": "r-1"}, {"http.route": "/x"})
    with seen.telemetry.work("duration", told, {}):
        told.measured["http.response.status_code"] = 200

    (span,) = seen.spans
    assert (span.name, span.kind, span.status.status_code) == ("GET /x", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {"http.route": "/x", "http.response.status_code": 200, "id": "r-1"}
    assert seen.points()["duration"] == [{"http.route": "/x", "http.response.status_code": 200, "": 1}]


async def test_a_log_line_names_the_span_that_it_is_written_in() -> None:
    seen = Seen()
    with seen.telemetry.work("duration", SpanFacts({"name": "chat"}), None):
        within = span_ids()
    after = span_ids()
    (span,) = seen.spans
    await seen.telemetry.stop()

    assert span.context is not None
    assert within == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert after is None


def test_a_span_may_get_its_name_in_the_end() -> None:
    seen = Seen()
    told = SpanFacts({"name": "chat"})
    with seen.telemetry.work("duration", told, None):
        told.attributes["name"] = "chat gpt-4o"

    (span,) = seen.spans
    assert (span.name, dict(span.attributes or {})) == ("chat gpt-4o", {})


@pytest.mark.parametrize(
    ("error", "status"),
    [(DependencyUnavailableError("the store"), StatusCode.ERROR), (KeyError("absent"), StatusCode.UNSET)],
)
def test_only_what_a_dependency_did_not_answer_is_its_error(error: Exception, status: StatusCode) -> None:
    seen = Seen()
    with pytest.raises(type(error)), seen.telemetry.work("duration", SpanFacts(), None):
        raise error

    (span,) = seen.spans
    assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, status)
    assert (span.attributes or {})["error.type"] == type(error).__name__
    assert span.events == ()


def test_a_failed_request_is_an_error_and_a_refused_one_is_none() -> None:
    seen = Seen()
    for status in (404, 503):
        with seen.telemetry.work("duration", SpanFacts({}, {"http.response.status_code": status}), {}):
            pass

    assert [span.status.status_code for span in seen.spans] == [StatusCode.UNSET, StatusCode.ERROR]


def test_counters_rise_and_readings_are_read() -> None:
    seen = Seen()
    for _ in range(2):
        seen.telemetry.add("tokens", 5, {"kind": "prompt"})

    points = seen.points()
    assert points["tokens"] == [{"kind": "prompt", "": 10}]
    assert points["tenantry.cache.answers"] == [{"region": "notes", "": 3}]
    assert points["tenantry.cache.entries"] == [{"region": "notes", "": 2}]


async def test_work_side_by_side_is_each_below_its_own_request() -> None:
    seen = Seen()

    async def request(name: str) -> None:
        with seen.telemetry.work("duration", SpanFacts({"name": name}), {}):
            await asyncio.sleep(0)
            with seen.telemetry.work("call", SpanFacts({"name": f"below {name}"}), None):
                await asyncio.sleep(0)

    await asyncio.gather(request("a"), request("b"))

    spans = {span.name: span for span in seen.spans}
    for name in ("a", "b"):
        parent = spans[f"below {name}"].parent
        assert parent is not None
        assert spans[name].context is not None
        assert parent.span_id == spans[name].context.span_id


async def test_it_stops() -> None:
    seen = Seen()
    await seen.telemetry.stop()

    assert seen.spans == ()


def test_without_anywhere_to_export_to_nothing_is_opened() -> None:
    with pytest.raises(ValueError, match="no exporter"):
        open_telemetry(Settings.model_validate(ENVIRONMENT), list)
