"""The wire format: every event there and back, and what is not an event is refused with its place."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import fastavro
import msgspec
import pytest
from fastavro.schema import to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain import events
from streamsched.domain.events import ChildCompleted, Event, TaskRequested, TaskSucceeded, TimerFired
from streamsched.log.codec import (
    Codec,
    Undecodable,
    UnknownSchema,
    header,
    headers_of,
    schema_folder,
    wire_fingerprint,
)
from streamsched.log.topics import Topics
from streamsched.runtime.records import Records
from tests.support.samples import SAMPLES, Sample
from tests.unit.log.test_wire_rule import oldest
from tools.schemas import schema_of

CODEC = Codec()
FIRED = TimerFired(b"\1" * 16, 1_700_000_000_000, "me", "task", 7, 1)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=list(SAMPLES))
def test_every_event_comes_back_equal(event: Event) -> None:
    assert CODEC.decode(Sample(CODEC.encode(event))) == event


def test_every_event_has_a_sample() -> None:
    assert [type(event) for event in SAMPLES.values()] == list(events.EVENTS)


@pytest.mark.parametrize("cls", events.EVENTS, ids=[cls.__name__ for cls in events.EVENTS])
def test_fields_are_those_of_the_schema_in_its_order(cls: type[Event]) -> None:
    schema = json.loads((schema_folder() / f"{cls.__name__}.avsc").read_text())
    assert schema["name"] == cls.__name__
    assert [field["name"] for field in schema["fields"]] == list(cls.__struct_fields__)


@pytest.mark.parametrize("cls", events.EVENTS, ids=[cls.__name__ for cls in events.EVENTS])
def test_types_and_defaults_are_those_of_the_class_in_nested_records_too(cls: type[Event]) -> None:
    schema = json.loads((schema_folder() / f"{cls.__name__}.avsc").read_text())
    assert schema["fields"] == schema_of(cls)["fields"], "run 'make schemas'"


def test_no_schema_without_an_event() -> None:
    assert {path.stem for path in schema_folder().glob("*.avsc")} == {cls.__name__ for cls in events.EVENTS}


def test_single_object_encoding_begins_with_marker_and_fingerprint() -> None:
    schema = json.loads((schema_folder() / "TimerFired.avsc").read_text())
    assert CODEC.encode(FIRED)[:10] == b"\xc3\x01" + wire_fingerprint(schema)


def test_the_fingerprint_of_null_is_that_of_the_specification() -> None:
    # Avro 1.12, "Schema Fingerprints": 7195948357588979594 for "null"; little-endian on the wire.
    assert crc_64_avro(b'"null"') == 7195948357588979594
    for cls in events.EVENTS:
        schema = json.loads((schema_folder() / f"{cls.__name__}.avsc").read_text())
        canonical = to_parsing_canonical_form(schema).encode()
        assert wire_fingerprint(schema) == crc_64_avro(canonical).to_bytes(8, "little")


def crc_64_avro(data: bytes) -> int:
    """Compute a fingerprint bit by bit, as the specification says it."""
    empty = 0xC15D213AA4D7A795
    crc = empty
    for byte in data:
        low = (crc ^ byte) & 0xFF
        for _ in range(8):
            low = low >> 1 ^ (empty if low & 1 else 0)
        crc = crc >> 8 ^ low
    return crc


WHERE = "events-3 offset 42"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "begins with nothing"),
        (b"", "begins with nothing"),
        (b"{}", "begins with 7b 7d"),
        (b"\xc3\x01\x00\x00", "not an event"),
        (CODEC.encode(FIRED) + b"\0", "bytes left over after the body of schema "),
        (CODEC.encode(FIRED)[:-1], "broken body of schema "),
        (CODEC.encode(FIRED)[:10], "broken body of schema "),
        (CODEC.encode(FIRED)[:10] + b"\xff" * 40, "broken body of schema "),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(value: bytes | None, words: str) -> None:
    with pytest.raises(Undecodable) as caught:
        CODEC.decode(Sample(value))
    assert WHERE in str(caught.value)
    assert words in str(caught.value)
    assert not isinstance(caught.value, UnknownSchema)
    if words.endswith("schema "):
        assert CODEC.encode(FIRED)[2:10].hex() in str(caught.value)


def test_every_truncation_is_refused() -> None:
    whole = CODEC.encode(SAMPLES["ChildFailed"])
    for length in range(len(whole)):
        with pytest.raises(Undecodable):
            CODEC.decode(Sample(whole[:length]))


def test_an_unknown_fingerprint_is_a_newer_version() -> None:
    with pytest.raises(UnknownSchema) as caught:
        CODEC.decode(Sample(b"\xc3\x01" + b"\xab" * 8 + b"rest"))
    assert WHERE in str(caught.value)
    assert "ab" * 8 in str(caught.value)
    assert "upgrade" in str(caught.value)


def test_headers_tell_what_a_record_is_about() -> None:
    done = SAMPLES["ChildCompleted"]
    assert isinstance(done, ChildCompleted)
    headers = headers_of(done, "00-trace")
    assert dict(headers) == {
        "event_type": b"ChildCompleted",
        "task": done.task_id.encode(),
        "child": str(done.child).encode(),
        "ordinal": str(done.ordinal).encode(),
        "traceparent": b"00-trace",
    }
    assert header(headers, "task") == done.task_id
    assert header(headers, "nothing") is None
    assert header([("task", b"\xff")], "task") == "�"
    assert dict(headers_of(SAMPLES["PartitionReset"])) == {"event_type": b"PartitionReset"}


def test_records_are_whole() -> None:
    topics = Topics()
    append = Records(CODEC, topics).journal(FIRED, "task")
    assert (append.topic, append.partition) == topics.journal_of("task")
    assert append.key == b"task"
    assert append.value == CODEC.encode(FIRED)
    assert header(append.headers, "event_type") == "TimerFired"


@given(data=st.data(), cls=st.sampled_from(events.EVENTS))
def test_bodies_are_as_fastavro_writes_them(data: st.DataObject, cls: type[events.Event]) -> None:
    event = data.draw(st.builds(cls, **{name: _values(hint) for name, hint in get_type_hints(cls).items()}))
    value = CODEC.encode(event)
    assert value == oldest(event, schemas_of(cls.__name__))
    assert CODEC.decode(Sample(value)) == event
    for end in range(10, len(value)):
        with pytest.raises(Undecodable):
            CODEC.decode(Sample(value[:end]))


def schemas_of(name: str) -> list[Any]:
    """List the schemas of an event, oldest first."""
    folder = schema_folder()
    marks = [
        line.split()[0] for line in (folder / "fingerprints.lock").read_text().splitlines() if line.endswith(f" {name}")
    ]
    files = [*(folder / "history" / f"{name}.{mark}.avsc" for mark in marks[:-1]), folder / f"{name}.avsc"]
    return [json.loads(file.read_text()) for file in files]


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """Draw values that a field of this type can have."""
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if type(None) in get_args(hint):
        return st.none() | _values(get_args(hint)[0])
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return st.builds(hint, **{name: _values(inner) for name, inner in get_type_hints(hint).items()})
    if hint is float:
        return st.floats(allow_nan=False)
    if hint is str:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
    return st.from_type(hint)


def test_a_field_that_was_added_takes_its_default_in_what_was_written_before(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(schema_folder(), tmp_path / "schemas"))
    today = json.loads((folder / "TaskRequested.avsc").read_text())
    before: dict[str, Any] = {**today, "fields": [field for field in today["fields"] if field["name"] != "origin"]}
    for field in today["fields"]:
        if field["name"] == "origin":
            field["default"] = "unknown"
    (folder / "TaskRequested.avsc").write_text(json.dumps(today))
    (folder / "history").mkdir(exist_ok=True)
    mark = wire_fingerprint(before).hex()
    (folder / "history" / f"TaskRequested.{mark}.avsc").write_text(json.dumps(before))
    lock = folder / "fingerprints.lock"
    lock.write_text(f"{mark} TaskRequested\n{lock.read_text()}")

    event = SAMPLES["TaskRequested"]
    assert isinstance(event, TaskRequested)
    old = msgspec.to_builtins(event, builtin_types=(bytes,))
    del old["origin"]
    written = _encode(before, old)

    assert Codec(folder).decode(Sample(written)) == msgspec.structs.replace(event, origin="unknown")
    assert Codec(folder).decode(Sample(Codec(folder).encode(event))) == event
    with pytest.raises(UnknownSchema):
        CODEC.decode(Sample(written))


def _encode(schema: dict[str, Any], datum: dict[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return b"\xc3\x01" + wire_fingerprint(schema) + out.getvalue()


@pytest.mark.parametrize("size", range(1, 11))
def test_a_number_at_the_end_of_a_body_is_read_again_as_it_was_and_not_without_its_end(size: int) -> None:
    for basis in ((1 << 7 * size - 1) - 1, -(1 << 7 * size - 2)):
        if -(1 << 63) <= basis < 1 << 63:
            value = CODEC.encode(TaskSucceeded(b"0123456789abcdef", 1, "by", "task", 0, "", basis))
            for _ in range(2):
                assert CODEC.decode(Sample(value)).basis == basis  # type: ignore[attr-defined]
                with pytest.raises(Undecodable):
                    CODEC.decode(Sample(value[:-1]))
