"""`Exporter` on OpenTelemetry's SDK, over OTLP or to Application Insights. Imported when it is configured.

Spans wait in a bounded queue for a thread that exports them; where the receiver is down they are dropped, and
no request waits. The providers are this module's own, not the process's: what other libraries trace stays
theirs.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.errors import APIError
from shared.logging.context import SpanIds, name_spans_by
from shared.logging.files import instance_name
from shared.telemetry.measurements import MEASUREMENTS
from shared.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from shared.settings import Settings
    from shared.telemetry.measurements import Measurement
    from shared.telemetry.spans import Attributes, SpanFacts

type Measure = Callable[[], Iterable[Measurement]]

_EXPORT_SECONDS = 5
_STOP_SECONDS = 10
_FAILED = 500


class OpenTelemetry:
    """Tracer and meter of this app.

    Args:
        app: The service's name.
        spans: Exports spans.
        metrics: Exports metrics.
        measure: Reads the process's values, whenever metrics are exported.
    """

    def __init__(self, app: str, spans: SpanProcessor, metrics: MetricReader, measure: Measure) -> None:
        resource = Resource.create(
            {"service.name": app, "service.version": VERSION, "service.instance.id": instance_name()}
        )
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(spans)
        self._metrics = MeterProvider([metrics], resource=resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("tenantry", VERSION)
        self._meter = self._metrics.get_meter("tenantry", VERSION)
        self._histograms: dict[str, Histogram] = {}
        self._counters: dict[str, Counter] = {}
        self._propagator = TraceContextTextMapPropagator()
        self._observe(measure)
        name_spans_by(_read_span)

    @contextmanager
    def work(self, name: str, facts: SpanFacts, headers: Mapping[str, str] | None) -> Iterator[None]:
        """Trace and measure the block."""
        parent = None if headers is None else self._propagator.extract(headers)
        kind = SpanKind.CLIENT if headers is None else SpanKind.SERVER
        began = monotonic()
        tracing = self._tracer.start_as_current_span(
            str(facts.attributes.pop("name", name)),
            context=parent,
            kind=kind,
            record_exception=False,  # an error's text may quote what a tenant said
            set_status_on_exception=False,
        )
        with tracing as span, ExitStack() as ending:
            ending.push(
                lambda _kind, error, _trace: self._end_span(name, facts, span, error, monotonic() - began)
            )
            yield

    def _end_span(
        self, name: str, facts: SpanFacts, span: Span, error: BaseException | None, seconds: float
    ) -> None:
        if error is not None:
            facts.measured["error.type"] = type(error).__name__
        if (known := facts.attributes.pop("name", None)) is not None:
            span.update_name(str(known))
        span.set_attributes({**facts.measured, **facts.attributes})
        # What else is raised is an answer that its caller understands.
        if isinstance(error, APIError) or int(facts.measured.get("http.response.status_code", 0)) >= _FAILED:
            span.set_status(StatusCode.ERROR)
        self._histogram(name).record(seconds, facts.measured)

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        """Let a counter rise."""
        if name not in self._counters:
            self._counters[name] = self._meter.create_counter(name)
        self._counters[name].add(amount, attributes)

    async def stop(self) -> None:
        """Export what is left, for a bounded time, and stop."""
        name_spans_by(None)

        def shut_down() -> None:
            self._traces.shutdown()
            self._metrics.shutdown(_STOP_SECONDS * 1000)

        await asyncio.to_thread(shut_down)

    def _histogram(self, name: str) -> Histogram:
        if name not in self._histograms:
            self._histograms[name] = self._meter.create_histogram(name, unit="s")
        return self._histograms[name]

    def _observe(self, measure: Measure) -> None:
        def observer(name: str) -> Callable[[CallbackOptions], list[Observation]]:
            return lambda _: [Observation(one.value, one.attributes) for one in measure() if one.name == name]

        for name, rises in MEASUREMENTS.items():
            create = self._meter.create_observable_counter if rises else self._meter.create_observable_gauge
            create(name, [observer(name)])


def open_telemetry(settings: Settings, measure: Measure) -> OpenTelemetry:
    """Export to what the settings name: an OTLP endpoint goes before Application Insights."""
    spans, metrics = _exporters(settings)
    every = settings.telemetry_seconds * 1000
    return OpenTelemetry(
        settings.app_name,
        BatchSpanProcessor(spans, schedule_delay_millis=every),
        PeriodicExportingMetricReader(
            metrics, export_interval_millis=every, export_timeout_millis=_EXPORT_SECONDS * 1000
        ),
        measure,
    )


def _exporters(settings: Settings) -> tuple[SpanExporter, MetricExporter]:
    if settings.otlp_endpoint is not None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415  # one of two is used
            OTLPMetricExporter,
        )
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # same
            OTLPSpanExporter,
        )

        base = settings.otlp_endpoint.rstrip("/")
        return (
            OTLPSpanExporter(f"{base}/v1/traces", timeout=_EXPORT_SECONDS),
            OTLPMetricExporter(f"{base}/v1/metrics", timeout=_EXPORT_SECONDS),
        )
    from azure.monitor.opentelemetry.exporter import (  # noqa: PLC0415  # same
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    if settings.application_insights is None:
        raise ValueError("no exporter is configured")
    connection = settings.application_insights.get_secret_value()
    return (
        AzureMonitorTraceExporter(connection_string=connection, disable_offline_storage=True),
        AzureMonitorMetricExporter(connection_string=connection, disable_offline_storage=True),
    )


def _read_span() -> SpanIds | None:
    """Return the ids of the span in force, as W3C's trace context writes them."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return SpanIds(f"{context.trace_id:032x}", f"{context.span_id:016x}")
