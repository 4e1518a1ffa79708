"""Documents of events, as a server sends them, back into events."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, json

from streamsched.audit.document import PAYLOADS
from streamsched.domain.events import EVENTS, Event
from streamsched.domain.placeholders import encode
from streamsched.log.codec import Undecodable
from streamsched.log.port import Headers

_KINDS: Final = {kind.__name__: kind for kind in EVENTS}


class Place(NamedTuple):
    """A record of which only the place is known: the other fields are those of a record, and empty."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


def read_line(line: bytes) -> tuple[Place, Event | Undecodable]:
    """Read the document of an event (``audit.document.entry``). JSON texts inside it may be spaced differently.

    Raise ValueError, LookupError or TypeError for a line that is none.
    """
    entry: dict[str, Any] = json.decode(line, type=dict)
    record = Place(*(entry[name] for name in ("topic", "partition", "offset", "timestamp")))
    if entry["event"] is None:
        return record, Undecodable(str(entry["error"]))
    return record, event_of(entry)


def event_of(document: Mapping[str, Any]) -> Event:
    """Return the event of a document with its name as ``event``. Raise ValueError, LookupError, TypeError."""
    made: Event = _struct(_KINDS[document["event"]], document)
    return made


def _struct(kind: type[Any], document: Mapping[str, Any]) -> Any:
    hints = _hints(kind)  # type: ignore[arg-type]  # a class can be hashed
    return kind(**{name: _value(hints[name], name, value) for name, value in document.items() if name in hints})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _value(hint: Any, name: str, value: Any) -> Any:
    """Undo what the document of an event does to a field of this type and name."""
    if value is None:
        return None
    for each in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if each is bytes:
            return bytes.fromhex(value)
        if each is str and name in PAYLOADS:
            return encode(value)
        if get_origin(each) is tuple:
            return tuple(_value(get_args(each)[0], "", item) for item in value)
        if isinstance(each, type) and issubclass(each, Struct):
            return _struct(each, value)
    return value
