"""A collector of traces: takes OTLP over HTTP, as protobuf, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.http_server import LIMIT


class Collected:
    """A span: its resource's and its own attributes as a dict, and the message."""

    def __init__(self, resource: Any, span: Any) -> None:
        self.resource = {each.key: each.value.string_value for each in resource.attributes}
        self.attributes = {
            each.key: each.value.string_value or each.value.int_value for each in span.attributes
        }  # fmt: skip
        self.name: str = span.name
        self.trace: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.links = [f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links]
        self.failed = span.status.code == 2
        self.message: str = span.status.message
        self.events = [event.name for event in span.events]


class Collector(ThreadingHTTPServer):
    """Serves until it is shut down."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Collected] = []
        self.news = threading.Condition()

    @property
    def address(self) -> str:
        """Where to send traces to."""
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str, number: int) -> list[Collected]:
        """Wait for so many spans of a name, and return them."""

        def found() -> list[Collected]:
            return [span for span in self.spans if span.name == name]

        with self.news:
            assert self.news.wait_for(lambda: len(found()) >= number, LIMIT), [span.name for span in self.spans]
        return found()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Take spans."""
        assert self.path == "/v1/traces"
        data = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
        with self.server.news:
            for each in request.resource_spans:
                for scope in each.scope_spans:
                    self.server.spans += [Collected(each.resource, span) for span in scope.spans]
            self.server.news.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """Start a collector, for as long as the block lasts."""
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join(LIMIT)
