"""A record is written under the oldest schema that holds what it says, and every former schema is read straight."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from streamsched.domain import events
from streamsched.domain.events import ChildCheckpointed, Event, Terms, TickEnded
from streamsched.log import codec as codecs
from streamsched.log.avro import compile_reader
from streamsched.log.codec import Codec, UnknownSchema, schema_folder, wire_fingerprint
from tests.support.samples import SAMPLES, Sample
from tools.schemas import schema_of


class Inside(Struct, frozen=True, gc=False):
    """Nested, and added to: ``more`` came second, ``most`` third."""

    name: str
    more: int = 0
    most: str | None = None


class Item(Inside, frozen=True, gc=False):
    """As Inside: Avro defines each record once in a schema."""


class Why(Inside, frozen=True, gc=False):
    """As Inside."""


class Spike(Event, frozen=True, gc=False):
    """An event that was added to: ``why`` came second, ``tags`` and ``level`` third."""

    task_id: str
    inner: Inside | None
    items: tuple[Item, ...]
    why: Why | None = None
    tags: tuple[str, ...] = ()
    level: int = 0
    sure: bool = False


BORN: Final = {"more": 2, "why": 2, "most": 3, "tags": 3, "level": 3, "sure": 3}


def schema_at(version: int, today: Any) -> Any:
    """Leave out of a schema what came later than this version."""
    if isinstance(today, list):
        return [schema_at(version, part) for part in today]
    if not isinstance(today, dict):
        return today
    return {
        name: [schema_at(version, field) for field in part if BORN.get(field["name"], 1) <= version]
        if name == "fields"
        else schema_at(version, part)
        for name, part in today.items()
    }


SCHEMAS: Final = [schema_at(version, schema_of(Spike)) for version in (1, 2, 3)]
MARKS: Final = [wire_fingerprint(schema) for schema in SCHEMAS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(schema_folder(), tmp_path_factory.mktemp("wire") / "schemas"))
    for mark, schema in zip(MARKS[:2], SCHEMAS[:2], strict=True):
        (folder / "history" / f"Spike.{mark.hex()}.avsc").write_text(json.dumps(schema))
    (folder / "Spike.avsc").write_text(json.dumps(SCHEMAS[2]))
    with (folder / "fingerprints.lock").open("a") as lock:
        lock.writelines(f"{mark.hex()} Spike\n" for mark in MARKS)
    return folder


@pytest.fixture(scope="module")
def codec(folder: Path) -> Codec:
    return codec_of(folder, Spike)


def codec_of(folder: Path, *more: type[Event]) -> Codec:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "EVENTS", (*events.EVENTS, *more))
        return Codec(folder)


def oldest(event: Event, schemas: Sequence[Any]) -> bytes:
    """Find by fastavro alone what a record has to be: the first schema that gives the event back, and its body."""
    today = fastavro.parse_schema(schemas[-1])
    said = plain(msgspec.to_builtins(event, builtin_types=(bytes,)))
    for schema in schemas:
        written, body = fastavro.parse_schema(schema), BytesIO()
        fastavro.schemaless_writer(body, written, said)
        if fastavro.schemaless_reader(BytesIO(body.getvalue()), written, today) == said:
            return b"\xc3\x01" + wire_fingerprint(schema) + body.getvalue()
    raise AssertionError("today's schema holds everything")


def plain(value: Any) -> Any:
    """Make lists of tuples: fastavro takes a tuple in a union for the name of a type and its value."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


def some(cls: type[Inside]) -> st.SearchStrategy[Any]:
    return st.builds(
        cls, name=st.text(max_size=3), more=st.sampled_from([0, 0, 1]), most=st.sampled_from([None, None, ""])
    )


spikes = st.builds(
    Spike,
    event_id=st.just(b"0123456789abcdef"),
    at=st.integers(0, 2**40),
    by=st.just("me"),
    task_id=st.just("t"),
    inner=st.none() | some(Inside),
    items=st.lists(some(Item), max_size=3).map(tuple),
    why=st.none() | st.none() | some(Why),
    tags=st.sampled_from([(), (), ("a",), ("",)]),
    level=st.sampled_from([0, 0, -1]),
    sure=st.sampled_from([False, False, True]),
)


@given(event=spikes)
def test_a_record_is_written_under_the_oldest_schema_that_holds_what_it_says(codec: Codec, event: Spike) -> None:
    value = codec.encode(event)
    assert value == oldest(event, SCHEMAS)
    assert codec.decode(Sample(value)) == event


