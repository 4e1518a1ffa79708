"""Answers as structs: ``--json``, and a schema of it, follow from their fields."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from operator import attrgetter, methodcaller
from typing import Any, ClassVar, Self

from msgspec import Struct, json, to_builtins


class Document(Struct, frozen=True):
    """An answer. Its JSON has the fields in their order; numbers that are ``Shown`` are text there."""

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        document: dict[str, Any] = to_builtins(self, enc_hook=methodcaller("shown"))
        return document


class Shown(int):
    """A number that documents have as text."""

    schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def shown(self) -> str:
        """Write it as text."""
        raise NotImplementedError


class Time(Shown):
    """Milliseconds since the epoch; RFC 3339 in documents, in UTC with milliseconds."""

    schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    @classmethod
    def of(cls, millis: int | None) -> Self | None:
        """Return the time, or None for None."""
        return None if millis is None else cls(millis)

    def shown(self) -> str:
        """Write it as text."""
        return rfc3339(self)


def rfc3339(millis: int) -> str:
    """Write a time as UTC with milliseconds."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schemas(kinds: Iterable[type[Document]], ref: str = "#/$defs/{name}") -> dict[str, Any]:
    """Return the JSON schemas of these documents and of all within them, by name."""
    return json.schema_components(kinds, schema_hook=attrgetter("schema"), ref_template=ref)[1]
