"""A virtual minute: every key gets its share of the slot seconds, whatever its children take.

Two schedulers decide by a journal that they have folded up to 20 ms ago; three workers of 8 slots take from their
ready queues what runs. Dispatchers, ready queues and tasks are the real ones; log and executors are not.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from random import Random

import pytest
from msgspec import structs

from streamsched.domain.events import ChildCreated, Release, TaskPlanned, Terms
from streamsched.domain.fairness import Fairness
from streamsched.domain.phases import ChildState
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import plan
from streamsched.domain.task import Load, Task
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.codec import Codec
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler.dispatcher import Dispatcher, Rivals
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.workers import Capacity
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker.pending import Child, ReadyQueue, child_of
from tests.unit.domain.test_evolve import Story

SLOTS = 8
WORKERS = [Capacity(f"w{number}", SLOTS, (number,)) for number in range(3)]
STALE_MS = 20
"""From an event to its fold."""
ROUND_MS = 15
"""From one round of a scheduler to the next one."""
READ_MS = 8
"""From a dispatch to the ready queue of its worker."""
FIRST_MS = 5_000
"""What is counted begins here: lengths are known then, and queues are full."""
MINUTE_MS = 60_000
ENDLESS = 500_000


class Office:
    """A scheduler: its dispatcher, and which tasks are its own."""

    def __init__(self, name: str, own: list[str]) -> None:
        self.dispatcher = Dispatcher(Identity(name, name, SystemClock()), Entries(View(MemoryStore(), Codec())))
        self.own = set(own)
        self.flying: dict[str, Load] = {}
        """What it dispatched and did not read back."""

    def decide(self, tasks: dict[str, Task], load: Load, now: int) -> dict[str, tuple[Release, ...]]:
        waiting = [task for task in tasks.values() if task.first_undispatched < task.bound]
        mine = [task for task in waiting if task.task_id in self.own and task.task_id not in self.flying]
        ghosts = [task for task in waiting if task not in mine]
        load = Load(load)
        for reserves in self.flying.values():
            for partition, count in reserves.items():
                load[partition] += count
        self.dispatcher.touched.update(dict.fromkeys(tasks))
        rivals = Rivals(tasks, ghosts, self.flying)
        chosen = self.dispatcher.choose(mine, WORKERS, load, now, rivals=rivals)
        for task_id, releases in chosen.items():
            reserves = self.flying[task_id] = Load()
            for release in releases:
                reserves[release.partition] += release.last - release.first + 1
        return chosen


class Installation:
    """What happens, millisecond by millisecond."""

    def __init__(self) -> None:
        self.load = Load()
        self.random = Random(1)
        self.tasks: dict[str, Task] = {}
        self.lengths: dict[str, int] = {}
        self.records: dict[str, ChildCreated] = {}
        self.offices = [Office("s0", []), Office("s1", [])]
        self.queues = [ReadyQueue() for _ in WORKERS]
        self.running: list[dict[Child, int]] = [{} for _ in WORKERS]
        """What runs, since when."""
        self.ends: dict[int, list[tuple[int, Child]]] = defaultdict(list)
        self.arrivals: dict[int, list[tuple[str, Release]]] = defaultdict(list)
        self.folds: dict[int, list[tuple[str, Release | int, int]]] = defaultdict(list)
        """By time, what is folded then: releases, and children that ended with the time they took."""
        self.busy: dict[str, int] = {}
        self.began: dict[str, list[int]] = defaultdict(list)
        self.now = 0

    def add(self, task_id: str, length_ms: int, *, weight: int = 1, key: str = "", children: int = ENDLESS) -> None:
        """Add a task whose children take so long; schedulers get tasks in turn."""
        story = Story(-1)
        task = story.task
        task.load = self.load
        task.request = structs.replace(task.request, task_id=task_id)
        split = RangeSplit(first=1, last=children, size=1)
        child = ChildSpec(handler=f"m:{task_id}")  # so that nothing is known of its length
        task.template = Template(name="t", split=split, child=child, fairness=Fairness(key=key, weight=weight))
        made = plan(task.template, {})
        story.tell(TaskPlanned, 0, made.children, made.document, made.digest, 0)
        terms = Terms(key, weight) if key or weight != 1 else None
        self.records[task_id] = ChildCreated(
            bytes(16), 1, "s", task_id, 0, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None, None, terms
        )  # fmt: skip
        self.offices[len(self.tasks) % 2].own.add(task_id)
        self.tasks[task_id], self.lengths[task_id], self.busy[task_id] = task, length_ms, 0

    def run(self, until: int = MINUTE_MS) -> dict[str, float]:
        """Return each task's part of the slot seconds, in percent."""
        for now in range(self.now, until):
            self.now = now
            self._fold()
            for number, office in enumerate(self.offices):
                if self.now % ROUND_MS == 7 * number:
                    for task_id, releases in office.decide(self.tasks, self.load, self.now).items():
                        self.arrivals[self.now + READ_MS] += [(task_id, each) for each in releases]
                        self.folds[self.now + STALE_MS] += [(task_id, each, 0) for each in releases]
            self._work()
        for running in self.running:
            for child, began in running.items():
                self.busy[child.work.task_id] += until - max(began, FIRST_MS)
        whole = sum(self.busy.values())
        return {task_id: 100 * busy / whole for task_id, busy in self.busy.items()}

    def _fold(self) -> None:
        for task_id, what, took in self.folds.pop(self.now, ()):
            task = self.tasks[task_id]
            if isinstance(what, Release):
                assert task.release(what)
                for office in self.offices:
                    office.flying.pop(task_id, None)
            else:
                task.settle(what, ChildState.SUCCEEDED)
                task.succeeded += 1
                task.measured += 1
                task.busy_ms += took

    def _work(self) -> None:
        now = self.now
        for task_id, release in self.arrivals.pop(now, ()):
            for number in range(release.first, release.last + 1):
                child = child_of(self.records[task_id], partition=0, offset=number, epoch=1, inherited=False)
                self.queues[release.partition].put(child)
        for worker, child in self.ends.pop(now, ()):
            task_id, began = child.work.task_id, self.running[worker].pop(child)
            self.busy[task_id] += max(0, now - max(began, FIRST_MS))
            self.folds[now + STALE_MS].append((task_id, child.offset, now - began))
        for worker, (queue, running) in enumerate(zip(self.queues, self.running, strict=True)):
            if len(running) == SLOTS:
                continue
            for child in queue.take(SLOTS - len(running), running.keys):
                running[child] = now
                self.began[child.work.task_id].append(now)
                length = round(self.lengths[child.work.task_id] * self.random.uniform(0.8, 1.2))
                self.ends[now + length].append((worker, child))


