"""A receiver of OTLP/HTTP, and of Application Insights: a real socket, and the protocols' own messages."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

type Point = tuple[dict[str, str | int | float], float]


@dataclass
class Receiver:
    """What has arrived.

    Attributes:
        raw: All bodies, as they came.
    """

    port: int = 0
    raw: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    resources: list[dict[str, str | int | float]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> None:
        """Read one export."""
        self.raw.append(body)
        if path == "/v1/traces":
            for traced in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(values(traced.resource.attributes))
                self.spans += [span for scope in traced.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (one for scope in measured.scope_metrics for one in scope.metrics):
                    points = [
                        *((values(p.attributes), float(p.count)) for p in metric.histogram.data_points),
                        *((values(p.attributes), p.as_int or p.as_double) for p in metric.sum.data_points),
                        *((values(p.attributes), p.as_int or p.as_double) for p in metric.gauge.data_points),
                    ]
                    self.metrics[metric.name] = points

    def named(self, name: str) -> list[dict[str, str | int | float]]:
        """Return the attributes of the spans of one name."""
        return [values(span.attributes) for span in self.spans if span.name == name]


def values(attributes: Iterable[KeyValue]) -> dict[str, str | int | float]:
    """Read attributes."""
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes
    }


def accepted(body: bytes) -> bytes:
    """Answer as Application Insights does when it takes everything."""
    items = len(json.loads(body))
    return json.dumps({"itemsReceived": items, "itemsAccepted": items, "errors": []}).encode()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(self.path, gzip.decompress(body) if "content-encoding" in self.headers else body)
            answer = b"" if self.path.startswith("/v1/") else accepted(receiver.raw[-1])
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
