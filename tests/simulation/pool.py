"""A pool of executors without processes: jobs are a few units of work on the virtual clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from streamsched.testing.clock import VirtualClock
from streamsched.worker import jobs
from streamsched.worker.progress import merged
from tests.simulation.faults import AGAIN, JOB, ROGUE, UNIT, Fault
from tests.support.clock import MachineClock


class Surroundings(Protocol):
    """What a pool is in: who strikes it, and who wants to know what it does."""

    def strike(self, place: str, task_id: str, child: int) -> Fault | None:
        """Tell what strikes here; does not return where the whole process dies."""

    def lacks(self, job: jobs.Job) -> bool:
        """Tell whether the handler of a job cannot be imported here."""

    def started(self, job: jobs.Job) -> None:
        """Hear that a job runs now."""

    def entries(self, job: jobs.Job) -> int | None:
        """Return how many entries a splitter finds; None for any other job."""

    def results(self, job: jobs.Job) -> list[tuple[int, object]] | None:
        """Return the results that a reduce reads; None for any other job."""

    def record(self, job: jobs.Job, number: int) -> jobs.Emitted | None:
        """Return what a job emits in a unit of its work; None: nothing."""

    def stopped(self, job: jobs.Job, units: int) -> None:
        """Hear that a job stopped at a safe point, after telling of this many units."""


@dataclass(slots=True)
class _Run:
    """One job in the fake pool. Its state is the number of units that are done, of a splitter that of its entries."""

    job: jobs.Job
    units: int
    done: int
    told: int
    emitted: int = 0
    """Units of work whose records were emitted: perhaps one more than are done."""
    next_at: float = 0.0
    started_at: int | None = None
    number: int = 0
    waits_for: int = 0
    stop_at: float | None = None
    hangs: bool = False
    results: list[tuple[int, object]] | None = None
    """What it has read, if it is a reduce."""
    begun: int = 0
    """The units that were done before this attempt."""
    splits: bool = False
    hopeless: bool = False
    """It fails for good, whatever happens."""
    imports: bool = False
    """Its handler's module is being imported, in vain."""