@pytest.mark.parametrize(
    ("weights", "lengths"),
    [
        ((1, 3), (10, 10)),
        ((1, 3), (1_000, 1_000)),
        ((1, 3), (10, 3_000)),
        ((1, 3), (3_000, 10)),
        ((1, 1), (20, 20_000)),
        ((1, 1, 2), (10, 500, 5_000)),
        ((1,) * 8, (20,) * 8),
        ((1,) * 8, (1_000,) * 8),
        ((1,) * 8, (10, 10, 3_000, 3_000) * 2),
    ],
    ids=lambda each: "-".join(map(str, each)),
)
def test_every_key_gets_its_share_of_the_slot_seconds(weights: tuple[int, ...], lengths: tuple[int, ...]) -> None:
    installation = Installation()
    for number, (weight, length) in enumerate(zip(weights, lengths, strict=True)):
        installation.add(f"task{number}", length, weight=weight)
    shares = installation.run()
    told = ", ".join(f"{share:.1f} %" for share in shares.values())
    sys.stdout.write(f"weights {weights}, children of {lengths} ms: {told}\n")
    assert list(shares.values()) == pytest.approx([100 * weight / sum(weights) for weight in weights], abs=2)


def test_tasks_of_one_key_share_its_part_whoever_dispatches_them() -> None:
    installation = Installation()
    for number in range(3):
        installation.add(f"ours{number}", 100, key="ours")
    installation.add("other", 100)
    shares = installation.run(30_000)
    assert shares["other"] == pytest.approx(50, abs=2)
    assert sum(shares.values()) == pytest.approx(100)


@pytest.mark.parametrize("length_ms", [100, 3_000])
def test_a_small_task_behind_a_huge_one_is_next(length_ms: int) -> None:
    """It begins with the first slots that become free, not behind the second of work that was placed before it."""
    installation = Installation()
    installation.add("huge", length_ms)
    installation.run(10_000)
    installation.add("small", 100, children=3)
    installation.run(11_000 + length_ms)
    began, since = installation.began, 10_000 + ROUND_MS + READ_MS
    assert len(began["small"]) == 3
    assert sum(since <= each <= max(began["small"]) for each in began["huge"]) <= SLOTS * len(WORKERS)
    assert max(began["small"]) - since <= length_ms / 2
