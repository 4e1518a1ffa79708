"""Whether attempts are traced, as the variables of OpenTelemetry say. Imports nothing heavy: every executor asks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamsched.worker.spans import Spans

PLACES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
LAST_S: Final = 3.0
PACKAGES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether spans are to be sent: somebody has said where to, or that it is to be done."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter == "otlp" if exporter else any(environ.get(name) for name in PLACES)


def check() -> None:
    """Warn where spans are wanted and cannot be made: a machine may have the variables for other programs."""
    if wanted() and not _installed():
        import logging  # late, as the next: executors import this module

        logging.getLogger(__name__).warning(
            "attempts are not traced, though OTEL_* asks for it: OpenTelemetry is not installed; "
            "install it with: pip install 'streamsched[otel]', or set OTEL_TRACES_EXPORTER=none"
        )


def patience_s() -> float:
    """Return how many seconds executors without a job have to send their last spans, when their pool is closed."""
    return LAST_S if wanted() else 0.0


def begin() -> Spans | None:
    """Return what makes the spans of this executor; None where they are not wanted, or cannot be made."""
    if not wanted() or not _installed():
        return None
    from streamsched.worker.spans import Spans

    return Spans()


def _installed() -> bool:
    from importlib.util import find_spec

    try:
        return all(find_spec(name) is not None for name in PACKAGES)
    except ModuleNotFoundError:
        return False
