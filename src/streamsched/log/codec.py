"""The wire format: Avro single-object encoding (``C3 01``, CRC-64-AVRO fingerprint, body) of every event.

The schemas are the files of ``schemas/``: one for each event as it is written today, and under ``history/`` those
that were written once and must be read for ever. A record is written under the oldest schema that holds what it says,
so that nodes of a former version read whatever uses nothing new. Source: Apache Avro 1.12 specification,
"Single-object encoding".
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from streamsched.domain import events
from streamsched.domain.errors import Unavailable
from streamsched.domain.events import Event
from streamsched.log.avro import Read, Write, compile_reader, compile_writer, is_beginning
from streamsched.log.port import Headers, Record

MAGIC: Final = b"\xc3\x01"
_HEAD: Final = 10


class Undecodable(Unavailable):
    """A record that is not an event: names topic, partition, offset, fingerprint and the cause."""


class UnknownSchema(Undecodable):
    """A record has the form of an event, but of a schema that this version does not know: likely a newer one."""


def schema_folder() -> Path:
    """Find the schemas: inside the installed package, or at the top of the source tree."""
    packaged = Path(str(resources.files("streamsched"))) / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "schemas"


def wire_fingerprint(schema: dict[str, Any]) -> bytes:
    """Compute the eight fingerprint bytes as they stand on the wire (little-endian CRC-64-AVRO)."""
    from fastavro.schema import fingerprint, to_parsing_canonical_form

    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


class Codec:
    """Encodes events and decodes records. Each schema is compiled when it is first met.

    ``fingerprints.lock`` names every schema that was ever written, oldest first; the last one of an event is today's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = schema_folder() if folder is None else folder
        classes = {cls.__name__: cls for cls in events.EVENTS}
        self._classes: dict[bytes, type[Event]] = {}
        self._fingerprints: dict[type[Event], list[bytes]] = {}
        for line in (self._folder / "fingerprints.lock").read_text().splitlines():
            fingerprint, name = line.split()
            self._classes[bytes.fromhex(fingerprint)] = classes[name]
            self._fingerprints.setdefault(classes[name], []).append(bytes.fromhex(fingerprint))
        self._writers: dict[type[Event], Write] = {}
        self._readers: dict[bytes, Read] = {}
        """By all that stands before the body."""

    def encode(self, event: Event) -> bytes:
        """Encode one event, under the oldest schema that holds what it says."""
        write = self._writers.get(type(event))
        if write is None:
            cls = type(event)
            write = self._writers[cls] = compile_writer(cls, self._written(cls))
        return write(event)

    def decode(self, record: Record) -> Event:
        """Decode the event of a record.

        Raises:
            UnknownSchema: written by a version that is newer than this one.
            Undecodable: not an event at all, or a broken one.
        """
        value = record.value or b""
        read = self._readers.get(value[:_HEAD]) or self._reader(record, value[:_HEAD])
        try:
            event, end = read(value, _HEAD)
        except Exception as error:
            what = f"broken body of schema {value[2:_HEAD].hex()}: {type(error).__name__}: {error}"
            raise Undecodable(f"{place_of(record)}: {what}") from error
        if end != len(value):
            found = "bytes left over after" if end < len(value) else "bytes missing at the end of"
            raise Undecodable(f"{place_of(record)}: {found} the body of schema {value[2:_HEAD].hex()}")
        return cast(Event, event)

    def _reader(self, record: Record, head: bytes) -> Read:
        """Make what reads the bodies behind this head."""
        if head[:2] != MAGIC or len(head) < _HEAD:
            raise Undecodable(f"{place_of(record)}: not an event (it begins with {head[:4].hex(' ') or 'nothing'})")
        fingerprint = head[2:]
        if fingerprint not in self._classes:
            where = f"{record.partition} {record.offset} --topic {record.topic}"
            raise UnknownSchema(
                f"{place_of(record)}: unknown schema fingerprint {fingerprint.hex()}; "
                "it was written by a newer version of streamsched: upgrade this one. If no version wrote it: "
                f"streamsched dead-letters set-aside {where} --reason WHY"
            )
        read = self._readers[head] = self._compiled(fingerprint)
        return read

    def _compiled(self, fingerprint: bytes) -> Read:
        cls = self._classes[fingerprint]
        schema, today = self._schema(cls, fingerprint), self._schema(cls, self._fingerprints[cls][-1])
        if is_beginning(schema, today):
            return compile_reader(cls, schema)
        return _historic_reader(schema, today, compile_reader(cls, today))

    def _written(self, cls: type[Event]) -> list[tuple[bytes, dict[str, Any]]]:
        """List the heads and schemas that an event may be written under, oldest first."""
        schemas = [(MAGIC + fingerprint, self._schema(cls, fingerprint)) for fingerprint in self._fingerprints[cls]]
        return [(head, schema) for head, schema in schemas if is_beginning(schema, schemas[-1][1])]

    def _schema(self, cls: type[Event], fingerprint: bytes) -> dict[str, Any]:
        name = (
            cls.__name__
            if fingerprint == self._fingerprints[cls][-1]
            else f"history/{cls.__name__}.{fingerprint.hex()}"
        )
        schema: dict[str, Any] = json.loads((self._folder / f"{name}.avsc").read_text())
        return schema


def headers_of(event: Event, traceparent: str | None = None) -> Headers:
    """Make the headers that let a reader select and blame records without decoding them."""
    known: Any = event
    event_type, of_task, of_child = _shape_of(type(event))
    if of_child:
        task, child, ordinal = known.task_id.encode(), b"%d" % known.child, b"%d" % known.ordinal
        headers = [event_type, ("task", task), ("child", child), ("ordinal", ordinal)]
    elif of_task:
        headers = [event_type, ("task", known.task_id.encode())]
    else:
        headers = [event_type]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


@cache
def _shape_of(cls: type[Event]) -> tuple[tuple[str, bytes], bool, bool]:
    fields = cls.__struct_fields__
    return ("event_type", cls.__name__.encode()), "task_id" in fields, "child" in fields


def header(headers: Headers, name: str) -> str | None:
    """Find one header's text; None where it is missing."""
    return next((value.decode(errors="replace") for key, value in headers if key == name), None)


def place_of(record: Record) -> str:
    """Name the place of a record, for messages."""
    return f"{record.topic}-{record.partition} offset {record.offset}"


def _historic_reader(written: dict[str, Any], today: dict[str, Any], read: Read) -> Read:
    """Make the reader of any other former schema: resolve it to today's, as Avro defines, then read that."""
    import fastavro

    former, current = fastavro.parse_schema(written), fastavro.parse_schema(today)

    def read_former(body: bytes, at: int) -> tuple[Any, int]:
        source, resolved = BytesIO(body), BytesIO()
        source.seek(at)
        datum: Any = fastavro.schemaless_reader(source, former, current)
        fastavro.schemaless_writer(resolved, current, datum)
        event, _ = read(resolved.getvalue(), 0)
        return event, source.tell()

    return read_former
