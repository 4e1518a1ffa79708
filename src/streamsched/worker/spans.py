"""The spans of attempts. Imports OpenTelemetry, which only those need who ask for traces.

An attempt is the root of a trace of its own, with a link to its submit: a span that lasts as long as a task would be
sent when all is over, or never. What a handler traces is below the span of its attempt.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from contextvars import Context as Variables
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from streamsched.version import __version__
from streamsched.worker.context import ChildContext
from streamsched.worker.endings import Outcome
from streamsched.worker.jobs import Job

SERVICE: Final = "streamsched-worker"
"""The name of the service, where no variable gives another."""
UNKNOWN: Final = "unknown_service"
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
Perform = Callable[[ChildContext, Job], Outcome | None]


class Spans:
    """Makes the spans of one executor's attempts; through the provider of the machine, if code of it has made one."""

    def __init__(self) -> None:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            _speak_once()
            provider = TracerProvider(resource=_resource())
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer("streamsched", __version__)

    def around(self, perform: Perform) -> Perform:
        """Return what performs an attempt inside its span; one that is async has not begun then, and gets its own."""

        def traced(context: ChildContext, job: Job) -> Outcome | None:
            span = self._begin(context, job)
            token = attach(_within(span))
            try:
                outcome = perform(context, job)
            finally:
                detach(token)
            if outcome is not None:
                self.end(span, outcome)
            return outcome

        return traced

    def enter(self, variables: Variables, context: ChildContext, job: Job) -> Span:
        """Begin the span of an async attempt, which runs with these variables."""
        span = self._begin(context, job)
        variables.run(attach, _within(span))
        return span

    def end(self, span: Span, outcome: Outcome) -> None:
        """End a span with how the attempt went."""
        failure = outcome.failure
        if failure is not None:
            span.add_event(
                "exception",
                {
                    "exception.type": failure.error_type,
                    "exception.message": failure.message,
                    "exception.stacktrace": failure.traceback,
                },
            )
            span.set_status(Status(StatusCode.ERROR, f"{failure.error_type}: {failure.message}"[:500]))
        how = "failed" if failure is not None else "stopped" if outcome.stopped else "completed"
        span.set_attribute("streamsched.outcome", how)
        span.end()

    def _begin(self, context: ChildContext, job: Job) -> Span:
        return self._tracer.start_span(
            job.handler,
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=_links(job.trace),
            attributes={
                "streamsched.task": job.task_id,
                "streamsched.stage": context.stage,
                "streamsched.child": context.child_index,
                "streamsched.attempt": job.attempt,
            },
        )


def _within(span: Span) -> Context:
    return trace.set_span_in_context(span, Context())


def _links(traceparent: str | None) -> list[Link]:
    """Return the link to the span that submitted the task; none to what is no W3C traceparent."""
    found = _PARENT.fullmatch(traceparent or "")
    if found is None:
        return []
    trace_id, span_id, flags = (int(part, 16) for part in found.groups()[:3])
    origin = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return [Link(origin)] if origin.is_valid else []


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, UNKNOWN)).startswith(UNKNOWN):
        found = found.merge(Resource({SERVICE_NAME: SERVICE}))
    return found


class _Once(logging.Handler):
    """Says once why spans cannot be sent: what is said again and again would stand in the output of children."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        logging.getLogger("opentelemetry").removeHandler(self)
        sys.stderr.write(f"traces of this process cannot be sent: {record.getMessage()}\n")


def _speak_once() -> None:
    said = logging.getLogger("opentelemetry")
    said.addHandler(_Once(logging.WARNING))
    said.propagate = False