def test_what_each_version_says_first(codec: Codec) -> None:
    plain = Spike(b"0" * 16, 1, "me", "t", Inside("a"), (Item("b"), Item("c")))
    for version, event in (
        (1, plain),
        (2, msgspec.structs.replace(plain, why=Why("w"))),
        (2, msgspec.structs.replace(plain, inner=Inside("a", 1))),
        (2, msgspec.structs.replace(plain, items=(Item("b"), Item("c", 1)))),
        (3, msgspec.structs.replace(plain, items=(Item("b"), Item("c", 0, "")))),
        (3, msgspec.structs.replace(plain, why=Why("w", 0, "x"))),
        (3, msgspec.structs.replace(plain, tags=("a",))),
        (3, msgspec.structs.replace(plain, level=1)),
        (3, msgspec.structs.replace(plain, sure=True)),
    ):
        assert codec.encode(event)[2:10] == MARKS[version - 1], event


def test_a_former_schema_is_read_without_a_resolution(
    folder: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "_historic_reader", None)
    event = Spike(b"0" * 16, 1, "me", "t", Inside("a"), (Item("b"),), Why("w"))
    reader = codec_of(folder, Spike)
    assert reader.decode(Sample(codec.encode(event))) == event
    ended = TickEnded(b"0" * 16, 1, "me", "s", "t", "succeeded")
    assert codec.encode(ended)[2:10].hex() == "95cca4279fa8d8b7"
    assert Codec().decode(Sample(codec.encode(ended))) == ended


def test_a_schema_that_lacks_something_in_the_middle_is_read_and_never_written(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "schemas"))
    without = {**SCHEMAS[2], "fields": [field for field in SCHEMAS[2]["fields"] if field["name"] != "tags"]}
    mark = wire_fingerprint(without).hex()
    (other / "history" / f"Spike.{mark}.avsc").write_text(json.dumps(without))
    lock = other / "fingerprints.lock"
    lock.write_text(f"{mark} Spike\n{lock.read_text()}")
    codec = codec_of(other, Spike)
    event = Spike(b"0" * 16, 1, "me", "t", None, (), level=7)
    assert codec.encode(event)[2:10] == MARKS[2]
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(without), msgspec.to_builtins(event, builtin_types=(bytes,)))
    assert codec.decode(Sample(b"\xc3\x01" + bytes.fromhex(mark) + body.getvalue())) == event


def test_an_older_node_reads_what_uses_nothing_new_and_stops_at_the_rest(
    folder: Path, codec: Codec, tmp_path: Path
) -> None:
    former = Path(shutil.copytree(folder, tmp_path / "schemas"))
    (former / "fingerprints.lock").write_text(
        (schema_folder() / "fingerprints.lock").read_text() + f"{MARKS[0].hex()} Spike\n"
    )
    (former / "Spike.avsc").write_text(json.dumps(SCHEMAS[0]))
    old = codec_of(former, Spike)
    event = Spike(b"0" * 16, 1, "me", "t", None, ())
    assert old.decode(Sample(codec.encode(event))) == event
    with pytest.raises(UnknownSchema):
        old.decode(Sample(codec.encode(msgspec.structs.replace(event, level=1))))


def test_a_checkpoint_goes_by_its_work_too(codec: Codec) -> None:
    today = json.loads((schema_folder() / "ChildCheckpointed.avsc").read_text())
    created: Any = msgspec.structs.replace(SAMPLES["ChildCreated"], terms=None)
    for work, is_new in ((None, False), (created, False), (msgspec.structs.replace(created, terms=Terms("key")), True)):
        event = ChildCheckpointed(b"0" * 16, 1, "me", "t", 1, 1, 1, 1, 1, None, 0, work)
        value = codec.encode(event)
        assert (value[2:10] == wire_fingerprint(today)) is is_new
        assert codec.decode(Sample(value)) == event


def test_a_class_that_has_no_default_for_what_a_former_schema_lacks_is_refused(folder: Path) -> None:
    class Broken(Event, frozen=True, gc=False):
        task_id: str

    source = {**SCHEMAS[0], "fields": SCHEMAS[0]["fields"][:3]}
    with pytest.raises(TypeError, match="differ in their fields"):
        compile_reader(Broken, source)
