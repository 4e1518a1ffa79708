"""Errors that people can act on: one message, saying where, what and what to do."""

from __future__ import annotations

from typing import Final

from streamsched.domain.visible import visible

_LONGEST: Final = 300


class InputError(Exception):
    """What the caller gave cannot be used, and nothing has been written (exit code 2).

    ``source`` is a file or an option, ``line`` counts from 1, ``field`` is a dotted path such as
    ``child.args.first``.
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


def not_text(error: UnicodeEncodeError) -> InputError:
    """Say which text no record can hold: one with a lone surrogate."""
    return InputError(f"{error.object[:200]!r} is not text", "give it without lone surrogates")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
