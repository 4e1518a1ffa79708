"""What a template says of one variable, and whether a value is one of these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from streamsched.domain import pattern as patterns
from streamsched.domain.placeholders import INTEGER_LIMIT, encode, kept
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole, suggest


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -INTEGER_LIMIT <= value < INTEGER_LIMIT


def _number(value: object) -> bool:
    return _integer(value) or (isinstance(value, float) and math.isfinite(value))


TYPES: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "integer": ("an integer", _integer),
    "number": ("a number", _number),
    "string": ("a string", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
}
TYPES_OF: Final = {
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "minLength": ("string", "array"),
    "maxLength": ("string", "array"),
    "pattern": ("string",),
    "items": ("array",),
}
_SHOWN: Final = 20
"""Values of an enum that a message names."""
_ATTRIBUTES: Final = {"minLength": "min_length", "maxLength": "max_length"}
FIELDS: Final = ("type", "default", "description", "enum", *TYPES_OF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One declared variable. The words are JSON Schema's; ``default`` None makes it required.

    ``pattern`` is a regular expression that is searched for (anchor it yourself); ``items`` is the type of
    each entry of an array; lengths are characters of a string or entries of an array.
    """

    type: str
    default: object = None
    description: str = ""
    enum: tuple[object, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    items: str | None = None

    def check(self, name: str) -> None:
        """Refuse a declaration that contradicts itself. Raise TemplateError with the path of the field."""
        path: FieldPath = ("params", name)
        for field, kind in (("type", self.type), ("items", self.items)):
            if kind is not None and kind not in TYPES:
                reason = f"{kind!r} is not a type"
                raise TemplateError(reason, suggest(kind, TYPES), path=(*path, field))
        for field, types in TYPES_OF.items():
            if getattr(self, _ATTRIBUTES.get(field, field)) is not None and self.type not in types:
                reason = f"has no meaning for a variable of type {self.type}"
                remedy = f"remove it, or make the type {' or '.join(types)}"
                raise TemplateError(reason, remedy, path=(*path, field))
        self._check_limits(path)
        allowed = tuple(kept(value, (*path, "enum", position)) for position, value in enumerate(self.enum))
        object.__setattr__(self, "enum", allowed)
        for position, value in enumerate(self.enum):
            if not TYPES[self.type][1](value):
                reason = f"{_short(value)} is not {TYPES[self.type][0]}"
                raise TemplateError(reason, "make type and enum agree", path=(*path, "enum", position))
        if self.default is not None:
            object.__setattr__(self, "default", kept(self.default, (*path, "default")))
            fault = self.fault(self.default)
            if fault:
                raise TemplateError(fault, f"make it {self.wanted()}", path=(*path, "default"))

    def _check_limits(self, path: FieldPath) -> None:
        for low, high, low_name, high_name in (
            (self.minimum, self.maximum, "minimum", "maximum"),
            (self.min_length, self.max_length, "minLength", "maxLength"),
        ):
            for limit, name in ((low, low_name), (high, high_name)):
                if limit is not None and not _number(limit):
                    raise TemplateError(f"{limit!r} is not a number", "give a number", path=(*path, name))
            if low is not None and high is not None and low > high:
                reason = f"{low_name} {low} is above {high_name} {high}"
                raise TemplateError(reason, "swap them", path=(*path, low_name))
        for limit, name in ((self.min_length, "minLength"), (self.max_length, "maxLength")):
            if limit is not None:
                check_whole(limit, (*path, name), 0)
        if self.pattern is not None and not isinstance(self.pattern, str):
            raise TemplateError(f"{self.pattern!r} is not a regular expression", "give a text", path=(*path, "pattern"))

    def check_pattern(self, name: str) -> None:
        """Refuse a pattern that cannot be matched, and a default that does not match. Raise TemplateError.

        Apart from ``check``: a template in the journal must be readable whatever patterns its version knew.
        """
        if self.pattern is None:
            return
        path: FieldPath = ("params", name)
        try:
            patterns.check(self.pattern)
        except patterns.PatternError as error:
            reason = f"{_short(self.pattern)} is not a regular expression known here: {error}"
            remedy = "write a regular expression without backreferences and look-around (docs/template.md)"
            raise TemplateError(reason, remedy, path=(*path, "pattern")) from None
        if self.default is not None and (fault := self.mismatch(self.default)):
            raise TemplateError(fault, f"make it {self.wanted()}", path=(*path, "default"))

    def wanted(self) -> str:
        """Describe the values that are accepted, in words."""
        words = [TYPES[self.type][0]]
        if self.items is not None:
            words.append(f"each entry {TYPES[self.items][0]}")
        if self.enum:
            more = f" and {len(self.enum) - _SHOWN:,} more" if len(self.enum) > _SHOWN else ""
            words.append(f"one of {', '.join(map(_short, self.enum[:_SHOWN]))}{more}")
        if self.minimum is not None:
            words.append(f"at least {self.minimum:g}" if self.minimum % 1 else f"at least {int(self.minimum)}")
        if self.maximum is not None:
            words.append(f"at most {self.maximum:g}" if self.maximum % 1 else f"at most {int(self.maximum)}")
        if self.min_length is not None:
            words.append(f"of length {self.min_length} or more")
        if self.max_length is not None:
            words.append(f"of length {self.max_length} or less")
        if self.pattern is not None:
            words.append(f"matching {self.pattern if len(self.pattern) <= 200 else f'{self.pattern[:197]}...'}")
        return ", ".join(words)

    def fault(self, value: object) -> str | None:
        """Return why a value is refused, whatever the pattern; None when it is accepted."""
        if not TYPES[self.type][1](value):
            return f"{_short(value)} is not {TYPES[self.type][0]}"
        if self.items is not None and isinstance(value, list):
            for position, entry in enumerate(value):
                if not TYPES[self.items][1](entry):
                    return f"entry {position}, {_short(entry)}, is not {TYPES[self.items][0]}"
        # 1 and true are equal in Python, not in JSON.
        if self.enum and encode(value) not in map(encode, self.enum):
            return f"{_short(value)} is not among the allowed values"
        return self._beyond(value)

    def _beyond(self, value: object) -> str | None:
        if isinstance(value, int | float):
            if self.minimum is not None and value < self.minimum:
                return f"{value} is below the minimum"
            if self.maximum is not None and value > self.maximum:
                return f"{value} is above the maximum"
        if isinstance(value, str | list):
            if self.min_length is not None and len(value) < self.min_length:
                return f"its length {len(value)} is below minLength"
            if self.max_length is not None and len(value) > self.max_length:
                return f"its length {len(value)} is above maxLength"
        return None

    def mismatch(self, value: object) -> str | None:
        """Return why a value does not match the pattern; None if it matches, or without a pattern."""
        if self.pattern is None or not isinstance(value, str):
            return None
        try:
            if patterns.work_of(self.pattern, value) > patterns.WORK_LIMIT:
                return "is too long for so large a pattern"
            return None if patterns.matches(self.pattern, value) else f"{_short(value)} does not match the pattern"
        except patterns.PatternError as error:
            return f"has the pattern {_short(self.pattern)}, which cannot be matched: {error}"

    def to_dict(self) -> dict[str, object]:
        """Write the declaration as a JSON object; what is not set is left out."""
        fields: dict[str, object] = {name: getattr(self, _ATTRIBUTES.get(name, name)) for name in FIELDS}
        fields["enum"] = list(self.enum) or None
        fields["description"] = self.description or None
        return {name: value for name, value in fields.items() if value is not None}


def _short(value: object) -> str:
    try:
        text = encode(value)
    except (ValueError, TypeError):
        text = repr(value) if not isinstance(value, int) else "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
