"""One full sample of every event, made from its fields alone, and the record that would carry it."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from streamsched.domain.events import EVENTS, Event


@dataclass(frozen=True, slots=True)
class Sample:
    """A record as a reader would give it."""

    value: bytes | None
    topic: str = "events"
    partition: int = 3
    offset: int = 42
    timestamp: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def sample_of(cls: type[Any]) -> Any:
    """Make an instance whose fields all differ, none of them empty."""
    return cls(*(_value(hint, name, at) for at, (name, hint) in enumerate(typing.get_type_hints(cls).items(), 1)))


def _value(hint: Any, name: str, at: int) -> Any:
    inner = [arg for arg in typing.get_args(hint) if arg not in (type(None), Ellipsis)]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _value(inner[0], name, at)
    if typing.get_origin(hint) is tuple:
        return (_value(inner[0], name, at), _value(inner[0], name, at))
    if isinstance(hint, type) and issubclass(hint, Struct):
        return sample_of(hint)
    plain: dict[type, Any] = {
        int: 1000 * at + 7,
        float: at + 0.5,
        bool: True,
        str: f"{name} ä",
        bytes: bytes([at] * 16),
    }
    return plain[hint]


SAMPLES: Final[dict[str, Event]] = {cls.__name__: sample_of(cls) for cls in EVENTS}
