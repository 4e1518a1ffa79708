"""The session of a server: its view follows the journal, so that a read asks the log nothing."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Final, NamedTuple

from msgspec import Struct, structs

from streamsched.domain.events import Event, OfSchedule, OfTask
from streamsched.http import positions
from streamsched.http.beats import HeardBeats
from streamsched.http.encoding import encode
from streamsched.installation.session import Session
from streamsched.installation.settings import Settings
from streamsched.installation.site import Progress
from streamsched.log.port import Record, TopicPartition
from streamsched.log.scan import BATCH
from streamsched.queries.status import TaskStatus
from streamsched.queries.task_order import TaskOrder
from streamsched.queries.tasks import Tasks
from streamsched.view.follow import Follower
from streamsched.view.view import View

KNOWN: Final = 20_000
"""Tasks of which it is known when they changed last."""
SHARED_S: Final = 0.05
"""How long a status is told to others who ask though its task has changed: as long as an idle server does not look."""
TOLD_S: Final = 0.5
"""How long it is told at most before it is worked out anew, for it tells of times, too."""
LATE_S: Final = 0.25
"""How much longer it is told while it is worked out anew: those who ask often do not wait for the thread."""
KEPT: Final = 1_000
KEPT_BYTES: Final = 8 * 1024 * 1024
"""Statuses that are kept, and bytes of them as they are sent: one may have a quarter of a megabyte of parameters."""
FLUSH_S: Final = 5.0
"""Seconds between writes of the view where little happens."""
FOLDED_TOGETHER: Final = 50
"""Records that are folded at once: others wait for the thread meanwhile."""
WRITTEN_TOGETHER: Final = 2_000
"""Events that the view writes at once, while it follows: 20,000 would hold all others up for 50 ms and more."""


class Change(Struct, frozen=True):
    """An event that was folded, and the next offset of its partition."""

    event: Event
    partition: int
    position: int


class Told(NamedTuple):
    """A status as it was told, as it is sent, and from which position."""

    status: TaskStatus
    data: bytes
    etag: str
    partition: int
    changed: int
    """The position behind the task's latest event."""
    folded: int
    """Up to where its partition was folded."""
    heard: int
    """What nodes had told by then."""
    made: float
    """When it was worked out, by the monotonic clock."""
    until: float
    """Up to when it is told to others though the task has changed, by the same clock."""

    @property
    def position(self) -> str:
        """The position behind the task's latest event, as it is written."""
        return f"{self.partition}:{self.changed}"


def lasting(status: TaskStatus) -> bytes:
    """Return what the digest in the ETag of a status is of: all but what each second changes."""
    return encode(structs.replace(status, eta=None))


class _Watched(Follower):
    """A follower that tells of each event, and notes when its record was written."""

    on_change: Callable[[Change], None]
    times: dict[int, int]

    def poll(self, timeout: float, limit: int = BATCH) -> Iterator[tuple[Record, Event]]:
        for record, event in super().poll(timeout, limit):
            self.times[record.partition] = record.timestamp
            self.on_change(Change(event, record.partition, record.offset + 1))
            yield record, event


