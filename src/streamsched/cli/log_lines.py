"""How log records are written: a line each for people, or a JSON object a line for programs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from streamsched.domain.visible import visible

FORMATS: Final = ("text", "json")
FIELDS: Final = ("task", "child", "ordinal", "attempt", "worker", "trace")
"""What a record may know beside its message, if it is about a child (``worker/told.py``)."""
_NO_DIGITS: Final = str.maketrans("", "", "0123456789")
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def formatter_of(kind: str) -> logging.Formatter:
    """Return what writes records in one of ``FORMATS``."""
    return JsonLines() if kind == "json" else Lines(_TEXT)


class Lines(logging.Formatter):
    """Writes a record as one line, and a traceback below it, with control characters made visible."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Write a traceback."""
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, in ASCII; a field that is not known is left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Write it."""
        import json  # late: few processes write it

        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Repetitions(logging.Filter):
    """Drops repetitions within seconds, also with other numbers: clients of a dead broker repeat themselves.

    A line about a child is kept: another number is another child.
    """

    QUIET_S: Final = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log this record."""
        if hasattr(record, "child"):
            return True
        text = f"{record.name} {record.getMessage()}".translate(_NO_DIGITS)
        before = self._seen.get(text)
        if before is not None and record.created - before < self.QUIET_S:
            return False
        if len(self._seen) > 1_000:
            self._seen.clear()
        self._seen[text] = record.created
        return True
