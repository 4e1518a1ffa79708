"""The wire format: Avro single-object encoding (``C3 01``, CRC-64-AVRO fingerprint, body) of every event.

The schemas are the files of ``schemas/``: one for each event as it is written today, and under ``history/`` those
that were written once and must be read for ever. Source: Apache Avro 1.12 specification, "Single-object encoding".
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from streamsched.domain import events
from streamsched.domain.events import Event
from streamsched.log.port import Append, Headers, Record

MAGIC: Final = b"\xc3\x01"
_HEAD: Final = 10


class Undecodable(Exception):
    """A record is no event: names topic, partition, offset, fingerprint and the cause."""


class UnknownSchema(Undecodable):
    """A record has the form of an event, but of a schema that this version does not know: likely a newer one."""


def schema_folder() -> Path:
    """Find the schemas: inside the installed package, or at the top of the source tree."""
    packaged = Path(str(resources.files("streamsched"))) / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "schemas"


def wire_fingerprint(schema: dict[str, Any]) -> bytes:
    """Compute the eight fingerprint bytes as they stand on the wire (little-endian CRC-64-AVRO)."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclasses.dataclass(frozen=True, slots=True)
class _Encoder:
    """How one event class is written."""

    head: bytes
    schema: Any
    names: tuple[str, ...]
    values: Callable[[Event], tuple[Any, ...]]
    flat: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Decoder:
    """How one fingerprint is read: the schema it was written with, and the class and schema of today."""

    written: Any
    today: Any
    build: Callable[[dict[str, Any]], Event]


class Codec:
    """Encodes events and decodes records; made once for a process, for it compiles every schema."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = schema_folder() if folder is None else folder
        self._encoders: dict[type[Event], _Encoder] = {}
        self._decoders: dict[bytes, _Decoder] = {}
        for cls in events.EVENTS:
            source = json.loads((folder / f"{cls.__name__}.avsc").read_text())
            today = fastavro.parse_schema(source)
            mark = wire_fingerprint(source)
            names = tuple(field["name"] for field in source["fields"])
            builder = _builder(cls)
            self._encoders[cls] = _Encoder(MAGIC + mark, today, names, attrgetter(*names), flat=not _nested_fields(cls))
            self._decoders[mark] = _Decoder(today, None, builder)
            for old in sorted((folder / "history").glob(f"{cls.__name__}.*.avsc")):
                written = json.loads(old.read_text())
                self._decoders[wire_fingerprint(written)] = _Decoder(fastavro.parse_schema(written), today, builder)

    def encode(self, event: Event) -> bytes:
        """Encode one event."""
        encoder = self._encoders[type(event)]
        out = BytesIO()
        out.write(encoder.head)
        if encoder.flat:
            datum = dict(zip(encoder.names, encoder.values(event), strict=True))
        else:
            datum = dataclasses.asdict(event)
        fastavro.schemaless_writer(out, encoder.schema, datum)
        return out.getvalue()

    def decode(self, record: Record) -> Event:
        """Decode the event of a record.

        Raises:
            UnknownSchema: written by a version that is newer than this one.
            Undecodable: not an event at all, or a broken one.
        """
        value = record.value or b""
        if value[:2] != MAGIC or len(value) < _HEAD:
            raise Undecodable(f"{_place(record)}: not an event (it begins with {value[:4].hex(' ') or 'nothing'})")
        decoder = self._decoders.get(value[2:_HEAD])
        if decoder is None:
            raise UnknownSchema(
                f"{_place(record)}: unknown schema fingerprint {value[2:_HEAD].hex()}; "
                "it was written by a newer version of streamsched: upgrade this node"
            )
        body = BytesIO(value)
        body.seek(_HEAD)
        try:
            datum: Any = fastavro.schemaless_reader(body, decoder.written, decoder.today)
            event = decoder.build(datum)
        except Exception as error:
            raise Undecodable(
                f"{_place(record)}: broken body of schema {value[2:_HEAD].hex()}: {type(error).__name__}: {error}"
            ) from error
        if body.read(1):
            raise Undecodable(f"{_place(record)}: bytes left over after the body of schema {value[2:_HEAD].hex()}")
        return event

    def fingerprints(self) -> Iterator[tuple[str, str]]:
        """Tell the fingerprint (hex, wire order) and the event name of every schema written today."""
        for cls, encoder in self._encoders.items():
            yield encoder.head[2:].hex(), cls.__name__


def headers_of(event: Event, traceparent: str | None = None) -> Headers:
    """Make the headers that let a reader select and blame records without decoding them."""
    headers = [("event_type", type(event).__name__.encode())]
    task_id = getattr(event, "task_id", None)
    if task_id is not None:
        headers.append(("task", task_id.encode()))
    child = getattr(event, "child", None)
    if child is not None:
        headers.append(("child", b"%d" % child))
        headers.append(("ordinal", b"%d" % event.ordinal))  # type: ignore[attr-defined]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def header(headers: Headers, name: str) -> str | None:
    """Find one header's text; None where it is missing."""
    return next((value.decode(errors="replace") for key, value in headers if key == name), None)


def _place(record: Record) -> str:
    return f"{record.topic}-{record.partition} offset {record.offset}"


def _nested_fields(cls: type) -> Mapping[str, tuple[type, bool]]:
    """Find the fields that hold other records: the record's class, and whether they hold a row of them."""
    nested: dict[str, tuple[type, bool]] = {}
    for name, hint in typing.get_type_hints(cls).items():
        many = typing.get_origin(hint) is tuple
        for inner in typing.get_args(hint):
            if dataclasses.is_dataclass(inner) and isinstance(inner, type):
                nested[name] = (inner, many)
            elif many and inner is not Ellipsis:
                nested[name] = (inner, True)
    return nested


def _builder(cls: type[Event]) -> Callable[[dict[str, Any]], Event]:
    nested = _nested_fields(cls)
    if not nested:
        return lambda datum: cls(**datum)

    def build(datum: dict[str, Any]) -> Event:
        for name, (inner, many) in nested.items():
            value = datum[name]
            if many:
                plain = not dataclasses.is_dataclass(inner)
                datum[name] = tuple(value) if plain else tuple(inner(**item) for item in value)
            elif value is not None:
                datum[name] = inner(**value)
        return cls(**datum)

    return build


def append_of(
    codec: Codec,
    event: Event,
    *,
    topic: str,
    partition: int,
    key: str,
    track: bool = False,
    traceparent: str | None = None,
) -> Append:
    """Make the record of an event, with its headers."""
    return Append(topic, partition, key.encode(), codec.encode(event), headers_of(event, traceparent), track)
