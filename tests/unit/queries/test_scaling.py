"""How many slots an installation needs: by what is left, never into a limit, and nothing when it is idle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

import pytest

from streamsched.commands.request import make_request, want
from streamsched.domain import events as e
from streamsched.domain.phases import Hold
from streamsched.queries.scaling import length_of, runnable_of, scaling
from streamsched.runtime.clock import Clock
from streamsched.runtime.identity import Identity
from streamsched.testing.memory_cluster import Cluster
from streamsched.worker import jobs
from streamsched.worker.node import Worker
from tests.support.mini_cluster import MiniCluster
from tests.unit.queries.test_progress import WHO, Case

NOW = 10_000
TARGET = 60.0
TEMPLATE = {
    "name": "t",
    "params": {"n": {"type": "integer"}},
    "split": {"range": {"first": 1, "last": "${n}", "size": 1}},
    "child": {"handler": "m:f"},
}


class Left(Case):
    """A task of so many children that wait, of which some have ended, each after ``length`` milliseconds."""

    def __init__(self, children: int, *, ended: int = 0, length: int = 1_000) -> None:
        super().__init__(max(children + ended, 2))
        for child in range(ended):
            self.tell(e.ChildCompleted(bytes(16), NOW, "w", "task", child, 1, 1, 1, NOW - length, 0, None))

    def needs(self, now: int = NOW, target: float = TARGET) -> tuple[int, int, float]:
        found = scaling([self.task], now, target)
        return found.desired_slots, found.runnable, found.work_s


def test_nothing_is_needed_for_nothing() -> None:
    found = scaling([], NOW)
    assert (found.desired_slots, found.runnable, found.work_s) == (0, 0, 0.0)


def test_what_is_left_is_done_in_the_target() -> None:
    assert Left(600, ended=10, length=2_000).needs() == (20, 600, 1_200.0)
    assert Left(600, ended=10, length=2_000).needs(target=1_200.0) == (1, 600, 1_200.0)
    assert Left(4, ended=2, length=600_000).needs() == (4, 4, 2_400.0), "a slot for each child at most"


def test_small_tasks_share_a_slot() -> None:
    tasks = [Left(2, ended=2, length=100).task for _ in range(50)]
    assert scaling(tasks, NOW, TARGET).desired_slots == 1


def test_without_a_measure_it_grows_with_the_time_that_children_have_run() -> None:
    case = Left(600)
    started = case.task.started_at
    assert started is not None
    assert length_of(case.task, started) == 1_000
    assert [case.needs(started + 1_000 * seconds)[0] for seconds in (0, 2, 60, 600)] == [10, 20, 600, 600]


def test_a_task_without_a_plan_is_one_child() -> None:
    with Cluster(schedulers=0, workers=0) as cluster:
        cluster.submit(
            {"name": "t", "split": {"range": {"first": 1, "last": 9, "size": 1}}, "child": {"handler": "m:f"}}
        )
        found = cluster.client.scaling(target_s=TARGET)
        assert (found.desired_slots, found.runnable) == (1, 1)
        assert cluster.client.scaling(queue="gpu").desired_slots == 0
        assert cluster.client.scaling(queue="").desired_slots == 1


@pytest.mark.parametrize(
    ("limits", "slots"),
    [
        ({"parallelism": 3}, 3),
        ({"rate": e.Rate(1, 1_000)}, 2),  # one a second, of two seconds each
        ({"rate": e.Rate(1, 60_000)}, 1),
        ({"parallelism": 30, "rate": e.Rate(100, 1_000)}, 20),
    ],
)
def test_a_limit_is_not_scaled_into(limits: dict[str, object], slots: int) -> None:
    case = Left(600, ended=10, length=2_000)
    unset = dict.fromkeys(("parallelism", "rate", "priority", "weight", "tolerate", "deadline"))
    case.tell(e.TaskLimitsChanged(*WHO, 0, **{**unset, **limits}, reason=""))  # type: ignore[arg-type]
    assert case.needs()[0] == slots


def test_what_waits_to_be_tried_again_counts_when_it_is_due() -> None:
    case = Case(2)
    case.failed(0)
    task = case.task
    (due, _), *_ = task.due
    case.completed(range(1, 2), NOW)
    assert runnable_of(task, due - 1) == 0
    assert runnable_of(task, due) == 1
    assert task.due, "it was only looked at"


def test_a_task_that_is_held_needs_what_runs() -> None:
    case = Left(600, ended=10)
    case.task.hold = Hold.FINISH
    assert runnable_of(case.task, NOW) == case.task.live


class TimedPool:
    """Runs each job for so many seconds of the cluster's clock."""

    def __init__(self, slots: int, seconds: float, clock: Clock) -> None:
        self._slots, self._seconds, self._clock = slots, seconds, clock
        self._jobs: dict[int, int] = {}
        self._stopped: list[jobs.News] = []

    def room(self) -> int:
        return self._slots - len(self._jobs)

    def submit(self, jobs_: Sequence[jobs.Job]) -> None:
        self._jobs |= {job.key: self._clock.now() for job in jobs_}

    def poll(self, timeout: float) -> list[jobs.News]:
        now = self._clock.now()
        done = [key for key, begun in self._jobs.items() if now - begun >= 1_000 * self._seconds]
        news, self._stopped = self._stopped, []
        return news + [
            jobs.JobCompleted(key=key, started_at=self._jobs.pop(key), finished_at=now, result="1", state=None)
            for key in done
        ]

    def stop(self, key: int, grace: float) -> None:
        if key in self._jobs:
            begun = self._jobs.pop(key)
            self._stopped.append(jobs.JobStopped(key=key, started_at=begun, finished_at=self._clock.now(), state=None))

    def kill(self, keys: Iterable[int]) -> None:
        for key in keys:
            self._jobs.pop(key, None)

    def confirm(self, key: int, number: int) -> None: ...

    def running(self) -> list[jobs.Running]:
        return [jobs.Running(key=key, started_at=begun, done=0, total=0) for key, begun in self._jobs.items()]

    def busy(self) -> int:
        return len(self._jobs)

    def close(self, grace: float) -> None: ...


