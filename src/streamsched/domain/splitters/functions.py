"""Functions in place of an integer: ``${ceil_div(n, parts)}``. A few, of two values each, and none inside another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streamsched.domain.placeholders import NAME
from streamsched.domain.refusal import FieldPath, TemplateError, suggest

LEVEL: Final = 3
"""The oldest language of templates that has them."""
_CALL: Final = re.compile(r"\$\{(\w+)\(([^{}]*)\)\}", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def _ceil_div(amount: int, by: int) -> int:
    if by < 1:
        raise ValueError(f"it divides by {by}")
    return -(-amount // by)


FUNCTIONS: Final[Mapping[str, Callable[[int, int], int]]] = {"ceil_div": _ceil_div, "min": min, "max": max}
PATTERN: Final = (
    rf"\$\{{({'|'.join(FUNCTIONS)})\(" + ",".join([rf"\s*({_INTEGER.pattern}|{NAME.pattern})\s*"] * 2) + r"\)\}"
)
"""What a call looks like, as a regular expression of JSON Schema."""


class Call(NamedTuple):
    """A function with its two values: integers, or names of variables."""

    name: str
    values: tuple[int | str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that it names."""
        return tuple(value for value in self.values if isinstance(value, str))

    def result(self, one: int, other: int) -> int:
        """Return what the function makes of two integers. Raise ValueError where it cannot."""
        return FUNCTIONS[self.name](one, other)


def call_of(value: str, path: FieldPath) -> Call | None:
    """Return the call that a text is; None for any other text. Raise TemplateError for one that cannot be made."""
    match = _CALL.fullmatch(value)
    if match is None:
        return None
    name, text = match.groups()
    if name not in FUNCTIONS:
        raise TemplateError(f"{name} is not a function", suggest(name, FUNCTIONS), path=path)
    words = [word.strip() for word in text.split(",")]
    remedy = f"write ${{{name}(n, 8)}}"
    for word in words:
        if not _INTEGER.fullmatch(word) and not NAME.fullmatch(word):
            raise TemplateError(f"{word!r} is neither an integer nor the name of a variable", remedy, path=path)
    if len(words) != 2:
        raise TemplateError(f"{name} takes two values, not {len(words)}", remedy, path=path)
    return Call(name, tuple(int(word) if _INTEGER.fullmatch(word) else word for word in words))


def has_call(value: object) -> bool:
    """Return whether a field of a splitter is a call, or an object that holds one. In lists there are none."""
    if isinstance(value, dict):
        return any(map(has_call, value.values()))
    return isinstance(value, str) and _CALL.fullmatch(value) is not None
