"""The view: the fold of the journal, in memory for active tasks, in a store for all. A cache, never the truth.

Rows and positions are written in one batch, so that a view is always the fold of a prefix of each partition.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from streamsched.domain.backfill import TaskStanding
from streamsched.domain.events import (
    OF_SCHEDULE,
    ChildrenDispatched,
    Event,
    OfSchedule,
    PartitionReset,
    RecordSetAside,
    Release,
    TaskPlanProgressed,
    TaskRedriven,
)
from streamsched.domain.evolve import evolve
from streamsched.domain.schedule import Schedule, evolve_schedule
from streamsched.domain.task import ChildDetail, Load, Task
from streamsched.log.codec import Codec
from streamsched.view.rows import (
    META,
    active_key,
    load_detail,
    load_details,
    load_dispatches,
    load_header,
    load_schedule,
    load_standing,
    load_task,
    page_key,
    position_key,
    schedule_key,
    schedule_row,
    task_rows,
)
from streamsched.view.store import MemoryStore, RocksStore, Store

FORMAT: Final = "streamsched view 10"
PAGES: Final = 8 * 1024 * 1024
"""Characters of pages that wait in memory for the next write; beyond, it is made at once."""
logger = logging.getLogger(__name__)


class View:
    """Folded state of some or all partitions of the journal."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self._pages = 0
        """Characters of pages that are not stored yet."""
        self._store = store
        self._codec = codec
        self._dirty: dict[str, Task] = {}
        self._new: set[str] = set()
        self._moved: set[int] = set()
        self.load = Load()
        self.positions: dict[int, int] = {}
        self.active: dict[str, Task] = {}
        self.homes: dict[str, int] = {}
        """Journal partition of each active task."""
        self.schedules: dict[str, Schedule] = {}
        self.schedule_homes: dict[str, int] = {}
        self._changed_schedules: set[str] = set()
        for key, value in store.scan(b"p"):
            self.positions[int.from_bytes(key[1:])] = int.from_bytes(value)
        for key, value in list(store.scan(active_key(""))):
            task = load_task(store, codec, key[1:].decode(), self.load)
            if task is not None:
                self.active[task.task_id] = task
                self.homes[task.task_id] = int.from_bytes(value)

        for key, value in store.scan(schedule_key("")):
            schedule_id = key[1:].decode()
            loaded = load_schedule(schedule_id, value, codec)
            self.schedules[schedule_id], self.schedule_homes[schedule_id] = loaded

    def apply(self, event: Event, partition: int) -> Task | Schedule | None:
        """Fold one event of a journal partition and return the task or the schedule that it concerned."""
        kind = type(event)
        if kind in OF_SCHEDULE:
            return self._fold_schedule(cast(OfSchedule, event), partition)
        if kind is PartitionReset:
            for task_id in [task_id for task_id, home in self.homes.items() if home == partition]:
                self._fold(self.active[task_id], event, partition)
            return None
        if kind is RecordSetAside:
            return None
        task_id = getattr(event, "task_id", "")
        task = self.active.get(task_id) or self.task(task_id)
        if kind is TaskRedriven and task is not None and task.terminal:
            task = self._recalled(task)
        elif kind is ChildrenDispatched and task is not None and task.again:
            self.bring_back(task, cast(ChildrenDispatched, event).releases)
        elif kind is TaskPlanProgressed:
            self._pages += len(cast(TaskPlanProgressed, event).entries)
        return self._fold(task, event, partition)

    def _recalled(self, task: Task) -> Task | None:
        """Load an ended task, with the details of its split child and its reduce."""
        self.flush()
        recalled = load_task(self._store, self._codec, task.task_id, self.load)
        if recalled is not None:
            for child in (*range(recalled.split), *range(recalled.work_end, recalled.cells)):
                recalled.details[child] = self.known_of(recalled, child)
        return recalled

    def known_of(self, task: Task, child: int) -> ChildDetail:
        """Return what is known of a child, in memory or in the store, which has none that was never dispatched."""
        known = task.details.get(child)
        if known is None and task.ordinal_of(child):
            known = load_detail(self._store, task.task_id, child)
        return known or ChildDetail()

    def bring_back(self, task: Task, releases: Iterable[Release]) -> None:
        """Have the details of revived children in memory, for these releases."""
        for release in releases:
            for child in range(release.first, min(release.last + 1, task.cells)):
                if task.is_revived(child):
                    task.bring_back(child, self.known_of(task, child))

    def _fold_schedule(self, event: OfSchedule, partition: int) -> Schedule | None:
        schedule_id = event.schedule_id
        schedule = evolve_schedule(self.schedules.get(schedule_id), event)
        if schedule is not None:
            self.schedules[schedule_id] = schedule
            self.schedule_homes[schedule_id] = partition
            self._changed_schedules.add(schedule_id)
        return schedule

    @property
    def full(self) -> bool:
        """Whether pages must be written before more is folded: ``moved`` does so."""
        return self._pages > PAGES

    def moved(self, partition: int, position: int) -> None:
        """Note that the journal's partition has been folded up to this position."""
        self.positions[partition] = position
        self._moved.add(partition)
        if self._pages > PAGES:
            self.flush()

    def task(self, task_id: str) -> Task | None:
        """Return a task, in memory or in the store."""
        found = self.active.get(task_id) or self._dirty.get(task_id)
        return found or load_task(self._store, self._codec, task_id, Load())

    def standing(self, task_id: str) -> TaskStanding | None:
        """Return how a task stands; None for an unknown task."""
        found = self.active.get(task_id) or self._dirty.get(task_id)
        return load_standing(self._store, task_id) if found is None else TaskStanding(found.phase, found.redrive)

    def task_ids(self) -> list[str]:
        """Return the ids of all tasks."""
        self.flush()
        return [key[1:-1].decode() for key, _ in self._store.scan(b"t")]

    def headers(self) -> Iterator[Task]:
        """Yield all tasks, without the children of those that are not in memory."""
        return filter(None, map(self.header, self.task_ids()))

    def header(self, task_id: str) -> Task | None:
        """Return a task, without its children where it is not in memory."""
        found = self.active.get(task_id) or self._dirty.get(task_id)
        return found or load_header(self._store, self._codec, task_id, Load())

    def details(self, task_id: str, first: int = 0) -> Iterator[tuple[int, ChildDetail]]:
        """Yield the stored details of a task's children in order, from child ``first`` on."""
        self.flush()
        return load_details(self._store, task_id, first)

    def dispatches(self, task_id: str, first: int) -> Iterator[tuple[int, int]]:
        """Yield when a task's children were first dispatched, from child ``first`` on: up to which child, and when."""
        self.flush()
        return load_dispatches(self._store, task_id, first)

    def page(self, task: Task, first: int) -> str | None:
        """Return the entries of a page, a line for each child; None where there is none."""
        waiting = task.new_pages.get(first)
        if waiting is not None:
            return waiting
        row = self._store.get(page_key(task.task_id, first))
        return None if row is None else row.decode()

    def detail(self, task_id: str, child: int) -> ChildDetail | None:
        """Return the stored detail of one child."""
        self.flush()
        return next((found for index, found in load_details(self._store, task_id, child) if index == child), None)

    def flush(self) -> bool:
        """Write everything that changed, and the positions, in one batch; return whether there was anything."""
        if not self._moved and not self._dirty:
            return False
        rows: dict[bytes, bytes | None] = {}
        for task_id, task in self._dirty.items():
            rows |= task_rows(task, self._codec, new=task_id in self._new)
            rows[active_key(task_id)] = None if task.terminal else self.homes[task_id].to_bytes(2)
        for schedule_id in self._changed_schedules:
            row = schedule_row(self.schedules[schedule_id], self.schedule_homes[schedule_id], self._codec)
            rows[schedule_key(schedule_id)] = row
        for partition in self._moved:
            rows[position_key(partition)] = self.positions[partition].to_bytes(8)
        self._store.write(rows)
        for task in self._dirty.values():
            task.stored()
        self._dirty.clear()
        self._new.clear()
        self._changed_schedules.clear()
        self._moved.clear()
        self._pages = 0
        return True

    def close(self) -> bool:
        """Write what is left and close the store; return whether all could be written."""
        self.flush()
        return self._store.close()

    def _fold(self, before: Task | None, event: Event, partition: int) -> Task | None:
        phase = before.phase if before is not None else None
        task = evolve(before, event, self.load)
        if task is None:
            return None
        task_id = task.task_id
        if before is None:
            self._new.add(task_id)
        self._dirty[task_id] = task
        if task.phase is phase and task_id in self.active:
            return task
        if task.terminal:
            self.active.pop(task_id, None)
            self.homes.pop(task_id, None)
        else:
            self.active[task_id] = task
            self.homes[task_id] = partition
        return task