class FakePool:
    """Runs jobs on the virtual clock: each is a few units of work, and may checkpoint, fail, hang or wait."""

    def __init__(
        self, *, true: VirtualClock, clock: MachineClock, rng: Random, slots: int, faults: Surroundings
    ) -> None:
        self._true = true
        self._clock = clock
        self._rng = rng
        self._slots = slots
        self._faults = faults
        self._runs: dict[int, _Run] = {}
        self._news: list[jobs.News] = []

    def room(self) -> int:
        return max(0, self._slots + 1 - len(self._runs))

    def submit(self, new: Sequence[jobs.Job]) -> None:
        for job in new:
            done = 0 if job.state is None else int(json.loads(job.state))
            entries = self._faults.entries(job)
            args = json.loads(job.args)
            args = args.get("args", args)  # those of a program lie deeper
            first, fails = args.get("first", 2), args.get("fails", 0)
            units = 1 + first % 5 if entries is None else entries
            self._runs[job.key] = _Run(
                job, units=units, done=done, told=done, begun=done, emitted=done, splits=entries is not None,
                hopeless=fails > 0 and first % fails == fails - 1,
            )  # fmt: skip

    def poll(self, timeout: float) -> list[jobs.News]:
        if self._runs:
            self._go_on()
        if not self._news and timeout > 0:
            self._true.advance(timeout)
            self._go_on()
        news, self._news = self._news, []
        return merged(news)

    def stop(self, key: int, grace: float) -> None:
        run = self._runs.get(key)
        if run is not None:
            at = self._clock.monotonic() + grace
            run.stop_at = at if run.stop_at is None else min(at, run.stop_at)

    def kill(self, keys: Iterable[int]) -> None:
        gone = set(keys)
        for key in gone:
            self._runs.pop(key, None)
        if self._news:
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

    # --- inside -----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        now = self._clock.monotonic()
        runs = self._runs
        free = self._slots - sum(run.started_at is not None for run in runs.values())
        for key, run in list(runs.items()):
            if key not in runs:
                continue  # it went with an executor
            if run.started_at is None:
                if run.stop_at is not None:
                    self._end(jobs.JobReturned(key=key))
                elif free > 0 and self._begin(key, run, now):
                    free -= 1
                continue
            while key in runs and now >= run.next_at and not run.waits_for and not run.hangs:
                self._unit(key, run, now)
            if key not in runs:
                continue
            if run.stop_at is not None and now >= run.stop_at:
                self._end(self._stopped(run, None))
            elif run.hangs and now >= run.next_at + 2:
                self._end(self._failed(run, "timeout", "Timeout"))

    def _begin(self, key: int, run: _Run, now: float) -> bool:
        run.started_at = self._clock.now()
        if self._faults.lacks(run.job):
            run.imports = True
            run.next_at = now + self._rng.choice((0.0, 0.0, 2.0))
            return True
        run.next_at = now + self._rng.uniform(0.001, 0.2)
        self._faults.started(run.job)
        run.results = self._faults.results(run.job)
        if self._faults.strike(JOB, run.job.task_id, run.job.child):
            self._end(jobs.JobReturned(key=key))
            return False
        return True

    def _unit(self, key: int, run: _Run, now: float) -> None:
        if run.imports:
            self._end(self._failed(run, "error", "HandlerNotFound", lack="import"))
            return
        rng = self._rng
        run.next_at += rng.uniform(0.001, 0.2) * (5 if run.splits else 1)
        run.done += self._find(key, run) if run.splits else 1
        self._emit(run)
        dice = rng.random()
        if run.hopeless and run.done >= run.units:
            self._end(self._failed(run, "error", "Hopeless", 1.0))
        elif run.done >= run.units and not (run.splits and dice < 0.8):  # a splitter looks for more, in vain
            self._end(
                jobs.JobCompleted(
                    key=key, started_at=run.started_at or 0, finished_at=self._clock.now(),
                    result=str(run.done) if run.results is None else json.dumps(run.results), state=None,
                )
            )  # fmt: skip
        elif fault := self._faults.strike(UNIT, run.job.task_id, run.job.child):
            self._trouble(run, fault, now)
        elif run.stop_at is not None and dice < 0.8:
            self._end(self._stopped(run, str(run.done) if rng.random() < 0.7 else None))
        elif dice < 0.6:
            run.number += 1
            run.told = run.done
            wait = rng.random() < 0.3
            run.waits_for = run.number if wait else 0
            self._news.append(
                jobs.JobCheckpointed(
                    key=key, state=str(run.done), number=run.number, wait=wait, covered=self._covered(run)
                )
            )

    def _find(self, key: int, run: _Run) -> int:
        """Find a few entries, perhaps none; return how many."""
        found = range(run.done, min(run.units, run.done + self._rng.choice((0, 0, 1, 1, 2, 3))))
        if found:
            entries = tuple(jobs.Emitted(jobs.PLAN, number, None, str(number).encode()) for number in found)
            self._news.append(jobs.JobEmitted(key, entries))
        return len(found)

    def _trouble(self, run: _Run, fault: Fault, now: float) -> None:
        if fault.kind == "handler hangs":
            run.hangs = True
            run.next_at = now
        elif fault.kind == "handler fails":
            self._end(self._failed(run, "error", "Trouble", fault.amount))
        elif fault.kind == AGAIN:
            self._end(jobs.JobReturned(key=run.job.key))
        elif fault.kind == ROGUE:
            rogue = jobs.Emitted(
                "streamsched.events" if fault.amount < 0.5 or run.splits else jobs.PLAN, 0, b"key", b"rogue"
            )
            self._news.append(jobs.JobEmitted(run.job.key, (rogue,)))
        else:
            self._end(self._failed(run, "error", "ExecutorDied"))
            for key, other in list(self._runs.items()):
                if other.started_at is None:
                    self._end(jobs.JobReturned(key=key))

    def _emit(self, run: _Run) -> None:
        """Emit the records of what is done; now and then that of the unit after it, which is under way."""
        ahead = run.done < run.units and (run.done + run.job.child) % 3 == 0
        numbers = range(run.emitted, run.done + ahead)
        records = tuple(record for n in numbers if (record := self._faults.record(run.job, n)) is not None)
        run.emitted = max(run.emitted, run.done + ahead)
        if records:
            self._news.append(jobs.JobEmitted(run.job.key, records))

    def _covered(self, run: _Run) -> int:
        """Count the records that its state covers."""
        return run.done - run.begun if run.splits or self._faults.record(run.job, 0) is not None else 0

    def _stopped(self, run: _Run, state: str | None) -> jobs.JobStopped:
        if not run.imports:
            self._faults.stopped(run.job, run.told if state is None else run.done)
        return jobs.JobStopped(
            key=run.job.key, started_at=run.started_at or 0, finished_at=self._clock.now(), state=state,
            covered=0 if state is None else self._covered(run),
        )  # fmt: skip

    def _failed(
        self, run: _Run, reason: jobs.Reason, error_type: str, amount: float = 0.0, lack: jobs.Lack = ""
    ) -> jobs.JobFailed:
        """Fail a job; how much ``amount`` says: for good, or to be tried again at once or later, and its words."""
        number, raised = int(amount * 100) % 5, error_type == "Trouble"
        return jobs.JobFailed(
            key=run.job.key, started_at=run.started_at or 0, finished_at=self._clock.now(), reason=reason,
            error_type=error_type, message=f"made up, number {number}", traceback="", retryable=amount < 0.9,
            delay_ms=0 if 0.6 < amount < 0.9 else None,
            state=str(run.done) if amount * 10 % 1 < 0.5 and not lack else None,
            error_types=("made.up.Trouble", "made.up.Base", "Exception") if raised else (),
            lack=lack, covered=self._covered(run),
            exit_code=(3, 75)[number % 2] if raised and run.job.handler.startswith("$") else None,
            fingerprint=f"{number:x}" if raised else "", frames=(f"up.py:{number} in made",) if raised else (),
        )  # fmt: skip

    def _end(self, news: jobs.Ending) -> None:
        del self._runs[news.key]
        self._news.append(news)
