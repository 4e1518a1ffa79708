"""Whether a scheduler and a suitable worker have beaten lately, so that tasks of this log are worked on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from streamsched.domain.events import NodeBeat, RunningChild
from streamsched.domain.places import place_of
from streamsched.domain.routing import Requirement
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Record, TopicPartition
from streamsched.runtime.clock_check import TOLERANCE_MS, WRONG_CLOCK

SEEN_S: Final = 10.0
"""How long a node counts as present after its last beat."""
WATCHES: Final = 6
WATCH_S: Final = 0.2
"""Looks for new beats, and the time between them, when no old ones show a node: clocks differ by up to a minute."""
LOOK_S: Final = 1.0
"""How long an answer holds."""
READ_S: Final = 2.0
"""How long reading the beats may take."""
BATCH: Final = 1_000
ROLES: Final = ("scheduler", "worker")
RUNNING: Final = "running"
"""The state of a node that does work."""


class Presence:
    """Reads the beats of the last ``reach_s`` seconds, and new ones at each look."""

    def __init__(self, site: Installation, reach_s: float = SEEN_S) -> None:
        self._site = site
        self._event_reader = EventReader(site.codec, site.topics)
        self._place = TopicPartition(site.topics.workers, 0)
        since = site.clock.now() - round(1000 * reach_s)
        starts = site.log.position_at([self._place], since)
        self._live_from = site.log.end([self._place])[self._place]
        self._reader = site.log.reader()
        self._reader.assign(starts)
        self._watches = WATCHES if site.settings.brokers else 0
        self._seen: dict[bytes, tuple[NodeBeat, int]] = {}
        """By node key: its last beat, and when it came (our clock; the record's time for beats before we began)."""
        self._ahead_ms: dict[bytes, int] = {}
        """By node key: by how much its clock was ahead of the log's when its last beat was written."""
        self._next_look = 0.0

    def missing(self, task: Task | None = None) -> str:
        """Return which nodes are missing, for this task if one is given, with the remedy; empty if none."""
        present = self.beats()
        while self._watches and not _roles(present).issuperset(ROLES):
            self._watches -= 1
            self._site.pause(WATCH_S)
            self._read()
            present = self._present()
        needed = None if task is None else task.requirement(self._site.clock.now())
        absent = [role for role in ROLES if role not in _roles(present)]
        if absent:
            return self._start(absent, needed)
        if task is None or needed is None:
            return ""
        workers = [beat for beat in present if beat.role == "worker"]
        able = [beat for beat in workers if needed.met_by(beat.modules, place_of(beat))]
        if task.idle and not any(beat.partitions for beat in able):
            missing = needed.missing([(beat.modules, place_of(beat)) for beat in workers])
            if not missing:
                return "no worker that can run it owns a partition: there are too few partitions"
            start = f"worker {needed.options}" if self._site.settings.brokers else f"up {needed.option}"
            return f"no worker {missing}: start one with 'streamsched {start.rstrip()}'"
        return f"a child was given back, and is tried again: {task.refusal}" if task.refusal else ""

    def beats(self) -> list[NodeBeat]:
        """Return the last beat of each node that was seen lately."""
        if time.monotonic() >= self._next_look:
            self._read()
            self._next_look = time.monotonic() + LOOK_S
        return self._present()

    def named(self, task: Task) -> Collection[int]:
        """Return the live children of a task that run, as ``named_children``; no beat is read for one without any."""
        return named_children(task, self.beats()) if task.live else ()

    def skewed(self) -> str:
        """Return that the schedulers decide nothing, where all of them have clocks that differ from the log's."""
        since = self._since()
        ahead = [
            (beat, self._ahead_ms[key])
            for key, (beat, at) in self._seen.items()
            if beat.role == "scheduler" and beat.state in (RUNNING, WRONG_CLOCK) and at >= since
        ]
        if not ahead or any(abs(each) <= TOLERANCE_MS for _, each in ahead):
            return ""
        (beat, most), *_ = ahead
        where = "ahead of" if most > 0 else "behind"
        return (
            f"the clock of scheduler {beat.name} is {abs(most) / 1000:,.0f} s {where} the log's, and it decides nothing"
        )

    def heard(self) -> list[tuple[NodeBeat, int]]:
        """Return the last beat of each node that was heard and has not left, with when that was, at the last look."""
        return list(self._seen.values())

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _present(self) -> list[NodeBeat]:
        since = self._since()
        return [beat for beat, at in self._seen.values() if at >= since and beat.state == RUNNING]

    def _since(self) -> float:
        return self._site.clock.now() - 1000 * SEEN_S

    def _read(self) -> None:
        end = self._site.log.end([self._place])[self._place]
        deadline = time.monotonic() + READ_S
        while self._reader.position(self._place) < end and time.monotonic() < deadline:
            for record in self._reader.poll(BATCH, 0.2):
                self._on_beat(record)

    def _on_beat(self, record: Record) -> None:
        key = record.key or b""
        try:
            beat = self._event_reader.beat(record)
        except Undecodable:
            return
        self._seen.pop(key, None)
        if beat is not None:
            now = self._site.clock.now()
            self._ahead_ms[key] = beat.at - record.timestamp
            self._seen[key] = (beat, now if record.offset >= self._live_from else min(now, record.timestamp))

    def _start(self, absent: Sequence[str], needed: Requirement | None) -> str:
        if not self._site.settings.brokers:
            return f"no process works on {self._site.settings.where}: start 'streamsched up'"
        words = " and no ".join(absent)
        allow = {"worker": f" {needed.options}" if needed and needed.options else ""}
        start = " and ".join(f"'streamsched {role}{allow.get(role, '')}'" for role in absent)
        return f"no {words} was seen in the last {SEEN_S:g} s: start {start}"


def named_children(task: Task, beats: Sequence[NodeBeat]) -> set[int]:
    """Return the live children of a task that run.

    Those are what these beats tell of, and for each child that has ended since, the next one that waits at its worker:
    where children take less than the time between two beats, all that are told of have ended.
    """
    named = set(running_children(task, beats))
    for beat in beats if task.live and not task.hold else ():
        ended = sum(told.child < task.work and not live for told, live in _told(task, beat))
        if ended:
            owned = set(beat.partitions)
            queued = (child for child in task.live_children() if child not in named)
            named.update(islice((child for child in queued if task.partition_of(child) in owned), ended))
    return named


def running_children(task: Task, beats: Iterable[NodeBeat]) -> dict[int, RunningChild]:
    """Return what these beats say of the live children of a task, by their numbers in the table."""
    found = {}
    for beat in beats if task.live else ():
        owned = set(beat.partitions)
        for told, live in _told(task, beat):
            if len(live) == 1 and task.partition_of(live[0]) in owned and _is_at(task, live[0], told.attempt):
                found[live[0]] = told
    return found


def _told(task: Task, beat: NodeBeat) -> Iterator[tuple[RunningChild, list[int]]]:
    """Yield the children of a task that a beat tells of, each with the live ones that it may mean.

    A beat numbers a child inside its stage: where two stages have a live one of that number, it may be either.
    """
    for told in beat.running:
        if told.task_id == task.task_id:
            stages = (0, task.work_end) if told.child == 0 else ()
            children = {told.child + task.split, *stages}
            yield told, [child for child in children if task.is_current(child, task.ordinal_of(child))]


def _is_at(task: Task, child: int, attempt: int) -> bool:
    return task.detail_of(child).attempt == attempt


def _roles(beats: Iterable[NodeBeat]) -> set[str]:
    return {beat.role for beat in beats}
