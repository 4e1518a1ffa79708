"""Answers as structs: ``--json`` follows from their fields, and so does its schema (``schema`` is its hook)."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, ClassVar, Self

from msgspec import Struct, to_builtins


class Document(Struct, frozen=True):
    """An answer. Its JSON has the fields in order; numbers whose type has ``shown`` are text there."""

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        document: dict[str, Any] = to_builtins(self, enc_hook=methodcaller("shown"))
        return document


class Time(int):
    """Milliseconds since the epoch; RFC 3339 in documents, in UTC with milliseconds."""

    schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    @classmethod
    def of(cls, millis: int | None) -> Self | None:
        """Return the time, or None for None."""
        return None if millis is None else cls(millis)

    def shown(self) -> str:
        """Return it as text."""
        return rfc3339(self)


def rfc3339(millis: int) -> str:
    """Return a time as text, in UTC with milliseconds."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
