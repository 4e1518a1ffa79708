"""Values: what goes from callers to handlers, and from handlers to the log. Their one writer, and their one reader.

A value is kept as it is, or refused with the place that is to blame; it never becomes another one. ``docs/values.md``
is the table. Kept are None, booleans, integers, finite floats, text, lists, and dictionaries whose keys are text; an
object of a subclass of these is kept as the plain value that it equals, and a tuple as a list. Pure.
"""

from __future__ import annotations

import math
import re
from json import JSONDecoder, JSONEncoder
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from streamsched.domain.kinds import names_of


class Bounds(NamedTuple):
    """How large a value may be: ``levels`` of lists and dictionaries, integers of ``-integer_end`` to below it."""

    levels: int
    integer_end: int
    digits: str


SUBMITTED: Final = Bounds(50, 2**63, "64 bits")
"""In templates and parameters, which people write."""
RETURNED: Final = Bounds(200, 10**4_300, "4,300 digits")
"""In states and results: as deep as every reader gets, and as many digits as Python reads."""

_SHOWN: Final = 60
_STEPS: Final = 8
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_WORD: Final = re.compile(r"[^\W\d]\w{,39}")
_REMEDIES: Final = {
    **dict.fromkeys(("bytes", "bytearray", "memoryview"), "write base64.b64encode(x).decode()"),
    **dict.fromkeys(("set", "frozenset"), "write sorted(x)"),
    **dict.fromkeys(("range", "generator", "map", "filter", "zip", "dict_keys", "dict_values"), "write list(x)"),
    **dict.fromkeys(("decimal.Decimal", "fractions.Fraction", "uuid.UUID"), "write str(x)"),
    **dict.fromkeys(("pathlib.PurePath", "pathlib._local.PurePath"), "write str(x)"),
    **dict.fromkeys(("datetime.datetime", "datetime.date", "datetime.time"), "write x.isoformat()"),
    **dict.fromkeys(("numpy.generic", "numpy.ndarray"), "write x.tolist()"),
    "datetime.timedelta": "write x.total_seconds()",
    "enum.Enum": "write x.value",
    "complex": "write [x.real, x.imag]",
    "pydantic.main.BaseModel": "write x.model_dump(mode='json')",
    "msgspec.Struct": "write msgspec.to_builtins(x)",
    "mappingproxy": "write dict(x)",
    "coroutine": "write asyncio.run(x)",
}
"""What to write in place of an object, by the name of its class or of one of its bases."""

canonical: Final = JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode
"""Write what is plain already in one spelling: sorted keys, no spaces, ASCII, so that a length is a size in bytes."""