def view_mark(journal_id: str) -> bytes:
    """Return the mark of a view: its format, and the journal that it was folded from."""
    return f"{FORMAT}\n{journal_id}".encode()


def open_view(folder: Path | None, journal_id: str, codec: Codec) -> View:
    """Open the view of a folder (None: in memory). Raise StoreUnusable where it is in use or the disk is full.

    A view that is broken, of another format or of another journal is moved aside, with a warning, and begun anew.
    """
    if folder is None:
        return View(MemoryStore(), codec)
    folder.mkdir(parents=True, exist_ok=True)
    mark = view_mark(journal_id)
    store: Store | None = None
    try:
        store = RocksStore(folder)
        found = store.get(META)
        if found is None and next(store.scan(b""), None) is None:
            store.write({META: mark})
        elif found != mark:
            raise ValueError(f"it is {found!r}, wanted {mark!r}")
        return View(store, codec)
    except Exception as error:
        if store is not None:
            store.close()
        if "/LOCK:" in str(error) or "No space left" in str(error):  # nothing is wrong with the folder itself
            raise
        aside = folder.with_name(f"{folder.name}.aside-{time.time_ns()}")
        logger.warning("view %s cannot be used (%s): moved to %s and rebuilt from the journal", folder, error, aside)
        folder.rename(aside)
        folder.mkdir()
        store = RocksStore(folder)
        store.write({META: mark})
        return View(store, codec)
