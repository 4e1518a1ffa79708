"""A pool of executors without processes, and the clock that everything runs by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from streamsched.worker import jobs

"""Seconds from a stop to the kill of a job that does not heed it."""


class VirtualClock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self._ms = 1_000_000.0

    def now(self) -> int:
        return int(self._ms)

    def monotonic(self) -> float:
        return self._ms / 1000

    def advance(self, seconds: float) -> None:
        self._ms += seconds * 1000


@dataclass(slots=True)
class _Run:
    """One job in the fake pool. Its state is the number of units that are done."""

    job: jobs.Job
    units: int
    done: int
    next_at: float
    started_at: int | None = None
    number: int = 0
    waits_for: int = 0
    stop_at: float | None = None
    hangs: bool = False


class FakePool:
    """Runs jobs on the virtual clock: each is a few units of work, and may checkpoint, fail, hang or wait."""

    def __init__(self, clock: VirtualClock, rng: Random, slots: int) -> None:
        self._clock = clock
        self._rng = rng
        self._slots = slots
        self._runs: dict[int, _Run] = {}
        self._news: list[jobs.News] = []
        self.trouble = True

    def room(self) -> int:
        return max(0, self._slots + 1 - len(self._runs))

    def submit(self, new: Sequence[jobs.Job]) -> None:
        for job in new:
            done = 0 if job.state is None else int(json.loads(job.state))
            self._runs[job.key] = _Run(job, units=1 + json.loads(job.args)["first"] % 5, done=done, next_at=0.0)

    def poll(self, timeout: float) -> list[jobs.News]:
        self._go_on()
        if not self._news and timeout > 0:
            self._clock.advance(timeout)
            self._go_on()
        news, self._news = self._news, []
        return news

    def stop(self, key: int, grace: float) -> None:
        run = self._runs.get(key)
        if run is not None and run.stop_at is None:
            run.stop_at = self._clock.monotonic() + grace

    def kill(self, keys: Iterable[int]) -> None:
        gone = set(keys)
        for key in gone:
            self._runs.pop(key, None)
        self._news = [news for news in self._news if news.key not in gone]

    def confirm(self, key: int, number: int) -> None:
        run = self._runs.get(key)
        if run is not None and number >= run.waits_for:
            run.waits_for = 0

    def running(self) -> list[jobs.Running]:
        return [
            jobs.Running(key=key, started_at=run.started_at, done=run.done, total=run.units)
            for key, run in self._runs.items()
            if run.started_at is not None
        ]

    def busy(self) -> int:
        return len(self._runs)

    def close(self, grace: float) -> None:
        self.kill(list(self._runs))

    def _go_on(self) -> None:
        now = self._clock.monotonic()
        for key, run in list(self._runs.items()):
            if run.started_at is None:
                if run.stop_at is not None:
                    self._end(jobs.JobReturned(key=key))
                elif sum(other.started_at is not None for other in self._runs.values()) < self._slots:
                    run.started_at = self._clock.now()
                    run.next_at = now + self._rng.uniform(0.001, 0.2)
                continue
            while key in self._runs and now >= run.next_at and not run.waits_for and not run.hangs:
                self._unit(key, run)
            if key in self._runs and run.stop_at is not None and now >= run.stop_at:
                self._end(self._stopped(run, None))
            elif key in self._runs and run.hangs and now >= run.next_at + 2:
                self._end(self._failed(run, "timeout"))

    def _unit(self, key: int, run: _Run) -> None:
        rng = self._rng
        run.next_at += rng.uniform(0.001, 0.2)
        run.done += 1
        if run.done >= run.units:
            self._end(
                jobs.JobCompleted(
                    key=key, started_at=run.started_at or 0, finished_at=self._clock.now(),
                    result=str(run.done), state=None,
                )
            )  # fmt: skip
        elif run.stop_at is not None and rng.random() < 0.8:
            self._end(self._stopped(run, str(run.done) if rng.random() < 0.7 else None))
        elif self.trouble and rng.random() < 0.1:
            self._end(self._failed(run, "error"))
        elif self.trouble and rng.random() < 0.02:
            run.hangs = True
        elif rng.random() < 0.6:
            run.number += 1
            wait = rng.random() < 0.3
            run.waits_for = run.number if wait else 0
            self._news.append(jobs.JobCheckpointed(key=key, state=str(run.done), number=run.number, wait=wait))

    def _stopped(self, run: _Run, state: str | None) -> jobs.JobStopped:
        return jobs.JobStopped(
            key=run.job.key, started_at=run.started_at or 0, finished_at=self._clock.now(), state=state
        )

    def _failed(self, run: _Run, reason: jobs.Reason) -> jobs.JobFailed:
        return jobs.JobFailed(
            key=run.job.key, started_at=run.started_at or 0, finished_at=self._clock.now(), reason=reason,
            error_type="Trouble", message="made up", traceback="", retryable=self._rng.random() < 0.9,
            delay_ms=self._rng.choice((None, None, 0)), state=str(run.done) if self._rng.random() < 0.5 else None,
        )  # fmt: skip

    def _end(self, news: jobs.Ending) -> None:
        del self._runs[news.key]
        self._news.append(news)