_ascii: Final = JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Refused(TypeError):
    """A value that JSON cannot hold as it is. ``path`` leads to it: keys and positions."""

    def __init__(self, reason: str, remedy: str, path: tuple[str | int, ...] = (), place: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        self.path = path
        super().__init__(f"{place}{_dotted(path)}: {reason}; {remedy}")


class TooLarge(ValueError):
    """A value with more bytes of JSON than it may have: ``size``."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"{size:,} bytes of JSON")


def write(value: object, place: str, limit: int) -> bytes:
    """Write a value as JSON of at most ``limit`` bytes. Raise TooLarge, or Refused with the part of ``place``."""
    data = b""
    try:
        # In C: write it, read it again, and see that nothing has changed. What is plain passes here.
        data = _encode(value)
        if len(data) <= limit:
            found = _decode(data)
            if found == value and (data.count(b"[") + data.count(b"{") <= RETURNED.levels or _is_flat(found)):
                return data
    except Exception:  # noqa: S110 - what follows finds out what it was
        pass
    if len(data) <= limit:
        data = _checked(value, place)
    if len(data) > limit:
        raise TooLarge(len(data))
    return data


def _checked(value: object, place: str) -> bytes:
    """Write a value, and check every part of it."""
    try:
        kept = plain(value)
    except Refused as error:
        raise Refused(error.reason, error.remedy, error.path, place) from None
    try:
        return _encode(kept)
    except UnicodeEncodeError:
        return _ascii(kept).encode()


def read(text: str) -> Any:
    """Read JSON. Raise ValueError for what is not JSON, or holds a number such as NaN."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass  # half a character, as in a name of bytes that are not text, or no JSON at all
    try:
        return _loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def plain(value: object, bounds: Bounds = RETURNED, level: int = 0) -> Any:
    """Return the plain value that equals this one, ``level`` deep in its document. Raise Refused if none does."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, str):
        return _text(str.__str__(value))  # issubclass, unlike isinstance, runs no code of the user
    if issubclass(kind, int):
        number = int.__int__(value)  # type: ignore[arg-type]
        if not -bounds.integer_end <= number < bounds.integer_end:
            raise Refused(f"the integer is beyond {bounds.digits}", "use a smaller one or a string")
        return number
    if issubclass(kind, float):
        real = float.__float__(value)  # type: ignore[arg-type]
        if not math.isfinite(real):
            raise Refused(f"{real} is not a JSON number", "use a finite number, a string or None")
        return real
    if issubclass(kind, list):
        return _items(list.__iter__(value), bounds, level)  # type: ignore[arg-type]
    if issubclass(kind, tuple):
        return _items(tuple.__iter__(value), bounds, level)  # type: ignore[arg-type]
    if issubclass(kind, dict):
        return _entries(dict.items(value), bounds, level)  # type: ignore[arg-type]
    names = names_of(kind)
    raise Refused(f"a value of type {names[0][:_SHOWN] if names else 'object'} is not JSON", _remedy(kind, names))


def _items(items: Any, bounds: Bounds, level: int) -> list[Any]:
    found: list[Any] = []
    for entry in items:
        _descend(bounds, level)
        try:
            found.append(plain(entry, bounds, level + 1))
        except Refused as error:
            raise Refused(error.reason, error.remedy, (len(found), *error.path)) from None
    return found


def _entries(entries: Any, bounds: Bounds, level: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in entries:
        _descend(bounds, level)
        if not issubclass(type(key), str):
            raise Refused(f"the key {_shown(key)} is not a string", "put it in quotes, or write str(key)")
        name = _text(str.__str__(key))
        if name in found:
            raise Refused(f"two keys are {name[:_SHOWN]!r} as text", "keep one of them")
        try:
            found[name] = plain(entry, bounds, level + 1)
        except Refused as error:
            raise Refused(error.reason, error.remedy, (name, *error.path)) from None
    return found


def _descend(bounds: Bounds, level: int) -> None:
    if level >= bounds.levels:
        raise Refused(f"nested more than {bounds.levels} levels deep, or contains itself", "make it flatter")


def _text(text: str) -> str:
    # Each half alone comes back as it was; the two in a row would come back as the one character.
    if not text.isascii() and _PAIR.search(text):
        raise Refused("the text holds a character in two halves", "write the character itself")
    return text


def _shown(key: object) -> str:
    if type(key) in (int, float, bool, type(None), bytes, tuple):
        return repr(key)[:_SHOWN]
    return f"of type {(names_of(type(key)) or ('object',))[0][:_SHOWN]}"


def _remedy(kind: type[Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in _REMEDIES:
            return _REMEDIES[name]
    if "__dataclass_fields__" in type.__dict__["__dict__"].__get__(kind):
        return "write dataclasses.asdict(x)"
    return "use None, booleans, numbers, text, lists and dictionaries"


def _dotted(path: tuple[str | int, ...]) -> str:
    steps = [
        f"[{step}]" if isinstance(step, int) else f".{step}" if _WORD.fullmatch(step) else f"[{step[:_SHOWN]!r}]"
        for step in path[:_STEPS]
    ]
    return "".join(steps) + ("..." if len(path) > _STEPS else "")


def _is_flat(found: object) -> bool:
    """Return whether a value that was read has no more levels than are allowed."""
    level = [found]
    for _ in range(RETURNED.levels):
        level = [
            entry
            for holder in level
            for entry in (holder.values() if type(holder) is dict else holder if type(holder) is list else ())
            if type(entry) in (list, dict)
        ]
        if not level:
            return True
    return False


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:_SHOWN]} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


_loads: Final = JSONDecoder(parse_constant=_refuse_number, parse_float=_finite).decode
