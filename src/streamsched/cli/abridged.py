"""Long values in few characters: how each text and list in them begins, and how much of it is left out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from streamsched.cli.printing import whole

LEAST: Final = 24
"""Characters for what stands inside a value, however many there are."""


def abridged(value: object, limit: int, write: Callable[[object], str] = whole) -> str:
    """Return a JSON value as ``write`` does; if that has more than ``limit`` characters, about as many of it."""
    text = write(value)
    return text if len(text) <= limit else _abridged(value, limit, write)


def _abridged(value: object, room: int, write: Callable[[object], str]) -> str:
    if isinstance(value, str):
        text = write(value[:room])
        left = len(value) - room
        return text if left <= 0 else f"{text[:-1]}...{text[-1]} ({left:,} more characters)"
    if isinstance(value, dict):
        first = list(islice(value.items(), max(1, room // LEAST)))
        inner = max(LEAST, room // max(1, len(first)))
        entries = [f"{_abridged(key, LEAST, write)}: {_abridged(each, inner, write)}" for key, each in first]
        return f"{{{', '.join([*entries, *_more(len(value) - len(first))])}}}"
    if isinstance(value, list):
        entries = []
        for each in value:
            entry = _abridged(each, max(LEAST, room // 2), write)
            if entries and len(entry) > room:
                break
            entries.append(entry)
            room -= len(entry) + 2
        return f"[{', '.join([*entries, *_more(len(value) - len(entries))])}]"
    return write(value)


def _more(count: int) -> list[str]:
    return [f"... {count:,} more"] if count else []
