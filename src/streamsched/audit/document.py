"""Events as JSON documents: bytes as hex, payloads decoded."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from streamsched.domain import values
from streamsched.domain.events import Event
from streamsched.log.codec import Undecodable
from streamsched.log.port import Record

PAYLOADS: Final = frozenset({"template", "params", "plan", "cursor", "args", "state", "result", "spec", "policy"})
"""Fields that hold JSON text."""


def entry(record: Record, event: Event | Undecodable) -> dict[str, Any]:
    """Return the document of a record of the journal; if it is not an event, with the reason."""
    place = {name: getattr(record, name) for name in ("topic", "partition", "offset", "timestamp")}
    if isinstance(event, Event):
        return {"event": type(event).__name__, **place, **document(event)}
    return {"event": None, **place, "error": str(event)}


def document(event: Any) -> dict[str, Any]:
    """Return the document of an event."""
    return {name: _value(name, getattr(event, name)) for name in event.__struct_fields__}


def decoded(text: str) -> Any:
    """Decode a payload; if it is not JSON, return the text itself."""
    try:
        return values.read(text)
    except ValueError:
        return text


def _value(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_value("", item) for item in value]
    if isinstance(value, Struct):
        return document(value)
    if name in PAYLOADS and isinstance(value, str):
        return decoded(value)
    return value
