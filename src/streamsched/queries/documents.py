"""Answers as structs: ``--json`` follows from their fields, and so do its schema and its reading.

A type of a field that JSON does not have says how it is ``shown``, is ``read``, and its ``schema``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from msgspec import Struct, json, to_builtins

from streamsched.domain.errors import InputError


class Document(Struct, frozen=True):
    """An answer. Its JSON has the fields in order; values whose type has ``shown`` are text there."""

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        document: dict[str, Any] = to_builtins(self, enc_hook=methodcaller("shown"))
        return document


T = TypeVar("T")


def read(data: bytes | str, kind: type[T]) -> T:
    """Read the JSON of a document, as ``document`` wrote it. Raise msgspec's errors, ValueError, RecursionError."""
    hook: Any = lambda own, text: own.read(text)  # noqa: E731
    return json.decode(data, type=kind, dec_hook=hook)


class Time(datetime):
    """An aware ``datetime``, of whole milliseconds, in UTC; RFC 3339 in documents, with milliseconds."""

    schema: ClassVar = {"type": "string", "format": "date-time"}

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``shown`` wrote. Raise ValueError."""
        return cls.fromisoformat(text)

    @classmethod
    def at(cls, millis: int) -> Self:
        """Return the time that is so many milliseconds after the epoch."""
        return cls(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)

    @classmethod
    def of(cls, millis: int | None) -> Self | None:
        """Return the time, or None for None."""
        return None if millis is None else cls.at(millis)

    def shown(self) -> str:
        """Return it as text."""
        return rfc3339(millis_of(self))


if TYPE_CHECKING:
    Timestamp = datetime
else:
    Timestamp = Time
"""A field with a time: for its users an aware ``datetime``; in JSON RFC 3339."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
Moment = datetime | int
"""A time that a caller gives: an aware ``datetime``, or milliseconds since the epoch."""


def millis_of(moment: Moment) -> int:
    """Return milliseconds since the epoch. Raise InputError for a ``datetime`` without a zone."""
    if not isinstance(moment, datetime):
        return moment
    if moment.utcoffset() is None:
        remedy = "give one with a zone, such as datetime.now(UTC)"
        raise InputError(f"the time {moment.isoformat()} has no zone", remedy)
    return (moment - _EPOCH) // _MILLISECOND


def rfc3339(millis: int) -> str:
    """Return a time as text, in UTC with milliseconds."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
