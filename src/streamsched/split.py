"""How a job's input is cut: a function for each splitter of a template, for ``@streamsched.job(split=...)``.

The arguments are the fields of ``split:`` in a template (docs/template.md). A field that is not given has the default
of the template, and a text may hold placeholders, as in ``ranges(1, "${n}", size=10)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from os import PathLike, fspath
from typing import Any

Span = timedelta | float | str
"""A span of time: a ``timedelta``, seconds, or a text such as ``10m``."""
Whole = int | str
"""An integer, or the placeholder of one."""
When = date | str
"""A date, a ``datetime``, or a text."""
AnyPath = str | PathLike[str]
"""A path, a pattern, or a URL; relative ones are those of the working folder."""


@dataclass(frozen=True, slots=True)
class Split:
    """What stands under ``split:`` in a template.

    ``main`` is the variable of a child for the first parameter of a function that has none of a variable's name.
    ``beside`` are fields that stand beside the splitter.
    """

    kind: str
    fields: Mapping[str, Any]
    main: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, as plain data."""
        return {name: plain(value) for name, value in self.fields.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """Return what stands under ``split:``."""
        given, beside = self.given(), {name: plain(each) for name, each in self.beside.items() if each is not None}
        if self.kind == "by":
            return {"by": given["function"], "args": given.get("args", {}), **beside}
        return {self.kind: given, **beside}


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


def files(
    glob: AnyPath | Sequence[AnyPath],
    *,
    count: Whole | None = None,
    bytes: Whole | None = None,
    empty: bool | None = None,
    verify: bool | None = None,
    timeout: Span | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Split:
    """Find files by a pattern, a folder or a list of them: ``count`` (1) in each child, or as many as have ``bytes``.

    ``timeout`` and ``retry`` are those of the child that looks for them, here and in the functions below.
    """
    fields = {"glob": glob, "count": count, "bytes": bytes, "empty": empty, "verify": verify}
    return Split("files", fields, "items", {"timeout": timeout, "retry": retry})


def lines(
    file: AnyPath,
    *,
    size: Whole | None = None,
    empty: bool | None = None,
    verify: bool | None = None,
    timeout: Span | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Split:
    """Cut the lines of a file of any size, without empty ones, into chunks of ``size`` (1)."""
    fields = {"file": file, "size": size, "empty": empty, "verify": verify}
    return Split("lines", fields, "item" if size in (None, 1) else "items", {"timeout": timeout, "retry": retry})


def bytes_(
    files: AnyPath | Sequence[AnyPath],
    *,
    size: Whole | None = None,
    format: str | None = None,
    one_line: bool | None = None,
    empty: bool | None = None,
    verify: bool | None = None,
    timeout: Span | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Split:
    """Cut files of records (``text``, ``jsonl`` or ``csv``) into ranges of ``size`` bytes, for ``ctx.records()``."""
    fields = {"files": files, "size": size, "format": format, "one_line": one_line, "empty": empty, "verify": verify}
    return Split("bytes", fields, "", {"timeout": timeout, "retry": retry})


def topic(
    name: str,
    *,
    begin: When | None = None,
    end: When | None = None,
    size: Whole | None = None,
    empty: bool | None = None,
    timeout: Span | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Split:
    """Cut the records of a topic into spans of ``size`` (10,000) offsets, for ``ctx.records()``.

    ``begin`` and ``end`` are ``from`` and ``to`` of a template: ``earliest``, ``latest``, or a time with a zone.
    """
    fields = {"name": name, "from": begin, "to": end, "size": size, "empty": empty}
    return Split("topic", fields, "", {"timeout": timeout, "retry": retry})


def by(
    function: Callable[..., Iterable[Any]] | str,
    args: Mapping[str, Any] | None = None,
    *,
    timeout: Span | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Split:
    """Make a child of each item that a function of yours yields, called with a context and ``args``.

    Its parameters that ``args`` does not name get the task's variables of their names.
    """
    return Split("by", {"function": function, "args": args}, "item", {"timeout": timeout, "retry": retry})


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
