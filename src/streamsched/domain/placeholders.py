"""Placeholders: ``${name}`` in strings, ``$${`` for a literal ``${``; read once, written as JSON text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.refusal import FieldPath, TemplateError, dotted, suggest

CHILD: Final = "child."
DEPTH_LIMIT: Final = values.SUBMITTED.levels
INTEGER_LIMIT: Final = values.SUBMITTED.integer_end
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REFERENCE: Final = re.compile(rf"(?:child\.(?:point\.)?)?{NAME.pattern}")
_TOKEN: Final = re.compile(r"(\$\$\{)|\$\{([^}]*)(\}?)")

encode: Final = values.canonical


@dataclass(frozen=True, slots=True)
class Reference:
    """The variable that a placeholder names."""

    name: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in JSON text that only a child can fill; ``inside`` a string it takes the value's text."""

    name: str
    inside: bool


def parse(text: str, path: FieldPath = ()) -> tuple[str | Reference, ...]:
    """Cut a string into literal text and references. Raise TemplateError for a malformed placeholder."""
    pieces: list[str | Reference] = []
    literal = ""
    position = 0
    for token in _TOKEN.finditer(text):
        literal += text[position : token.start()]
        position = token.end()
        if token[1]:
            literal += "${"
            continue
        if not token[3]:
            raise TemplateError("a placeholder is not closed", "write ${name}, or $${ for a plain ${", path=path)
        if not _REFERENCE.fullmatch(token[2]):
            reason = f"{token[0]} is not a placeholder"
            raise TemplateError(reason, "write ${name} or ${child.name}, or $${ for a plain ${", path=path)
        if literal:
            pieces.append(literal)
            literal = ""
        pieces.append(Reference(token[2]))
    literal += text[position:]
    if literal:
        pieces.append(literal)
    return tuple(pieces)


def whole(value: object) -> str | None:
    """Return the variable of a placeholder that is the whole value; None for any other value."""
    if isinstance(value, str):
        pieces = parse(value)
        if len(pieces) == 1 and isinstance(pieces[0], Reference):
            return pieces[0].name
    return None


def references(value: object, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    """Walk a plain value and name every variable in it, with its path."""
    for where, text, is_key in _strings(value, path):
        for piece in parse(text, where):
            if not isinstance(piece, Reference):
                continue
            if is_key:
                reason = f"the key {text} holds a placeholder"
                raise TemplateError(reason, "placeholders go into values; $${ is a plain ${", path=where)
            yield where, piece.name


def check_known(name: str, path: FieldPath, known: Collection[str], where: str) -> None:
    """Refuse a placeholder of a variable that does not exist there."""
    if name not in known:
        raise TemplateError(f"${{{name}}} is unknown in {where}", suggest(name, known), path=path)


def kept(value: object, path: FieldPath = ()) -> Any:
    """Return the plain value that this one equals (``values.plain``), or raise TemplateError. Strings are data here."""
    try:
        return values.plain(value, values.SUBMITTED, len(path))
    except values.Refused as error:
        raise TemplateError(error.reason, error.remedy, path=(*path, *error.path)[:8]) from None


def _strings(value: object, path: FieldPath) -> Iterator[tuple[FieldPath, str, bool]]:
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _strings(entry, (*path, position))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield (*path, key), key, True
            yield from _strings(entry, (*path, key))


def text_of(value: object) -> str:
    """Format a value inside a string: strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else encode(value)


def inside(text: str, path: FieldPath = ()) -> str:
    """Escape a text for a string in which more may follow it. Raise TemplateError where that would make another one."""
    if "\ud800" <= text[-1:] <= "\udbff":
        reason = "a text that ends with half a character cannot stand before other text"
        raise TemplateError(reason, "make it the whole value, or end it with a whole character", path=path)
    return encode(text)[1:-1]


class JsonText:
    """JSON text of a value with its parameters filled in and holes where only a child knows the value.

    Sizes are added up before anything is joined: a small template may name a large parameter many times. Raise
    TemplateError above ``limit`` bytes and for a variable without value.
    """

    __slots__ = ("_encoded", "_limit", "_params", "_path", "_size", "parts")

    def __init__(self, value: object, params: Mapping[str, object], *, path: FieldPath, limit: int) -> None:
        self.parts: list[str | Hole] = []
        self._params = params
        self._encoded: dict[Hole, str] = {}
        self._path = path
        self._limit = limit
        self._size = 0
        plain = encode(value)
        if "${" in plain:
            self._value(value)
        else:
            self._add(plain)

    def _add(self, text: str) -> None:
        self._size += len(text)
        if self._size > self._limit:
            reason = f"{dotted(self._path)} with its variables filled in is above {self._limit // 1024} KiB"
            raise TemplateError(reason, "pass large data by reference (a path, an address)", path=self._path)
        self.parts.append(text)

    def _value(self, value: object) -> None:
        if isinstance(value, str):
            self._string(value)
        elif isinstance(value, list):
            for position, entry in enumerate(value):
                self._add("," if position else "[")
                self._value(entry)
            self._add("]" if value else "[]")
        elif isinstance(value, dict):
            for position, key in enumerate(sorted(value)):
                self._add(("," if position else "{") + encode("".join(map(str, parse(key)))) + ":")
                self._value(value[key])
            self._add("}" if value else "{}")
        else:
            self._add(encode(value))

    def _string(self, value: str) -> None:
        pieces = parse(value, self._path)
        if len(pieces) == 1 and isinstance(pieces[0], Reference):
            self._variable(pieces[0].name, within=False)
            return
        self._add('"')
        for piece in pieces:
            if isinstance(piece, Reference):
                self._variable(piece.name, within=True)
            else:
                self._add(inside(piece, self._path))
        self._add('"')

    def _variable(self, name: str, *, within: bool) -> None:
        hole = Hole(name, within)
        if name.startswith(CHILD):
            self.parts.append(hole)
            return
        if hole not in self._encoded:
            if name not in self._params:
                raise TemplateError("has no value", "give it one", path=self._path, variable=name)
            value = self._params[name]
            self._encoded[hole] = inside(text_of(value), self._path) if within else encode(value)
        self._add(self._encoded[hole])
