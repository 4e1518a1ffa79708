"""A seeded corpus of records that no streamsched wrote, for each topic, each with what has to become of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Literal

from msgspec import structs

from streamsched.domain import events as e
from streamsched.log.codec import Codec, headers_of
from streamsched.log.port import Append, Headers
from streamsched.log.topics import Topics
from tests.support.mini_cluster import TEMPLATE

Topic = Literal["events", "children", "templates", "workers", "dead_letters"]
Fate = Literal["letter", "valid", "passed", "newer", "either"]
"""``letter``: exactly one dead letter. ``valid``: an event all the same, whose content may be refused later.
``passed``: of a topic whose rubbish is passed over. ``newer``: stays where it is. ``either``: a letter, or an event."""

HANDLER: Final = "hostile.module:handler"
DEEP: Final = "[" * 100_000 + "]" * 100_000
NUMBERS: Final = (-1, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63), 2**64, 2**70, 10**30)
TOO_LARGE: Final = (2**62, 2**63 - 1, 2**64, 2**70, 10**30)


@dataclass(frozen=True)
class Poison:
    """One record: what is wrong with it, where it goes, and what has to become of it."""

    kind: str
    topic: Topic
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    fate: Fate

    def append(self, topics: Topics) -> Append:
        return Append(getattr(topics, self.topic), self.partition, self.key, self.value, self.headers)


Place = tuple[str, int, int]


def tally(letters: Iterable[e.DeadLetter]) -> Counter[Place]:
    """Count the dead letters for each origin; those that the corpus itself made are none."""
    return Counter((letter.topic, letter.partition, letter.offset) for letter in letters if letter.by != "hostile")


def check_fates(thrown: Mapping[Place, Poison], told: Counter[Place]) -> None:
    """Hold every record that was thrown against its fate."""
    for place, poison in thrown.items():
        most = 1 if poison.fate in ("letter", "either") else 0
        least = 1 if poison.fate == "letter" else 0
        what = f"{poison.kind} ({poison.fate}) at {place}"
        assert least <= told[place] <= most, f"{told[place]} dead letters of {what}"
    assert not told.keys() - thrown.keys(), "dead letters of what nobody threw"


class Corpus:
    """Makes the records of one seed. Unknown fingerprints go to the work log only: they would stop the journal."""

    def __init__(self, seed: int, topics: Topics, codec: Codec, *, now: int = 1_000_000_000) -> None:
        self._rng = Random(seed)
        self._seed = seed
        self._now = now
        self._topics = topics
        self._codec = codec
        self._ids = 0

    def records(self) -> list[Poison]:
        """Make the whole corpus, in an order of the seed's choice."""
        found = [
            *self._broken(), *self._numbers(), *self._ranges(), *self._contents(), *self._schedules(), *self._names(),
            *self._places(), *self._headers(), *self._beats(), *self._heaps(), *self._unread(),
        ]  # fmt: skip
        self._rng.shuffle(found)
        return found

    # --- what is valid to begin with --------------------------------------------------------------------------------

    def _id(self) -> str:
        self._ids += 1
        return f"hostile-{self._seed}-{self._ids}"

    def _common(self) -> tuple[bytes, int, str]:
        return self._rng.randbytes(16), 1_700_000_000_000, "hostile"

    def _created(self, task_id: str) -> e.ChildCreated:
        return e.ChildCreated(*self._common(), task_id, 1, 1, 1, HANDLER, "{}", 0, 0, 0, 0, None, 0, None)

    def _journal_events(self, task_id: str) -> list[Any]:
        common = self._common()
        now = common[1]
        releases = (e.Release(0, 1, 1, 0), e.Release(2, 2, 1, 1))
        return [
            self._request(task_id),
            e.TaskCancelRequested(*common, task_id, 0, "r"),
            e.TimerFired(*common, task_id, 1),
            e.TaskPaused(*common, task_id, 0, True, False, "r"),
            e.TaskLimitsChanged(
                *common, task_id, 0, 5, e.Rate(3, 10_000), 1, 2, e.Tolerance(1, 2.5), 1_700_000_001_000, "r"
            ),
            e.TaskRedriven(
                *common, task_id, 1, "failed", False, "", "r", e.Selector(1, (e.Clause("group", "=", ("g",)),))
            ),
            e.ChildrenSelected(*common, task_id, 1, 2, (e.Span(0, 1),), 1),
            e.TaskPlanned(*common, task_id, 0, 3, '{"range":{"first":0,"last":2,"size":1}}', "0" * 64, 1),
            e.TaskPlanProgressed(*common, task_id, 0, "{}", 1),
            e.TaskRefused(*common, task_id, b"1" * 16, "no", 1),
            e.ChildrenDispatched(*common, task_id, releases, 1),
            e.ChildrenStopping(*common, task_id, releases, "r", 1),
            e.ChildrenCancelled(*common, task_id, (e.Span(0, 1),), "r", 1),
            e.TaskSucceeded(*common, task_id, 0, "", 1),
            e.TaskFailed(*common, task_id, 0, "", 1),
            e.TaskCancelled(*common, task_id, 0, "", 1),
            e.ChildStarted(*common, task_id, 1, 1, 1, 1),
            e.ChildCheckpointed(*common, task_id, 1, 1, 1, 1, 1, "1", 0, None),
            e.ChildCompleted(*common, task_id, 1, 1, 1, 1, now, 0, "1"),
            e.ChildFailed(*common, task_id, 1, 1, 1, 1, now, 0, None, "error", "E", "m", "t", True, None),
            e.ChildCancelled(*common, task_id, 1, 1, 1, 1, now, 0, None, "r"),
            e.ChildReturned(*common, task_id, 1, 1, 1, 1, 0, None, 0, "r"),
            e.ChildYielded(*common, task_id, 1, 1, 1, 1, 0, "r"),
        ]

    def _work_events(self, task_id: str) -> list[Any]:
        created = self._created(task_id)
        return [
            created,
            e.ChildCheckpointed(*self._common(), task_id, 1, 1, 1, 1, 1, "1", 0, created),
            e.ChildrenStopping(*self._common(), task_id, (e.Release(0, 1, 1, 0),), "r", 1),
        ]

    def _request(self, task_id: str, **fields: Any) -> e.TaskRequested:
        made = e.TaskRequested(*self._common(), task_id, "t", "1", TEMPLATE.to_json(), "{}", 0, "hostile", None)
        return structs.replace(made, **fields)

    def _beat(self, **fields: Any) -> e.NodeBeat:
        node = self._id()
        beat = e.NodeBeat(*self._common(), node, node, "worker", "1", "running", "m", "x", 1, 1, 0, (0,), (), 0)
        return structs.replace(beat, **fields)

    # --- records ----------------------------------------------------------------------------------------------------

    def _journal(self, kind: str, event: Any, fate: Fate, **changes: Any) -> Poison:
        home = self._topics.journal_of(event.task_id).partition
        made = Poison(kind, "events", home, event.task_id.encode(), self._codec.encode(event), headers_of(event), fate)
        return replace(made, **changes)

    def _work(self, kind: str, event: Any, fate: Fate, **changes: Any) -> Poison:
        partition = self._rng.randrange(self._topics.child_partitions)
        value = self._codec.encode(event)
        # Without headers: nobody is to blame, and a child that these would name is none of ours.
        return replace(Poison(kind, "children", partition, event.task_id.encode(), value, (), fate), **changes)

    def _each(self) -> Iterator[tuple[Callable[..., Poison], Any]]:
        """Walk a valid event of each kind, with what makes its record."""
        for event in self._journal_events(self._id()):
            yield self._journal, event
        for event in self._work_events(self._id()):
            yield self._work, event

    def _broken(self) -> Iterator[Poison]:
        """Bytes that are no single-object encoding, or no body of their schema."""
        rng = self._rng
        for make, event in self._each():
            whole = self._codec.encode(event)
            body = whole[10:]
            for cut in {10, 11, len(whole) - 1, *(rng.randrange(10, len(whole)) for _ in range(6))}:
                yield make("cut off", event, "letter", value=whole[:cut])
            yield make("bytes left over", event, "letter", value=whole + b"\0")
            yield make("twice", event, "letter", value=whole + whole)
            yield make("no magic", event, "letter", value=body)
            yield make("wrong magic", event, "letter", value=b"\xc3\x02" + whole[2:])
            yield make("magic only", event, "letter", value=whole[:9])
            yield make("length of 2**40", event, "letter", value=whole[:10] + varint(2**41) + body[1:])
            yield make("negative length", event, "letter", value=whole[:10] + varint(33) + body[1:])
            yield make("number without an end", event, "letter", value=whole[:10] + b"\xff" * 20)
            for _ in range(8):
                at = rng.randrange(10, len(whole))
                flipped = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
                yield make("bit flipped", event, "either", value=flipped)
            yield make("no text", event, "letter", value=whole.replace(b"hostile", b"host\xff\xfee", 1))
            other = self._codec.encode(e.TimerFired(*self._common(), event.task_id, 1))
            if not isinstance(event, e.TimerFired | e.TaskPlanProgressed):
                yield make("body of another schema", event, "letter", value=whole[:10] + other[10:])
        for topic in ("events", "children"):
            for value in (None, b"", b"\0", b"rubbish", b"{}", b"\xc3", b"\xc3\x01", rng.randbytes(5_000)):
                yield Poison("rubbish", topic, 0, b"k", value, (), "letter")
                yield Poison("rubbish without a key", topic, 1, None, value, (), "letter")
        for _ in range(5):
            value = b"\xc3\x01" + rng.randbytes(8) + b"from the future"
            yield Poison("newer", "children", rng.randrange(self._topics.child_partitions), b"k", value, (), "newer")

    def _numbers(self) -> Iterator[Poison]:
        """Whole events, but for one number that cannot be."""
        wrong: dict[str, Sequence[object]] = {
            "at": (-1, 2**50, *TOO_LARGE),
            "child": NUMBERS,
            "ordinal": (0, 4096, *NUMBERS),
            "attempt": (0, *NUMBERS),
            "redrive": NUMBERS,
            "children": (-1, 10_000_001, *NUMBERS),
            "recoveries": NUMBERS,
            "sequence": (-1, *TOO_LARGE),
            "token": (-1, 2**64, 10**30),
            "started_at": (-1, *TOO_LARGE),
            "priority": (2**31, -(2**40), *TOO_LARGE),
            "timeout": (-1, *TOO_LARGE),
            "heartbeat": (-1, *TOO_LARGE),
            "delay": (-1, *TOO_LARGE),
            "due": (-1, *TOO_LARGE),
            "parallelism": NUMBERS,
            "weight": (0, *NUMBERS),
            "deadline": (-1, *TOO_LARGE),
            "upto": NUMBERS,
            "rate": (e.Rate(-1, 1), e.Rate(2**31, 1), e.Rate(1, -1), e.Rate(1, 2**62), e.Rate(2**62, 1)),
            "tolerate": (
                e.Tolerance(-1, None),
                e.Tolerance(2**40, None),
                e.Tolerance(None, -0.5),
                e.Tolerance(None, 100.5),
                e.Tolerance(None, float("nan")),
                e.Tolerance(None, float("inf")),
            ),
            "cause": (
                e.Cause(("E",) * 17),
                e.Cause(("E" * 1_001,)),
                e.Cause(exit_code=1 << 32),
                e.Cause(fingerprint="f" * 65),
                e.Cause(frames=("f",) * 17),
                e.Cause(frames=("f" * 2_001,)),
            ),
        }
        for make, event in self._each():
            for name, values in wrong.items():
                if hasattr(event, name):
                    for value in self._rng.sample(values, min(3, len(values))):
                        yield make(f"{name} {value}", structs.replace(event, **{name: value}), "letter")
        for partition in NUMBERS:
            reset = e.PartitionReset(*self._common(), partition)
            encoded = self._codec.encode(reset)
            yield Poison(f"reset of {partition}", "events", 0, None, encoded, (), "letter")

    def _ranges(self) -> Iterator[Poison]:
        """Decisions about children that no task has."""
        releases: list[tuple[e.Release, Fate]] = [
            (e.Release(0, 2**40, 1, 0), "letter"), (e.Release(2**40, 2**40, 1, 0), "letter"),
            (e.Release(2, 1, 1, 0), "letter"), (e.Release(-1, 1, 1, 0), "letter"), (e.Release(0, 1, 0, 0), "letter"),
            (e.Release(0, 1, 2**40, 0), "letter"), (e.Release(0, 1, 1, -1), "letter"),
            (e.Release(0, 1, 1, 2**16), "letter"), (e.Release(0, 1, 1, 2**62), "letter"),
            (e.Release(0, 1, 1, 60_000), "valid"), (e.Release(0, 9_999_998, 1, 0), "valid"),
        ]  # fmt: skip
        spans: list[tuple[e.Span, Fate]] = [
            (e.Span(0, 2**40), "letter"), (e.Span(3, 2), "letter"), (e.Span(-5, 5), "letter"),
            (e.Span(2**62, 2**62), "letter"), (e.Span(7_000_000, 9_999_999), "valid"),
        ]  # fmt: skip
        for release, fate in releases:
            task_id = self._id()
            many = (release,) if fate == "letter" else (release, e.Release(0, 0, 1, 0))
            dispatched = e.ChildrenDispatched(*self._common(), task_id, many, 1)
            yield self._journal(f"dispatched {release}", dispatched, fate)
            stopping = e.ChildrenStopping(*self._common(), task_id, many, "r", 1)
            yield self._journal(f"stopping {release}", stopping, fate)
            yield self._work(f"marker {release}", stopping, fate)
        for span, fate in spans:
            cancelled = e.ChildrenCancelled(*self._common(), self._id(), (span,), "r", 1)
            yield self._journal(f"{span}", cancelled, fate)
        often = (e.Release(0, 9_999_999, 1, 0),) * 50
        yield self._journal("all children often", e.ChildrenDispatched(*self._common(), self._id(), often, 1), "letter")

    def _contents(self) -> Iterator[Poison]:
        """Valid events of hostile content: tasks that cannot be, plans that nobody made."""
        whole = json.loads(TEMPLATE.to_json())
        templates = [
            "", "null", "[]", "{}", "7", "{", '"x"', DEEP, '{"a":' * 100_000, "\0", "NaN", "9" * 5_000,
            json.dumps(whole | {"split": {"stars": {}}}), json.dumps(whole | {"name": 7}),
            json.dumps(whole | {"params": {"n": {"type": "integer", "minimum": "x"}}}),
            json.dumps(whole | {"child": whole["child"] | {"handler": "x" * 100_000 + ":f"}}),
            json.dumps(whole | {"child": whole["child"] | {"timeout_ms": 10**30}}),
            json.dumps(whole | {"child": whole["child"] | {"args": json.loads("[" * 400 + "]" * 400)}}),
            json.dumps(whole | {"child": whole["child"] | {"retry": {"initial_interval_ms": 10**40}}}),
            json.dumps(whole | {"split": {"range": {"first": 0, "last": 10**18, "size": 1}}}),
            json.dumps(whole | {"split": {"range": {"first": 0, "last": 5, "size": 0}}}),
        ]  # fmt: skip
        for template in templates:
            yield self._journal(f"template {template[:40]!r}", self._request(self._id(), template=template), "valid")
        for params in ("", "null", "[]", "{", DEEP, '{"n": NaN}', '{"m": 1}', '{"n": ' + "9" * 5_000 + "}", "\0"):
            request = self._request(self._id(), params=params)
            yield self._journal(f"params {params[:40]!r}", request, "valid")
            planned = e.TaskPlanned(
                *self._common(), request.task_id, 0, 3, '{"range":{"first":0,"last":2,"size":1}}', "", 1
            )
            yield self._journal(f"a plan of params {params[:40]!r}", planned, "valid")
        for pattern in (r"(a)\1", "(?=a)", "(a{1000}){1000}", "^(a+)+$", "(", "\ud800", "x" * 100_000):
            declared = {"n": {"type": "string", "pattern": pattern}}
            yield self._journal(
                f"pattern {pattern[:40]!r}",
                self._request(
                    self._id(),
                    template=json.dumps(whole | {"params": declared}),
                    params=json.dumps({"n": "a" * 99_999}),
                ),
                "valid",
            )
        plans = [
            (3, ""), (3, "null"), (3, "{}"), (3, DEEP), (3, '{"stars":{}}'), (3, '{"list":{"items":[1,2,3],"size":1}}'),
            (3, '{"range":{"first":0,"last":2.5,"size":1}}'), (3, '{"range":{"first":0,"last":2,"size":0}}'),
            (3, '{"range":{"first":"a","last":2,"size":1}}'), (7, '{"range":{"first":0,"last":2,"size":1}}'),
            (10_000_000, '{"range":{"first":0,"last":2,"size":1}}'), (3, '{"list":{"items":"abc","size":1}}'),
            (3, '{"range":{"first":0,"last":1e999,"size":1}}'), (3, '{"range":3}'), (3, '{"range":{},"list":{}}'),
        ]  # fmt: skip
        for children, plan in plans:
            # Of a task that cannot be planned as it says: whatever comes first, the plan that nobody made stands.
            task_id = self._id()
            event = e.TaskPlanned(*self._common(), task_id, 0, children, plan, "", 0)
            yield self._journal(f"plan {plan[:40]!r}", event, "valid")
            yield self._journal("its task", self._request(task_id), "valid")
        for name, text in (("args", "x"), ("args", "[1"), ("args", DEEP), ("state", "}"), ("state", DEEP)):
            created = structs.replace(self._created(self._id()), **{name: text})
            yield self._work(f"{name} {text[:20]!r}", created, "valid")
        for handler in ("", "os:system", "os.path", ":", "a" * 900, "a\0b:c"):
            yield self._work(
                f"handler {handler[:20]!r}", structs.replace(self._created(self._id()), handler=handler), "valid"
            )
        for text in ("x" * 300_000, "é" * 200_000):
            for name in ("args", "state"):
                created = structs.replace(self._created(self._id()), **{name: text})
                yield self._work(f"{name} of {len(text)}", created, "letter")
            for event in self._journal_events(self._id()):
                if hasattr(event, "state") or hasattr(event, "result"):
                    name = "state" if hasattr(event, "state") else "result"
                    yield self._journal(f"{name} of {len(text)}", structs.replace(event, **{name: text}), "letter")
        yield self._journal("long trace", self._request(self._id(), traceparent="0" * 1_900_000), "letter")
        yield self._work("long handler", structs.replace(self._created(self._id()), handler="h" * 1_900_000), "letter")
        yield self._work("no work in it", structs.replace(self._work_events(self._id())[1], work=None), "letter")
        other = structs.replace(self._work_events(self._id())[1], work=self._created(self._id()))
        yield self._work("work of another child", other, "letter")

    def _schedules(self) -> Iterator[Poison]:
        """Valid events of schedules that cannot be, or that cost as much as can be."""
        every = '{"interval":[{"every":"1s"}]}'
        out = [{"second": "1-59"}, {"second": "0", "minute": "1-59"}, {"second": "0", "minute": "0", "hour": "1-23"}]
        days = [{"month": month, "day_of_month": day} for month in range(1, 13) for day in range(1, 29)]
        specs = [
            "", "null", "[]", "{", DEEP, "9" * 5_000, "{}", '{"cron":["0 0 30 2 *"]}',
            '{"cron":["* * * * *"],"zone":"X"}',
            '{"interval":[{"every":"1ms"}]}', json.dumps({"cron": ["* * * * *"] * 100_000}),
            json.dumps({"cron": ["*," * 100_000 + "* * * * *"]}),
            json.dumps({"cron": ["* * * * *"], "zone": "Z" * 100_000}),
            json.dumps({"interval": [{"every": "1s"}], "exclude": {"calendars": out}}),
            json.dumps({"cron": ["* * * * * * *"], "exclude": {"calendars": days}}),
            '{"calendars":[{"year":"2199","second":"59"}]}',
        ]  # fmt: skip
        now = self._now
        for spec in specs:
            yield self._of_schedule(f"spec {spec[:40]!r}", self._schedule(at=now, spec=spec), "valid")
        for policy in ("", "[]", "{", '{"overlap":7}', '{"max_catchup_runs":2147483648}', '{"limited_runs":-1}', DEEP):
            yield self._of_schedule(f"policy {policy[:40]!r}", self._schedule(at=now, policy=policy), "valid")
        growing = json.dumps({"a": "${tick.schedule}" * 16_000})
        for params in ("", "{", "[]", growing, '{"a":"${tick."}', DEEP):
            made = self._schedule(at=now, spec=every, params=params)
            yield self._of_schedule(f"params {params[:40]!r}", made, "valid")
        for text in ("x" * 1_900_000, "\u20ac" * 600_000):
            yield self._of_schedule("a heavy template", self._schedule(at=now, template=text), "letter")
            yield self._of_schedule("heavy parameters", self._schedule(at=now, params=text), "letter")
        schedule_id = self._id()
        for event in (self._schedule(schedule_id, at=now), *(self._triggered(schedule_id) for _ in range(150))):
            yield self._of_schedule("many triggers", event, "valid")
        for spec in specs[:12]:
            part = e.BackfillPart(0, now, spec, "t", "1", "{}", "{}", 0)
            asked = e.BackfillRequested(*self._common(), schedule_id, 1, "all", 1_000, True, (part,), "")
            yield self._of_schedule(f"backfill of {spec[:40]!r}", asked, "valid")

    def _schedule(self, schedule_id: str = "", at: int = 0, **fields: Any) -> e.ScheduleSet:
        event_id, _, by = self._common()
        policy = '{"limited_runs":1,"overlap":"skip"}'
        texts = {
            "spec": '{"cron":["0 3 * * *"]}',
            "policy": policy,
            "template": TEMPLATE.to_json(),
            "params": "{}",
        } | fields
        return e.ScheduleSet(
            event_id, at, by, schedule_id or self._id(), 0, texts["spec"], texts["policy"], "t", "1", texts["template"],
            texts["params"], 0,
        )  # fmt: skip

    def _triggered(self, schedule_id: str) -> e.ScheduleTriggered:
        return e.ScheduleTriggered(*self._common(), schedule_id)

    def _of_schedule(self, kind: str, event: Any, fate: Fate) -> Poison:
        home = self._topics.journal_of(event.schedule_id).partition
        key = event.schedule_id.encode()
        return Poison(kind, "events", home, key, self._codec.encode(event), headers_of(event), fate)

    def _names(self) -> Iterator[Poison]:
        """Ids that would break keys, lines and columns."""
        for task_id in ("", "a b", "a\0b", "a\nb", "\x7f", "\x1b[31mred", "x" * 201, "y" * 10_000, "\0", " "):
            yield self._journal(f"id {task_id[:10]!r}", self._request(task_id), "letter")
            yield self._work(f"id {task_id[:10]!r}", self._created(task_id), "letter")
        for task_id in ("ä" * 200, "a/b", "tick@1970", "%s", "..", "日本", "';drop"):
            yield self._journal(f"id {task_id[:10]!r}", self._request(f"{task_id[:190]}{self._seed}"), "valid")

    def _places(self) -> Iterator[Poison]:
        """Valid events where they do not belong."""
        for event in self._journal_events(self._id()):
            here = self._topics.journal_of(event.task_id).partition
            away = (here + 1) % self._topics.event_partitions
            yield self._journal("partition that is not a home", event, "letter", partition=away)
            yield self._journal("key of another task", event, "letter", key=b"another")
            yield self._journal("no key", event, "letter", key=None)
            yield self._journal("key of 1.5 MiB", event, "letter", key=b"k" * 1_500_000)
            if not isinstance(event, e.ChildrenStopping):
                yield self._work("journal event in the work log", event, "letter")
            value = self._codec.encode(event)
            yield Poison("journal event as a beat", "workers", 0, b"n", value, (), "passed")
            yield Poison("journal event as a dead letter", "dead_letters", 0, b"n", value, (), "passed")
        for event in self._work_events(self._id()):
            yield self._work("key of another task", event, "letter", key=b"another")
            yield self._work("no key", event, "letter", key=None)
        yield self._journal("work in the journal", self._created(self._id()), "letter")
        for made in (self._beat(), e.DeadLetter(*self._common(), "t", 0, 0, "r", None, None)):
            for topic in ("events", "children"):
                yield Poison("of another topic", topic, 0, b"k", self._codec.encode(made), (), "letter")

    def _headers(self) -> Iterator[Poison]:
        """Rubbish whose headers blame somebody, or try to."""
        hostile: list[Headers] = [
            (), (("task", b""),), (("task", b"gone"),), (("task", b"gone"), ("child", b"x"), ("ordinal", b"1")),
            (("task", b"gone"), ("child", b"1"), ("ordinal", b"1")),
            (("task", b"gone"), ("child", "²".encode()), ("ordinal", b"1")),
            (("task", b"gone"), ("child", b"9" * 5_000), ("ordinal", b"1")),
            (("task", b"gone"), ("child", b"999999999"), ("ordinal", b"1")),
            (("task", b"gone"), ("child", b"-1"), ("ordinal", b"1")),
            (("task", b"gone"), ("child", b"1"), ("ordinal", b"0")),
            (("task", b"go\0ne"), ("child", b"1"), ("ordinal", b"1")),
            (("task", b"\xff\xfe"), ("child", b"\xff"), ("ordinal", b"\xff")),
            (("task", b"x" * 10_000), ("child", b"1"), ("ordinal", b"1")),
            (("task", b"gone"), ("task", b"other"), ("child", b"1"), ("child", b"2"), ("ordinal", b"1")),
            (("event_type", b"\xff"), ("event_type", b"TaskRequested"), ("traceparent", b"\0" * 500)),
            tuple((f"h{number}", b"v") for number in range(500)),
        ]  # fmt: skip
        for headers in hostile:
            for topic in ("events", "children"):
                yield Poison("blames by header", topic, 0, b"gone", b"rubbish", headers, "letter")
        for event in self._journal_events(self._id())[1:3]:
            yield self._journal("no headers", event, "valid", headers=())
            yield self._journal("doubled headers", event, "valid", headers=[*headers_of(event), *headers_of(event)])
            yield self._journal("of another type", event, "valid", headers=(("event_type", b"TaskRequested"),))

    def _beats(self) -> Iterator[Poison]:
        """Nodes that cannot be, and some that could."""
        nan, inf = float("nan"), float("inf")
        running = (e.RunningChild("t", 1, 1, 1, nan, inf),)
        beats = [
            *(self._beat(slots=value) for value in (0, *NUMBERS)), *(self._beat(free=value) for value in NUMBERS),
            *(self._beat(pending=value) for value in NUMBERS), *(self._beat(at=value) for value in NUMBERS),
            *(self._beat(partitions=(value,)) for value in (2, 63, 9_999, *NUMBERS)),
            self._beat(partitions=tuple(range(70_000))), self._beat(role="\0"), self._beat(state="asleep"),
            self._beat(running=running), self._beat(running=(structs.replace(running[0], child=2**70),)),
            self._beat(running=(structs.replace(running[0], started_at=2**60),)), self._beat(name="\x1b[2J" * 1_000),
            self._beat(loop_age=-5), self._beat(member_id="", transactional_id=""),
            *(self._beat(**{name: "m" * 500_000}) for name in ("name", "role", "state", "member_id", "version", "by")),
        ]  # fmt: skip
        for beat in beats:
            value = self._codec.encode(beat)
            yield Poison("beat", "workers", 0, beat.node_id.encode(), value, (), "passed")
            yield Poison("beat of another", "workers", 0, b"another", value, (), "passed")
        for rubbish in (b"", b"rubbish", self._rng.randbytes(3_000), None, b"\xc3\x01" + b"\xfe" * 20):
            yield Poison("rubbish", "workers", 0, self._rng.randbytes(7), rubbish, (), "passed")

    def _heaps(self) -> Iterator[Poison]:
        """Arrays that would take far more memory than their record has bytes, or that say they do."""
        event = e.ChildrenDispatched(*self._common(), self._id(), (), 1)
        whole = self._codec.encode(event)
        stem = whole[:-2]  # without the empty array and the basis
        release = bytes([0, 2, 2, 0])
        for count in (65_537, 2**31, 2**62):
            yield self._journal(f"{count} items", event, "letter", value=stem + varint(count * 2) + release)
            yield self._journal(
                f"-{count} items", event, "letter", value=stem + varint(count * 2 - 1) + b"\x08" + release
            )
        yield self._journal(
            "400,000 items", event, "letter", value=stem + varint(800_000) + release * 400_000 + b"\0\2"
        )
        blocks = (varint(2 * 30_000) + release * 30_000) * 3
        yield self._journal("90,000 items in three blocks", event, "letter", value=stem + blocks + b"\0\2")
        counted = varint(1) + varint(2 * len(release)) + release + b"\0\2"
        yield self._journal("one item, its size told", event, "valid", value=stem + counted)

    def _unread(self) -> Iterator[Poison]:
        """Rubbish in the topics that no node reads."""
        for topic in ("templates", "dead_letters"):
            for value in (None, b"", b"rubbish", b"\xc3\x01" + b"\xfe" * 20, self._rng.randbytes(9_000)):
                # A compacted topic takes nothing without a key.
                yield Poison("rubbish", topic, 0, self._rng.randbytes(9), value, (("x", b"\xff"),), "passed")
        letter = e.DeadLetter(*self._common(), self._topics.events, 0, 0, "r", None, None)
        letters = [
            structs.replace(
                letter, topic="no\nsuch\ttopic", offset=2**62, reason="\x1b[2Jreason" * 100, value=b"\0" * 70_000
            ),
            structs.replace(letter, partition=99_999),
            structs.replace(letter, at=2**60),
            structs.replace(letter, partition=-1, offset=-1),
        ]
        for letter in letters:
            yield Poison("dead letter", "dead_letters", 0, b"k", self._codec.encode(letter), (), "passed")


def varint(zigzag: int) -> bytes:
    """Write a number that is zigzag already."""
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)
