"""Errors that people can act on, and what each kind is at the edges: exit code, and status and name in HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from streamsched.domain.visible import visible

_LONGEST: Final = 300


class StreamschedError(Exception):
    """An error of streamsched's own; the kinds below set the two codes."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    @classmethod
    def code(cls) -> str:
        """Return the name of the kind in addresses, such as ``no-such-task``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def kinds(cls) -> Iterator[type[StreamschedError]]:
        """Yield this kind and those below it that are imported."""
        yield cls
        for each in cls.__subclasses__():
            yield from each.kinds()


class WrongInput(StreamschedError):
    """What the caller gave cannot be used."""

    exit_code = 2
    http_status = 422


class NoSuchTask(StreamschedError):
    """There is no task of this id in this log."""

    exit_code = 4
    http_status = 404


class NoSuchSchedule(NoSuchTask):
    """There is no schedule of this id in this log, or it was deleted."""


class NoResult(StreamschedError):
    """The task has no result, or not yet."""

    http_status = 409


class Unavailable(StreamschedError):
    """The log cannot be reached, read or written as it must be."""

    exit_code = 3
    http_status = 503


class InputError(WrongInput):
    """What the caller gave cannot be used, and nothing has been written.

    ``source`` is a file or an option, ``line`` counts from 1, ``field`` is a path such as ``child.args.first``.
    """

    def __init__(self, reason: str, remedy: str, *, source: str = "", line: int | None = None, field: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        self.source = source
        self.line = line
        self.field = field
        place = source if line is None else f"{source}:{line}"
        parts = (place, _short(field), f"{_short(reason)}; {remedy}")
        super().__init__(visible(": ".join(part for part in parts if part)))


class Conflict(InputError):
    """The request conflicts with what exists already."""

    http_status = 409


def not_text(error: UnicodeEncodeError) -> InputError:
    """Return which text no record can hold: one with a lone surrogate."""
    return InputError(f"{error.object[:200]!r} is not text", "give it without lone surrogates")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