class FollowingSession(Session):
    """A session for many users, in one thread. ``read`` answers from what was folded; ``write`` folds first."""

    def __init__(
        self, settings: Settings, on_progress: Progress, on_change: Callable[[Change, FollowingSession], None]
    ) -> None:
        super().__init__(settings, on_progress)
        self._on_change = on_change
        self.presence: HeardBeats
        self.order: TaskOrder | None = None
        self.times: dict[int, int] = {}
        """By partition: when the last record that was folded was written, in milliseconds."""
        self.reached: dict[int, int] = {}
        """By partition: up to where all is folded and noted. It is replaced, never changed: any thread may read it."""
        self._fresh = True
        self._told: dict[str, Told] = {}
        self._told_bytes = 0
        self._unwritten = 0
        self._flush_at = 0.0
        self._changed: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """By task: the partition, and the position behind its latest event."""
        self._floor: dict[int, int] = {}
        """The position from which on the latest events are known."""

    @cached_property
    def follower(self) -> Follower:
        """The follower that folds the journal into the view."""
        site = self.site
        made = _Watched(log=site.log, topics=site.topics, codec=site.codec, view=site.view("server"))
        made.on_change, made.times = self._take, self.times
        return made

    def begin(self) -> None:
        """Open the log, make it where it is missing, and fold the whole journal."""
        self.make()
        view = self.folded(self.site.topics.journal())
        view.flush()
        self.order = TaskOrder(view)
        self._floor = dict(view.positions)
        self._changed.clear()
        self._fresh = False
        self.reached = dict(view.positions)

    def follow(self) -> int:
        """Fold what is new; returns the number of events."""
        folded = sum(1 for _ in self.follower.poll(0.0, FOLDED_TOGETHER))
        self.follower.note_positions()
        self.reached = dict(self.follower.view.positions)
        if self._unwritten >= WRITTEN_TOGETHER or (self._unwritten and time.monotonic() >= self._flush_at):
            self.follower.view.flush()
            self._unwritten, self._flush_at = 0, time.monotonic() + FLUSH_S
        return folded

    def folded(self, places: Collection[TopicPartition]) -> View:
        """Return the view; in a ``write``, after folding these partitions to their ends."""
        return super().folded(places) if self._fresh else self.follower.view

    @contextmanager
    def fresh(self, name: str = "") -> Iterator[None]:
        """Fold to the end of the log before each look, and sign with this name."""
        before = self.me
        self.me = replace(before, name=name) if name else before
        self._fresh = True
        self._forget_told()
        try:
            yield
        finally:
            self._fresh = False
            self._forget_told()
            self.me = before
            self.reached = dict(self.follower.view.positions)

    def status(self, task_id: str, at_least: Mapping[int, int]) -> Told:
        """Return the status of a task, and keep it for others who ask: ``known``. Raise NoSuchTask."""
        if (known := self.known(task_id, at_least)) is not None:
            return known
        now, heard = time.monotonic(), self.presence.beats_heard
        status = Tasks(self).status(task_id, self.presence)
        partition, changed = self.changed(task_id)
        until = now + min(TOLD_S, max(SHARED_S, 20 * (time.monotonic() - now)))
        etag = self.tag(task_id, lasting(status))
        folded = self.follower.view.positions.get(partition, 0)
        told = Told(status, encode(status), etag, partition, changed, folded, heard, now, until)
        if len(self._told) >= KEPT or self._told_bytes + len(told.data) > KEPT_BYTES:
            self._forget_told()
        former = self._told.get(task_id)
        self._told_bytes += len(told.data) - (len(former.data) if former else 0)
        self._told[task_id] = told
        return told

    def tag(self, task_id: str, content: bytes = b"") -> str:
        """Return the ETag of a task, with a digest of what changes without an event, if anything does."""
        partition, position = self.changed(task_id)
        return positions.tag(f"{partition}:{position}", content)

    def known(self, task_id: str, at_least: Mapping[int, int], late_s: float = 0.0) -> Told | None:
        """Return a status that was told lately, of what was folded up to ``at_least``; any thread may ask.

        It is told again for half a second if neither the task nor what nodes tell has changed. Else for a moment, or
        for twenty times as long as it took, where a task has thousands of live children. So a hundred who ask cost no
        more than one. A write ends it. ``late_s``: for so many seconds more.
        """
        told = self._told.get(task_id)
        if told is None:
            return None
        _, changed = self.changed(task_id)
        if changed != told.changed and told.folded < at_least.get(told.partition, 0):
            return None
        is_same = changed == told.changed and told.heard == self.presence.beats_heard
        until = told.made + TOLD_S if is_same else told.until
        return told if time.monotonic() < until + late_s else None

    def changed(self, task_id: str) -> tuple[int, int]:
        """Return a task's partition, and a position behind its latest event, as near to that as is known."""
        partition = self.site.topics.journal_of(task_id).partition
        return self._changed.get(task_id) or (partition, self._floor.get(partition, 0))

    def _take(self, change: Change) -> None:
        self._unwritten += 1
        if not isinstance(change.event, OfTask):
            if not isinstance(change.event, OfSchedule):  # of a whole partition
                self._forget(change)
        else:
            task_id = change.event.task_id
            if self.order is not None:
                self.order.take(change.event)
            self._changed[task_id] = (change.partition, change.position)
            self._changed.move_to_end(task_id)
            if len(self._changed) > KNOWN:
                _, (partition, position) = self._changed.popitem(last=False)
                self._floor[partition] = max(self._floor.get(partition, 0), position)
        self._on_change(change, self)

    def _forget_told(self) -> None:
        self._told.clear()
        self._told_bytes = 0

    def _forget(self, change: Change) -> None:
        """Take it that all tasks of a partition have changed."""
        for task_id in [each for each, (partition, _) in self._changed.items() if partition == change.partition]:
            del self._changed[task_id]
        self._floor[change.partition] = change.position
