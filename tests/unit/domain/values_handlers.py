"""What handlers return in ``test_values``: each of ``KEPT`` is kept, each of ``REFUSED`` is refused, as documented."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import types
import typing
import uuid
from typing import Any

import msgspec


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Several(list[Any]):
    pass


class Pair(typing.NamedTuple):
    left: object
    right: object


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Both(str, enum.Enum):  # noqa: UP042 - the older spelling
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 1


class Record(msgspec.Struct):
    x: int = 1


class Wild(type):
    def __getattribute__(cls, name: str) -> Any:
        raise SystemExit(name)


class Hostile(metaclass=Wild):
    pass


class Model:
    """Stands for one of pydantic's."""


Model.__module__, Model.__qualname__ = "pydantic.main", "BaseModel"


class Scalar:
    """Stands for one of numpy's."""


Scalar.__module__, Scalar.__qualname__ = "numpy", "generic"


def nested(levels: int) -> list[Any]:
    """Make a list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


async def _never() -> None: ...


_COROUTINE = _never()
_COROUTINE.close()  # or Python would warn that it was not awaited
_CYCLE: list[Any] = []
_CYCLE.append({"again": _CYCLE})

KEPT: dict[str, tuple[Any, Any]] = {
    name: (value, expected)
    for name, value, expected in [
        ("none", [None], [None]),
        ("booleans", [True, False], [True, False]),
        ("integers", [0, -1, 2**63, 2**64, -(2**70)], [0, -1, 2**63, 2**64, -(2**70)]),
        ("large integer", 10**4_299, 10**4_299),
        ("floats", [-0.0, 5e-324, 1.7976931348623157e308, 1e22], [-0.0, 5e-324, 1.7976931348623157e308, 1e22]),
        ("text", "grün 😀 \x00\n", "grün 😀 \x00\n"),
        ("name that is not text", "odd\udcff", "odd\udcff"),
        ("half characters", ["\ud83d", "\ude00\ud83d", {"\ud800": 1}], ["\ud83d", "\ude00\ud83d", {"\ud800": 1}]),
        ("text subclass", Text("x"), "x"),
        ("integer subclass", {"n": Whole(7)}, {"n": 7}),
        ("float subclass", [Real(1.5)], [1.5]),
        ("list subclass", Several([1, Text("y")]), [1, "y"]),
        ("dictionaries", collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ("counter", collections.Counter("aab"), {"a": 2, "b": 1}),
        ("defaults", collections.defaultdict(list, a=[1]), {"a": [1]}),
        ("text keys", {Text("k"): 1, Word.RED: 2}, {"k": 1, "red": 2}),
        ("text enum", [Word.RED, Both.RED], ["red", "red"]),
        ("integer enum", Number.ONE, 1),
        ("tuple", (1, (2, {"a": (3,)})), [1, [2, {"a": [3]}]]),
        ("named tuple", Pair(1, Pair(2, 3)), [1, [2, 3]]),
        ("deep", nested(200), nested(200)),
        ("many lists", [[n] for n in range(500)], [[n] for n in range(500)]),
    ]
}  # fmt: skip

REFUSED: dict[str, tuple[Any, str]] = {
    "nan": ({"loss": [0.5, math.nan]}, "result.loss[1]: nan is not a JSON number"),
    "infinity": ({"a b": math.inf}, "result['a b']: inf is not a JSON number"),
    "float subclass": (Real("-inf"), "result: -inf is not a JSON number"),
    "set": ({"ids": {1}}, "result.ids: a value of type set is not JSON; write sorted(x)"),
    "frozen set": (frozenset(), "a value of type frozenset is not JSON; write sorted(x)"),
    "bytes": ([b"x"], "result[0]: a value of type bytes is not JSON; write base64.b64encode(x).decode()"),
    "bytearray": (bytearray(b"x"), "base64"),
    "memoryview": (memoryview(b"x"), "base64"),
    "decimal": (decimal.Decimal("1.5"), "a value of type decimal.Decimal is not JSON; write str(x)"),
    "fraction": (fractions.Fraction(1, 2), "write str(x)"),
    "uuid": (uuid.UUID(int=1), "write str(x)"),
    "path": (pathlib.Path("x"), "write str(x)"),
    "datetime": (datetime.datetime(2026, 1, 1), "write x.isoformat()"),  # noqa: DTZ001
    "date": (datetime.date(2026, 1, 1), "write x.isoformat()"),
    "time": (datetime.time(1), "write x.isoformat()"),
    "timedelta": (datetime.timedelta(1), "write x.total_seconds()"),
    "enum": (Colour.RED, "Colour is not JSON; write x.value"),
    "enum key": ({Colour.RED: 1}, "Colour is not a string"),
    "dataclass": ([Point()], "Point is not JSON; write dataclasses.asdict(x)"),
    "struct": (Record(), "Record is not JSON; write msgspec.to_builtins(x)"),
    "pydantic": (Model(), "pydantic.main.BaseModel is not JSON; write x.model_dump(mode='json')"),
    "numpy": (Scalar(), "numpy.generic is not JSON; write x.tolist()"),
    "generator": ((n for n in range(3)), "write list(x)"),
    "coroutine": (_COROUTINE, "a value of type coroutine is not JSON; write asyncio.run(x)"),
    "range": (range(3), "write list(x)"),
    "proxy": (types.MappingProxyType({}), "write dict(x)"),
    "complex": (1j, "write [x.real, x.imag]"),
    "class": (int, "result: a value of type type is not JSON"),
    "hostile class": (Hostile(), "Hostile is not JSON"),
    "integer key": ({"a": {1: 2}}, "result.a: the key 1 is not a string"),
    "none key": ({None: 1}, "the key None is not a string"),
    "equal keys": ({1: "a", "1": "b"}, "the key 1 is not a string"),
    "huge integer": ([10**4_300], "result[0]: the integer is beyond 4,300 digits"),
    "two halves": ("\ud83d\ude00", "the text holds a character in two halves"),
    "two halves in a key": ({"\ud83d\ude00": 1}, "two halves"),
    "too deep": (nested(202), "nested more than 200 levels deep"),
    "cycle": (_CYCLE, "or contains itself"),
}


def give(ctx: Any, name: str) -> Any:
    """Return a value of the tables."""
    return (KEPT if name in KEPT else REFUSED)[name][0]


def keep(ctx: Any, name: str) -> str:
    """Checkpoint a value of the tables, and say what came of it."""
    try:
        ctx.checkpoint(give(ctx, name))
    except TypeError as error:
        return f"refused {error}"
    expected = KEPT[name][1]
    return "kept" if repr(ctx.last_checkpoint) == repr(expected) else f"changed: {ctx.last_checkpoint!r}"


def echo(ctx: Any, value: Any) -> Any:
    """Return an argument."""
    return value


def go_on(ctx: Any, value: Any) -> Any:
    """Fail after a checkpoint of the argument, then return the state that is left."""
    if ctx.attempt == 1:
        ctx.checkpoint({"state": value}, wait=True)
        raise RuntimeError("once")
    return ctx.last_checkpoint["state"]
