"""Whether a scheduler and a suitable worker have beaten lately, so that tasks of this log are worked on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.domain.routing import Requirement
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Record, TopicPartition

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


class Presence:
    """Reads the beats of the last seconds, and new ones at each look."""

    def __init__(self, site: Installation) -> None:
        self._site = site
        self._event_reader = EventReader(site.codec, site.topics)
        self._place = TopicPartition(site.topics.workers, 0)
        since = site.clock.now() - round(1000 * SEEN_S)
        starts = site.log.position_at([self._place], since)
        self._live_from = site.log.end([self._place])[self._place]
        self._reader = site.log.reader()
        self._reader.assign(starts)
        self._watches = WATCHES if site.settings.brokers else 0
        self._seen: dict[bytes, tuple[NodeBeat, int]] = {}
        """By node key: its last beat, and when it came (our clock; the record's time for beats before we began)."""
        self._next_look = 0.0

    def missing(self, task: Task | None = None) -> str:
        """Return which nodes are missing, for this task if one is given, with the remedy; empty if none."""
        if time.monotonic() >= self._next_look:
            self._read()
            self._next_look = time.monotonic() + LOOK_S
        present = self._present()
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
        able = [beat for beat in present if beat.role == "worker" and needed.met_by(beat.modules)]
        if task.idle and not any(beat.partitions for beat in able):
            if able:
                return f"no worker that allows {needed.name} owns a partition: there are too few partitions"
            start = f"streamsched {'worker' if self._site.settings.brokers else 'up'} {needed.option}"
            return f"no worker allows {needed.name}: start one with '{start}'"
        return f"a child was given back, and is tried again: {task.refusal}" if task.refusal else ""

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _present(self) -> list[NodeBeat]:
        since = self._site.clock.now() - 1000 * SEEN_S
        return [beat for beat, at in self._seen.values() if at >= since]

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
        if beat is not None and beat.state == "running":
            now = self._site.clock.now()
            self._seen[key] = (beat, now if record.offset >= self._live_from else min(now, record.timestamp))

    def _start(self, absent: Sequence[str], needed: Requirement | None) -> str:
        if not self._site.settings.brokers:
            return f"no process works on {self._site.settings.where}: start 'streamsched up'"
        words = " and no ".join(absent)
        allow = {"worker": f" {needed.option}" if needed and needed.module else ""}
        start = " and ".join(f"'streamsched {role}{allow.get(role, '')}'" for role in absent)
        return f"no {words} was seen in the last {SEEN_S:g} s: start {start}"


def _roles(beats: Iterable[NodeBeat]) -> set[str]:
    return {beat.role for beat in beats}
