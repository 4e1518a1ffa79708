"""What ``--json`` prints, byte for byte: ``documents.jsonl`` was written before documents were structs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from streamsched.audit.report import Fault, Report
from streamsched.commands.backfills import WantedBackfill, parts_of, preview
from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.port import TopicPartition
from streamsched.queries.certificate import certificate
from streamsched.queries.dead_letters import (
    SetAside,
    dead_letter_document,
    whole_dead_letter_document,
)
from streamsched.queries.documents import Document
from streamsched.queries.failures import failures_of
from streamsched.queries.ledger import Book
from streamsched.queries.nodes import node_document
from streamsched.queries.scaling import scaling
from streamsched.queries.schedule_status import schedule_status
from streamsched.queries.status import children_of, status_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.samples import Sample

RECORDED: Final = Path(__file__).with_name("documents.jsonl")
NOON: Final = 1_795_867_200_000
SECOND: Final = 1_000
TEMPLATE: Final = (
    '{"child":{"args":{},"handler":"a:b","retry":{"max_attempts":1}},"name":"job",'
    '"params":{"n":{"type":"integer"}},"split":{"range":{"first":0,"last":"${n}","size":1}}}'
)
PARAMS: Final = '{"big":1180591620717411303424,"deep":[{"a":null}],"n":5,"text":"\\ud800 ä\\u202e"}'
SPEC: Final = '{"cron":["0 12 * * *"],"zone":"Europe/Berlin"}'
POLICY: Final = '{"catchup_window_ms":5400000,"limited_runs":9,"overlap":"buffer_all"}'
SELDOM: Final = ("reduce", "split", "pages", "group", "limits")
"""Fields that are absent where they have nothing to say."""
NUMBER: Final = iter(range(1 << 30))


E = TypeVar("E", bound=e.Event)


def made(cls: type[E], *fields: Any, at: int = NOON) -> E:
    return cls(next(NUMBER).to_bytes(16), at, "me@here", *fields)


def task_events(task_id: str) -> Iterator[e.Event]:
    yield made(e.TaskRequested, task_id, "job", "0123456789abcdef", TEMPLATE, PARAMS, 7, "submit", None)
    yield made(e.TaskPlanned, task_id, 0, 5, '{"first":0,"last":4}', "", 0, at=NOON + 1)
    yield made(e.ChildrenDispatched, task_id, (e.Release(0, 3, 1, 2),), 0, at=NOON + 2)
    yield made(e.ChildCompleted, task_id, 0, 1, 1, 1, NOON + 3, 2, '{"count":2.0,"of":[1,"x"]}', at=NOON + 1_007)
    yield made(e.ChildCheckpointed, task_id, 1, 1, 1, 1, 3, '{"at":1}', 0, None, at=NOON + 1_008)
    yield made(
        e.ChildFailed, task_id, 2, 1, 1, 1, NOON + 5, 0, None, "error", "ValueError", "bad\x1b[31m ä", "Traceback ...",
        False, None, at=NOON + 2_000,
    )  # fmt: skip
    yield made(e.ChildCompleted, task_id, 3, 1, 1, 1, NOON + 6, 0, "no JSON {", at=NOON + 2_001)


def schedule_events(name: str) -> Iterator[e.OfSchedule]:
    task = f"{name}@2026-11-29T11:00:00Z"
    part = e.BackfillPart(NOON - 90_000_000, NOON, SPEC, "job", "0123", TEMPLATE, PARAMS, 1)
    yield made(e.ScheduleSet, name, 0, SPEC, POLICY, "job", "0123456789abcdef", TEMPLATE, PARAMS, 3)
    yield made(e.ScheduleTriggered, name, at=NOON + 1_234)
    ticks = (
        e.Ticks("tick", NOON + 82_800_000, NOON + 82_800_000, 1, "fired"),
        e.Ticks("tick", NOON + 169_200_000, NOON + 255_600_000, 2, "missed"),
        e.Ticks("trigger", NOON + 1_234, NOON + 1_234, 1, "buffered"),
    )
    yield made(e.TicksDecided, name, NOON + 255_600_000, ticks, 0, at=NOON + 260_000_001)
    yield made(e.SchedulePaused, name, True, "for now", at=NOON + 260_000_002)
    yield made(e.TickEnded, name, task, "failed", at=NOON + 260_000_003)
    yield made(e.BackfillRequested, name, 1, "failed", 2, False, (part,), "once", at=NOON + 260_000_004)
    fired = e.Refill(NOON - 90_000_000 + 3_600_000, NOON - 90_000_000 + 3_600_000, 1, "fired", 0)
    yield made(e.BackfillDecided, name, 1, fired.last, (fired,), 0, at=NOON + 260_000_005)


def beats() -> Iterator[tuple[e.NodeBeat, int]]:
    running = (
        e.RunningChild("t", 1, 2, NOON + 5, 2.0, 4.5),
        e.RunningChild("t", 2, 1, NOON, float("nan"), float("inf")),
    )
    node = ("n1", "w-1", "worker", "0.1.0", "running", "m", "x", 4, 2, 1, (0, 1, 5), running, 12, ("jobs.*",))
    yield made(e.NodeBeat, *node), 250
    yield made(e.NodeBeat, "n2", "s-1", "scheduler", "0.1.0", "running", "m", "x", 0, 0, 0, (), (), 3, None), -7


def letters() -> Iterator[tuple[SetAside, Sample | None]]:
    whole = Sample(b"\x00\xffabc", "events", 3, 42, NOON, b"key", (("event_type", b"X\xff"), ("b", b"")))
    yield SetAside(17, made(e.DeadLetter, "events", 3, 42, "no event: ä", b"k\xff", b"\x00\xffabc")), whole
    yield SetAside(18, made(e.DeadLetter, "children", 0, 1, "why", None, None)), None


def documents() -> Iterator[tuple[str, Document]]:
    view = View(MemoryStore(), Codec())
    broken = made(e.TaskRequested, "u", "job", "0", "{", "{", 0, "", None)
    for event in (*task_events("t"), *schedule_events("s"), broken):
        view.apply(event, 0)
    for task_id in ("t", "u"):
        task = view.task(task_id)
        assert task is not None
        yield "task", status_of(task)
        yield from (("child", child) for child in children_of(view, task))
        yield from (("failures", group) for group in failures_of(task))
    schedule = view.schedules["s"]
    yield "schedule", schedule_status(schedule, NOON + 260_000_100)
    book = Book()
    for event in schedule_events("s"):
        book.take(event)
    yield from (("tick", tick) for tick in book.ticks())
    wanted = WantedBackfill(start=NOON - 90_000_000, end=NOON + 3_600_000, reprocess="all")
    parts = parts_of(schedule.now, lambda: schedule_events("s"), wanted, NOON + 260_000_100)
    yield from (("backfill step", step) for step in preview("s", parts, wanted, view.standing))
    yield from (("node", node_document(beat, age)) for beat, age in beats())
    for entry, origin in letters():
        yield "letter", dead_letter_document(entry)
        yield "whole letter", whole_dead_letter_document(entry, origin)
    task = view.task("t")
    assert task is not None
    yield "scaling", scaling([task], NOON + 3_000, 2.0)
    report = Report(events=7, notes=["it is told"])
    report.add(Fault(3, 1, "one", "another"), "t", "events-0-3")
    yield "certificate", certificate(view, task, TopicPartition("events", 0), position=9, report=report)


def test_documents_are_what_they_were() -> None:
    made_now = [json.dumps([name, document.document()]) for name, document in documents()]
    assert made_now == RECORDED.read_text().splitlines()


def fits(value: Any, schema: dict[str, Any], known: dict[str, Any]) -> bool:
    """Tell whether a JSON value is as its schema says, as far as documents go."""
    if "$ref" in schema:
        return fits(value, known[schema["$ref"].rpartition("/")[2]], known)
    if "anyOf" in schema:
        return any(fits(value, each, known) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, list):
        entries = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        return schema["type"] == "array" and all(map(fits, value, entries, [known] * len(value)))
    if isinstance(value, dict) and "properties" in schema:
        fields = {name: each for name, each in schema["properties"].items() if name in value or name not in SELDOM}
        return list(value) == list(fields) and all(fits(value[name], each, known) for name, each in fields.items())
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", type(None): "null"}
    return str(schema.get("type", names[type(value)])) == names[type(value)]


def test_a_schema_tells_the_fields_of_each_document_and_their_types() -> None:
    kinds = {type(document) for _, document in documents()}
    _, known = msgspec.json.schema_components(kinds, schema_hook=attrgetter("schema"))
    assert len(kinds) == 11
    for _, document in documents():
        text = json.loads(json.dumps(document.document()))
        assert fits(text, known[type(document).__name__], known), text
    assert known["TaskStatus"]["properties"]["submitted_at"] == {"type": "string", "format": "date-time"}
    assert known["ScheduleStatus"]["properties"]["next"]["items"] == {"type": "string", "format": "date-time"}
    assert known["PolicyStatus"]["properties"]["catchup_window"] == {"type": "string"}