class Autoscaler:
    """What KEDA does: every 15 s it asks, and sets the number of workers, each of four slots."""

    SLOTS = 4

    def __init__(self) -> None:
        self.mini = MiniCluster(2, 16)
        self.mini.worker.drain()
        self.mini.turn(5)
        self.mini.worker.stop()
        self.workers: list[Worker] = []
        self.leaving: list[Worker] = []
        self.history: list[int] = []
        self._born = 0

    def live(self, seconds: float) -> None:
        """Live for so many seconds of the cluster's time."""
        for turn in range(round(10 * seconds)):
            if turn % 150 == 0:
                self._scale()
            self.mini.scheduler.step(0.0)
            for worker in (*self.workers, *self.leaving):
                worker.step(0.0)
            for worker in [each for each in self.leaving if each.stopped]:
                self.leaving.remove(worker)
                worker.stop()
            self.mini.clock.advance(0.1)

    def _scale(self) -> None:
        tasks = self.mini.scheduler.view.active.values()
        wanted = ceil(scaling(tasks, self.mini.clock.now(), TARGET).desired_slots / self.SLOTS)
        while len(self.workers) < wanted:
            self._born += 1
            name = f"w{self._born}"
            worker = Worker(
                log=self.mini.cluster.connect(name), topics=self.mini.topics, codec=self.mini.codec,
                pool=TimedPool(self.SLOTS, 2.0, self.mini.clock), me=Identity(name, name, self.mini.clock),
                slots=self.SLOTS, pause=self.mini.clock.advance,
            )  # fmt: skip
            self.workers.append(worker)
        while len(self.workers) > wanted:
            worker = self.workers.pop()
            worker.drain()
            self.leaving.append(worker)
        self.history.append(len(self.workers))


def test_a_burst_is_scaled_for_from_nothing_and_back() -> None:
    scaler = Autoscaler()
    scaler.live(20)
    assert scaler.history == [0, 0]
    mini = scaler.mini
    request = make_request(mini.me, want(TEMPLATE, {"n": 400}, task_id="burst"), "test")
    mini.log.append([mini.records.journal(request, "burst")])
    scaler.live(240)
    assert mini.phase("burst") == "succeeded"
    most = max(scaler.history)
    assert 3 <= most <= 4, scaler.history  # 800 s of work in a minute: 14 slots
    assert scaler.history[-1] == 0
    peak = scaler.history.index(most)
    assert scaler.history[peak:] == sorted(scaler.history[peak:], reverse=True), scaler.history
