"""Avro bodies, compiled: for each event class one function that writes it and one that reads it, field after field.

A general Avro library walks the schema for every record; here the schema is walked once, into straight Python code, as
``dataclasses`` does for ``__init__``. It takes what the event schemas use: long, string, bytes, boolean, double, null
or one of these, arrays, and records that are ``msgspec.Struct``s. Tests hold every body against fastavro's, both ways.
A former schema that lacks only fields at the end of its records is compiled in the same way: for reading, the class
fills in its defaults; for writing, it is taken wherever all that it lacks is at its default.
Source: Apache Avro 1.12 specification, "Binary encoding".
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final

Write = Callable[[Any], bytes]
Read = Callable[[bytes, int], tuple[Any, int]]

_DOUBLE: Final = Struct("<d")
_SHORT: Final = tuple((byte >> 1) ^ -(byte & 1) for byte in range(0x80))
"""Numbers by their varints of one byte."""
_KNOWN_LIMIT: Final = 4_096
"""Numbers that are remembered; then it begins anew."""
TIME_BYTES: Final = 6
"""Bytes of the varint of a time in milliseconds, until September 2039; later ones are read a little slower."""
TOKEN_BYTES: Final = 5
"""Bytes of the varint of a fencing token, while its ordinal is at most 3."""
_REMEMBERED: Final = {"at": ("time", TIME_BYTES), "started_at": ("time", TIME_BYTES), "token": ("token", TOKEN_BYTES)}
"""Fields whose numbers were mostly read before, with what they are looked up in."""
ITEMS_LIMIT: Final = 1 << 16
"""Items of one array: no event has more, and more would cost far more memory than the record has bytes."""


class _Longs(dict[int, bytes]):
    """Zigzag varints by value: most of what is written (times, lengths) is written many times."""

    __slots__ = ()

    def __missing__(self, value: int) -> bytes:
        rest = value << 1 if value >= 0 else (-value << 1) - 1
        if 0x4000 <= rest < 0x200000:  # a child's index, written once
            return bytes((rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80, rest >> 14))
        if len(self) >= _KNOWN_LIMIT:
            self.clear()
        out = bytearray()
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
        self[value] = bytes(out)
        return self[value]


class _Known:
    """Numbers of the length of a time or of a token, by their varints: most were read before, but a moment ago."""

    def __init__(self) -> None:
        self.times: dict[bytes, int] = {}
        self.tokens: dict[bytes, int] = {}

    def read(self, body: bytes, at: int) -> tuple[int, int]:
        """Read a varint, of ten bytes and 64 bits at most."""
        value = shift = 0
        for byte in body[at : at + 10]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            raise ValueError(f"a varint without an end at {at}")
        if value >> 64:
            raise ValueError(f"a number beyond 64 bits at {at}")
        value = (value >> 1) ^ -(value & 1)
        end = at + shift // 7
        known = {TIME_BYTES: self.times, TOKEN_BYTES: self.tokens}.get(end - at)
        if known is not None:
            if len(known) >= _KNOWN_LIMIT:
                known.clear()
            known[body[at:end]] = value
        return value, end


def _refuse(what: str, number: int) -> None:
    """Refuse a length, a count or a branch that cannot be."""
    raise ValueError(f"{what} of {number}")


class _Source:
    """Lines of one function in the making, and the objects that they refer to by name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        known = _Known()
        self.names: dict[str, Any] = {
            "L": _Longs(),
            "S": _SHORT,
            "D": _DOUBLE,
            "time": known.times.get,
            "token": known.tokens.get,
            "long": known.read,
            "no": _refuse,
        }
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def refer(self, thing: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = thing
        return name

    def add(self, depth: int, line: str) -> None:
        self.lines.append("    " * depth + line)

    def compile(self, head: str) -> Any:
        exec("\n".join([head, *self.lines]), self.names)  # noqa: S102 - our own lines, made of our own schemas
        return self.names["f"]


def is_beginning(former: Any, today: Any) -> bool:
    """Return whether a former schema is today's but for fields with defaults at the end of its records."""
    if isinstance(former, dict) and isinstance(today, dict) and former["type"] == today["type"]:
        if "items" in today:
            return is_beginning(former["items"], today["items"])
        if "fields" in today:
            known, fields = former["fields"], today["fields"]
            return (
                [field["name"] for field in known] == [field["name"] for field in fields[: len(known)]]
                and all(is_beginning(old["type"], new["type"]) for old, new in zip(known, fields, strict=False))
                and all("default" in field for field in fields[len(known) :])
            )
    if isinstance(former, list) and isinstance(today, list) and len(former) == len(today):
        return all(map(is_beginning, former, today))
    return bool(former == today)


def compile_writer(cls: type, schemas: Sequence[tuple[bytes, dict[str, Any]]]) -> Write:
    """Make the function that writes an event: a head, then the body, by the first schema that holds all that it says.

    ``schemas`` are heads and schemas, oldest first and today's last; each former one is a beginning of today's.
    """
    source = _Source()
    _, today = schemas[-1]
    for head, schema in schemas:
        absent = " and ".join(_absent(source, schema, today, "event", cls))
        body = _joined([source.refer(head), *_write(source, schema, "event", cls)])
        source.add(1, f"if {absent}: return {body}" if absent else f"return {body}")
    return typing.cast(Write, source.compile("def f(event):"))


def compile_reader(cls: type, schema: dict[str, Any]) -> Read:
    """Make the function that reads an event from a position on; it returns the position behind it too.

    ``schema`` is today's, or a beginning of it.
    """
    source = _Source()
    name = _read(source, 1, schema, cls)
    source.add(1, f"return {name}, at")
    return typing.cast(Read, source.compile("def f(body, at):"))


def _write(source: _Source, schema: Any, value: str, hint: Any) -> list[str]:
    """Make the expressions that give the parts of a value, in their order."""
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "long":
        return [f"L[{value}]"]
    if kind == "boolean":
        return [f"b'\\1' if {value} else b'\\0'"]
    if kind == "double":
        return [f"D.pack({value})"]
    name = source.new()
    if kind in ("string", "bytes"):
        encode = ".encode()" if kind == "string" else ""
        return [f"L[len({name} := {value}{encode})]", name]
    if isinstance(kind, list):
        some = _joined(["b'\\2'", *_write(source, kind[1], name, _inner(hint))])
        return [f"b'\\0' if ({name} := {value}) is None else {some}"]
    if kind == "array":
        item = source.new()
        items = _joined(_write(source, schema["items"], item, _inner(hint)))
        return [f"L[len({name})] if ({name} := {value}) else b''", f"*({items} for {item} in {name})", "b'\\0'"]
    fields = _fields(schema, hint)
    return [part for field, inner, wanted in fields for part in _write(source, inner, f"{value}.{field}", wanted)]


def _absent(source: _Source, former: Any, today: Any, value: str, hint: Any) -> list[str]:
    """Make the conditions under which a value says nothing that the former schema has no field for."""
    kind = today["type"] if isinstance(today, dict) else today
    if isinstance(kind, list):
        name = source.new()
        absent = _absent(source, former[1], kind[1], name, _inner(hint))
        return [f"(({name} := {value}) is None or {' and '.join(absent)})"] if absent else []
    if kind == "array":
        item = source.new()
        absent = _absent(source, former["items"], today["items"], item, _inner(hint))
        return [f"all({' and '.join(absent)} for {item} in {value})"] if absent else []
    if kind != "record":
        return []
    known = former["fields"]
    tests: list[str] = []
    for number, (field, inner, wanted) in enumerate(_fields(today, hint)):
        place = f"{value}.{field}"
        if number < len(known):
            tests += _absent(source, known[number]["type"], inner, place, wanted)
        else:
            default = hint.__struct_defaults__[number - len(hint.__struct_fields__)]
            tests.append(f"{place} is None" if default is None else f"{place} == {source.refer(default)}")
    return tests


def _joined(parts: list[str]) -> str:
    return f"b''.join(({', '.join(parts)},))"


def _read(source: _Source, depth: int, schema: Any, hint: Any, field: str = "") -> str:
    kind = schema["type"] if isinstance(schema, dict) else schema
    name = source.new()
    if kind == "long":
        _read_long(source, depth, name, field)
    elif kind in ("string", "bytes"):
        _read_long(source, depth, name)
        decode = ".decode()" if kind == "string" else ""
        end = source.new()
        source.add(depth, f"if {name} < 0: no('a length', {name})")
        source.add(depth, f"{end} = at + {name}; {name} = body[at:{end}]{decode}; at = {end}")
    elif kind == "boolean":
        source.add(depth, f"{name} = body[at] == 1; at += 1")
    elif kind == "double":
        source.add(depth, f"{name} = D.unpack_from(body, at)[0]; at += 8")
    elif isinstance(kind, list):
        source.add(depth, "at += 1")
        source.add(depth, f"if body[at - 1] == 0: {name} = None")
        source.add(depth, "else:")
        source.add(depth + 1, "if body[at - 1] != 2: no('a branch', body[at - 1])")
        inner = _read(source, depth + 1, kind[1], _inner(hint))
        source.add(depth + 1, f"{name} = {inner}")
    elif kind == "array":
        _read_array(source, depth, name, schema, hint)
    else:
        values = [_read(source, depth, inner, wanted, each) for each, inner, wanted in _fields(schema, hint)]
        source.add(depth, f"{name} = {source.refer(hint)}({', '.join(values)})")
    return name


def _read_long(source: _Source, depth: int, name: str, field: str = "") -> None:
    """Look times and tokens up; read other numbers in line, of up to three bytes, and the rest by a call."""
    if field in _REMEMBERED:
        known, size = _REMEMBERED[field]
        source.add(depth, f"{name} = {known}(body[at:at + {size}])")
        source.add(depth, f"if {name} is not None: at += {size}")
        source.add(depth, "else:")
        depth += 1
    zigzag = f"{name} = ({name} >> 1) ^ -({name} & 1)"
    source.add(depth, f"{name} = body[at]")
    source.add(depth, f"if {name} < 0x80: {name} = S[{name}]; at += 1")
    source.add(depth, "elif body[at + 1] < 0x80:")
    source.add(depth + 1, f"{name} = {name} & 0x7F | body[at + 1] << 7; {zigzag}; at += 2")
    source.add(depth, "elif body[at + 2] < 0x80:")
    source.add(
        depth + 1, f"{name} = {name} & 0x7F | (body[at + 1] & 0x7F) << 7 | body[at + 2] << 14; {zigzag}; at += 3"
    )
    source.add(depth, f"else: {name}, at = long(body, at)")


def _read_array(source: _Source, depth: int, name: str, schema: dict[str, Any], hint: Any) -> None:
    count, items, size = source.new(), source.new(), source.new()
    source.add(depth, f"{items} = []")
    source.add(depth, "while True:")
    _read_long(source, depth + 1, count)
    source.add(depth + 1, f"if {count} == 0: break")
    # A negative count is followed by the block's size in bytes, which is of no use here.
    source.add(depth + 1, f"if {count} < 0:")
    source.add(depth + 2, f"{count} = -{count}")
    _read_long(source, depth + 2, size)
    source.add(depth + 1, f"if len({items}) + {count} > {ITEMS_LIMIT}: no('an array', len({items}) + {count})")
    source.add(depth + 1, f"for _ in range({count}):")
    inner = _read(source, depth + 2, schema["items"], _inner(hint))
    source.add(depth + 2, f"{items}.append({inner})")
    source.add(depth, f"{name} = tuple({items})")


def _fields(schema: dict[str, Any], cls: Any) -> Iterator[tuple[str, Any, Any]]:
    hints = _hints(cls)
    written = [field["name"] for field in schema["fields"]]
    known, defaults = list(cls.__struct_fields__), len(cls.__struct_defaults__)
    if written != known[: len(written)] or len(known) - len(written) > defaults:
        raise TypeError(f"{cls.__name__} and its schema differ in their fields: {written}")
    for field in schema["fields"]:
        yield field["name"], field["type"], hints[field["name"]]


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _inner(hint: Any) -> Any:
    """Find what an optional or a tuple holds."""
    return next(part for part in typing.get_args(hint) if part is not type(None) and part is not Ellipsis)
