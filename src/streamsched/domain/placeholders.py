"""Placeholders: ``${name}`` in strings, ``$${`` for a literal ``${``; read once, written as JSON text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import JSONEncoder
from typing import Final

from streamsched.domain.refusal import Path, TemplateError, dotted

CHILD: Final = "child."
DEPTH_LIMIT: Final = 50
INTEGER_LIMIT: Final = 2**63
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REFERENCE: Final = re.compile(rf"(?:child\.)?{NAME.pattern}")
_TOKEN: Final = re.compile(r"(\$\$\{)|\$\{([^}]*)(\}?)")

# Plain ASCII, so that a length is a size in bytes and even an undecodable file name survives.
encode: Final = JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Reference:
    """The variable that a placeholder names."""

    name: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in JSON text that only a child can fill; ``inside`` a string it takes the value's text."""

    name: str
    inside: bool


def parse(text: str, path: Path = ()) -> tuple[str | Reference, ...]:
    """Cut a string into literal text and references. Raise TemplateError for a placeholder that is none."""
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
            reason = f"{token[0]} is no placeholder"
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
    """Name the variable of a placeholder that is the whole value; None for any other value."""
    if isinstance(value, str):
        pieces = parse(value)
        if len(pieces) == 1 and isinstance(pieces[0], Reference):
            return pieces[0].name
    return None


def references(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Walk a JSON value and name every variable in it, with its path. Refuse what is no JSON."""
    for where, text, is_key in _strings(value, path):
        for piece in parse(text, where):
            if not isinstance(piece, Reference):
                continue
            if is_key:
                reason = f"the key {text} holds a placeholder"
                raise TemplateError(reason, "placeholders go into values; $${ is a plain ${", path=where)
            yield where, piece.name


def check_json(value: object, path: Path = ()) -> None:
    """Refuse what is no JSON. Strings are data here: what looks like a placeholder is none."""
    for _ in _strings(value, path):
        pass


def _strings(value: object, path: Path) -> Iterator[tuple[Path, str, bool]]:
    if len(path) > DEPTH_LIMIT:
        reason = f"nested more than {DEPTH_LIMIT} levels deep"
        raise TemplateError(reason, "make it flatter", path=path[:4])
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _strings(entry, (*path, position))
    elif isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise TemplateError(f"the key {key!r} is not a string", "put it in quotes", path=path)
            yield (*path, key), key, True
            yield from _strings(entry, (*path, key))
    else:
        _check_scalar(value, path)


def _check_scalar(value: object, path: Path) -> None:
    # Beyond JSON, or beyond what its readers in other languages can hold.
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateError(f"{value} is no JSON number", "use a finite number or a string", path=path)
    if isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise TemplateError("the integer is beyond 64 bits", "use a smaller one or a string", path=path)
    if value is not None and not isinstance(value, bool | int | float):
        reason = f"a value of type {type(value).__name__} is no JSON"
        raise TemplateError(reason, "use strings, numbers, booleans, lists and objects", path=path)


def text_of(value: object) -> str:
    """Format a value inside a string: strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else encode(value)


class JsonText:
    """JSON text of a value with its parameters filled in and holes where only a child knows the value.

    Sizes are added up before anything is joined, so that a small template that names a large parameter many
    times is refused instead of built. Raise TemplateError above ``limit`` bytes and for a variable without
    value.
    """

    __slots__ = ("_encoded", "_limit", "_params", "_path", "_size", "parts")

    def __init__(self, value: object, params: Mapping[str, object], *, path: Path, limit: int) -> None:
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
            self._variable(pieces[0].name, inside=False)
            return
        self._add('"')
        for piece in pieces:
            if isinstance(piece, Reference):
                self._variable(piece.name, inside=True)
            else:
                self._add(encode(piece)[1:-1])
        self._add('"')

    def _variable(self, name: str, *, inside: bool) -> None:
        hole = Hole(name, inside)
        if name.startswith(CHILD):
            self.parts.append(hole)
            return
        if hole not in self._encoded:
            if name not in self._params:
                raise TemplateError("has no value", "give it one", path=self._path, variable=name)
            value = self._params[name]
            self._encoded[hole] = encode(text_of(value))[1:-1] if inside else encode(value)
        self._add(self._encoded[hole])
