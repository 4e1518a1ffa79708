"""How a job's input is cut: a function for each splitter of a template, for ``@streamsched.job(split=...)``.

The arguments are the fields of ``split:`` in a template (docs/template.md). A field that is not given has the default
of the template, and a text may hold placeholders, as in ``ranges(1, "${n}", size=10)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from os import PathLike, fspath
from typing import Any

Whole = int | str
"""An integer, or the placeholder of one."""
When = date | str
"""A date, a ``datetime``, or a text."""


@dataclass(frozen=True, slots=True)
class Split:
    """What stands under ``split:`` in a template.

    ``main`` is the variable of a child for the first parameter of a function that has none of a variable's name.
    """

    kind: str
    fields: Mapping[str, Any]
    main: str = ""

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, as plain data."""
        return {name: plain(value) for name, value in self.fields.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """Return what stands under ``split:``."""
        return {self.kind: self.given()}


def ranges(first: Whole, last: Whole, size: Whole) -> Split:
    """Cut the integers ``first..last``, both inclusive, into runs of ``size``."""
    return Split("range", {"first": first, "last": last, "size": size}, "first" if size == 1 else "")


range_ = ranges


def items(items: Iterable[Any] | str, *, size: Whole | None = None) -> Split:
    """Cut a list, or the placeholder of an array, into chunks of ``size`` (1)."""
    given = items if isinstance(items, str) else list(items)
    return Split("list", {"items": given, "size": size}, "item" if size in (None, 1) else "items")


def grid(axes: Mapping[str, Iterable[Any] | str], *, size: Whole | None = None) -> Split:
    """Make a point of every combination of one value from each axis, ``size`` (1) points in each child.

    An axis is a list, the placeholder of an array, or ``range(1, 11)``.
    """
    return Split("grid", {"axes": {name: _axis(axis) for name, axis in axes.items()}, "size": size}, "points")


def dates(start: When, end: When, *, every: str | None = None, zone: str | None = None) -> Split:
    """Cut ``start <= time < end`` into units: ``hour``, ``day`` (the default), ``week`` or ``month``."""
    fields = {"start": start, "end": end, "every": every, "zone": zone}
    return Split("dates", fields, "start" if every == "hour" else "date")


def _axis(axis: Any) -> Any:
    if isinstance(axis, range) and axis.step == 1:
        return {"first": axis.start, "last": axis.stop - 1}
    return axis if isinstance(axis, str | Mapping) else list(axis)


def plain(value: Any) -> Any:
    """Return what a file would hold: dates, paths and error classes as text, spans of time in seconds, at any depth."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, type) and issubclass(value, BaseException):
        return value.__qualname__ if value.__module__ == "builtins" else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value
