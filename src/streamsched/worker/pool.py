"""Executor processes that run the children of one worker, in batches where they are short.

The pool has no thread. Its executors tell what runs through a shared page (``page``), so that limits,
progress and the cause of a death cost no message. Killing an executor costs the job that runs in it, and no
other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from streamsched.domain.options import options_in
from streamsched.worker import cancelling, enforcing, telemetry, trust, wire
from streamsched.worker.context import PAYLOAD_LIMIT
from streamsched.worker.depth import DEPTH, LONG_NS, Depth, share_out
from streamsched.worker.devices import Devices
from streamsched.worker.exchange import Exchange
from streamsched.worker.jobs import Job, JobReturned, News, Running
from streamsched.worker.kill_reason import KillReason
from streamsched.worker.memory import MemoryWatch
from streamsched.worker.outlet import CLOSED, Outlet
from streamsched.worker.page import LEAVING
from streamsched.worker.placement import Placement
from streamsched.worker.process import ExecutorConfig, ExecutorProcess
from streamsched.worker.progress import merged
from streamsched.worker.remains import Remains

SLICE_S: Final = 0.020  # seconds between two looks at the pages
BLIND_NS: Final = 2_000_000_000  # after so long without a look the jobs were frozen too, perhaps
START_ATTEMPTS: Final = 5
CLOSED_NS: Final = 500_000_000  # an executor whose link has ended has ended itself within that time
LEAVE_NS: Final = 5_000_000_000  # in which an executor that is replaced may end by itself


class ExecutorsDoNotStart(Exception):
    """Executor processes end before they are ready, again and again; their standard error says why."""


class ExecutorPool:
    """Runs jobs in ``slots`` executor processes; see ``jobs.Pool`` for the calls.

    ``allow``: the modules whose handlers may run. ``output_fd`` gets what they print, each line with its
    child; ``None`` drops it. ``output_path`` is the file behind it, where it is one that is to be rotated. The pool
    keeps a descriptor of its own. ``copy_path``: a small file, rotated, that gets the same. ``checkpoint_tick`` is the
    shortest time between two checkpoints of one job, in seconds. ``reuse``: an executor is replaced after so many jobs;
    0: only when one of them left behind what cannot be restored. ``plan_limit``: bytes that all entries of a split
    child may have. ``clock`` must be the monotonic clock of the machine, in nanoseconds. ``journal`` is asked where it
    is, for the first job that reads it. ``devices``: those of the slots. ``outlet``: where handlers may write to.
    On Linux executors die with the *thread* that made them: use a pool in the thread that lives longest.
    """

    def __init__(
        self, slots: int, *, allow: Sequence[str], output_fd: int | None = None, output_path: Path | None = None,
        copy_path: Path | None = None, checkpoint_tick: float = 0.05, payload_limit: int = PAYLOAD_LIMIT,
        reuse: int = 0, plan_limit: int = 256 * 1024 * 1024, clock: Callable[[], int] = time.monotonic_ns,
        journal: Callable[[], wire.Journal] | None = None, devices: Devices | None = None, outlet: Outlet = CLOSED,
    ) -> None:  # fmt: skip
        if slots < 1:
            raise ValueError(f"a pool needs at least one slot, not {slots}")
        self._config = ExecutorConfig(
            allow=tuple(allow), output_fd=None if output_fd is None else os.dup(output_fd),
            checkpoint_tick=checkpoint_tick, payload_limit=payload_limit, reuse=reuse, plan_limit=plan_limit,
            output_path=None if output_path is None else str(output_path.absolute()),
            copy_path=None if copy_path is None else str(copy_path.absolute()), devices=devices,
        )  # fmt: skip
        self._remains = Remains(output_fd, self._config.output_path, self._config.copy_path)
        self._slots = slots
        self._clock = clock
        self._executors: list[ExecutorProcess] = []
        self._leaving: list[tuple[int, ExecutorProcess]] = []
        """Executors that were replaced, and until when they may end by themselves."""
        self._news: list[News] = []
        self._depth = Depth()
        self._exchange = Exchange(self._depth, clock, journal, outlet)
        self._placement = Placement()
        self._memory = MemoryWatch()
        self._failures = 0
        self._start_at = 0
        self._looked = clock()
        self._awake = 0
        self._closed = False
        for slot in range(slots):
            self._start(slot)

    # --- jobs in ---

    def room(self) -> int:
        """Return how many more jobs would be welcome: about 20 ms of work for each executor."""
        now = self._clock()
        depth = self._depth.at(now)
        if self._placement.waiting:
            return 0
        room = 0
        for executor in self._executors:
            if executor.takes:
                room += max(0, self._most(executor, now, depth) - len(executor.held))
        return room

    def _most(self, executor: ExecutorProcess, now: int, depth: int) -> int:
        """Return how many jobs an executor should hold."""
        if executor.shares:
            return 1 if executor.alone or self._depth.is_careful(now) else executor.lanes
        return 1 if self._is_long(executor, now) else depth

    def submit(self, jobs: Sequence[Job]) -> None:
        """Give these jobs to the executors that hold the fewest, in one message each."""
        now = self._clock()
        if self._placement.concerns(jobs, self._executors):
            self._placement.waiting += jobs
            self._place(now)
            return
        loads = [
            (len(executor.held) + (DEPTH if self._is_long(executor, now) else 0), place)
            for place, executor in enumerate(self._executors)
            if executor.takes
        ]
        if not loads:
            self._news += [JobReturned(key=job.key) for job in jobs]
            return
        for place, share in share_out(jobs, loads).items():
            executor = self._executors[place]
            executor.held.update((job.key, job) for job in share)
            executor.recalled, executor.lanes, executor.alone = -1, 1, False
            self._exchange.send(executor, wire.Begin(share))

    def _place(self, now: int) -> None:
        """Send what waits for an executor of its own choice, as far as there is one."""
        depth = self._depth.at(now)
        shares = self._placement.take(self._executors, lambda executor: self._most(executor, now, depth))
        for executor, share in shares.items():
            executor.recalled = -1
            if not executor.told and any(options_in(job.options).may_read_log for job in share):
                self._exchange.tell(executor)
            self._exchange.send(executor, wire.Begin(share))

    def stop(self, key: int, grace: float) -> None:
        """Ask a job to stop at its next safe point; kill it after ``grace`` seconds."""
        self._news += [JobReturned(key=each) for each in self._placement.remove({key})]
        executor = self._holder(key)
        if executor is not None:
            if key not in executor.stopping:
                self._exchange.ask_back(executor, wire.Stop(key))
            left = round(grace * 1e9)
            deadline = self._clock() + left - (cancelling.early(left) if executor.has_lanes else 0)
            executor.stopping[key] = min(deadline, executor.stopping.get(key, deadline))

    def confirm(self, key: int, number: int) -> None:
        """Report to a job that this checkpoint is durable."""
        executor = self._holder(key)
        if executor is not None:
            self._exchange.send(executor, wire.Confirm(key, number))

    def kill(self, keys: Iterable[int]) -> None:
        """Drop these jobs at once, without news."""
        unwanted = set(keys)
        self._news = [news for news in self._news if news.key not in unwanted]
        self._placement.remove(unwanted)
        for executor in self._executors:
            mine = unwanted & executor.held.keys()
            if not mine:
                continue
            for key in mine:
                del executor.held[key]
                executor.stopping.pop(key, None)
            executor.dropped |= mine
            running = executor.page.state()
            if running in mine:
                executor.kill(KillReason(running, "dropped"))
            else:
                self._exchange.ask_back(executor, wire.Recall(frozenset(mine)))
                if executor.has_lanes:
                    enforcing.enforce_in_lanes(executor, self._exchange, self._clock(), self._awake)

    # --- news out ---

    def poll(self, timeout: float) -> list[News]:
        """Wait up to ``timeout`` seconds for news; enforce limits and replace dead executors meanwhile."""
        deadline = self._clock() + round(timeout * 1e9)
        while True:
            idle = not self._news and not self._is_vacant(self._clock())
            left = max(0.0, (deadline - self._clock()) / 1e9) if idle else 0.0
            if (
                self._start_at
                or self._leaving
                or self._placement.waiting
                or any(e.held or e.dying or e.dropped for e in self._executors)
            ):
                left = min(left, SLICE_S)
            if any(e.dying for e in self._executors):
                left = min(left, 0.002)
            self._news += self._exchange.turn(left)
            now = self._clock()
            if now - self._looked > BLIND_NS:
                self._awake = now
            self._looked = now
            for executor in list(self._executors):
                self._watch(executor, now)
                if executor.asked:
                    self._exchange.answer(executor)
            self._see_off(now)
            if self._is_vacant(now):  # one in a turn: each takes its time, and news must not wait for all
                taken = {executor.slot for executor in self._executors}
                self._start(next(slot for slot in range(self._slots) if slot not in taken))
            if self._placement.waiting:
                self._place(now)
            if self._news or now >= deadline:
                news, self._news = self._news, []
                return merged(news)

    def running(self) -> list[Running]:
        """List the jobs that run now, with their progress."""
        now = self._clock()
        return [running for executor in self._executors for running in trust.running(executor, now)]

    def busy(self) -> int:
        """Count the jobs that are held."""
        return sum(len(executor.held) for executor in self._executors) + len(self._placement.waiting)

    def pids(self) -> list[int]:
        """List the process ids of the executors that live."""
        return [executor.pid for executor in self._executors if not executor.dying]

    def close(self, grace: float = 0.0) -> None:
        """Stop every job, wait up to ``grace`` seconds, then kill what is left."""
        if self._closed:
            return
        self._closed = True
        self._placement.waiting.clear()
        deadline = self._clock() + round(grace * 1e9)
        for executor in self._executors:
            for key in list(executor.held):
                self.stop(key, grace)
        while self.busy() and (left := deadline - self._clock()) > 0:
            self.poll(left / 1e9)
        farewell = telemetry.patience_s()
        deadline = max(deadline, self._clock() + round(farewell * 1e9))
        for executor in self._executors:
            if executor.held or max(grace, farewell) <= 0:
                executor.kill(None)
            else:
                executor.send(wire.Quit())
        for _, executor in self._leaving:
            executor.kill(None)
            self._executors.append(executor)
        for executor in self._executors:
            executor.wait(max(0.0, (deadline - self._clock()) / 1e9))
            self._remains.write(executor.remains())
            executor.close()
        self._executors.clear()
        self._leaving.clear()
        self._exchange.close()
        self._remains.close()
        if self._config.output_fd is not None:
            os.close(self._config.output_fd)

    # --- inside ---

    def _is_long(self, executor: ExecutorProcess, now: int) -> bool:
        current = executor.look(now)
        return current is not None and now - current.started > LONG_NS

    def _holder(self, key: int) -> ExecutorProcess | None:
        return next((e for e in self._executors if key in e.held), None)

    # --- limits and deaths ---

    def _watch(self, executor: ExecutorProcess, now: int) -> None:
        if executor.dying:
            if executor.gone():
                self._reap(executor, now)
            elif executor.closed_at and now - executor.closed_at > CLOSED_NS:
                executor.fault = executor.fault or "its end of it is closed"
                executor.kill(executor.kill_reason)
            return
        if executor.page.state() == LEAVING and executor.ready:
            self._replace(executor, now)
            return
        current = executor.look(now)
        if trust.is_lost(executor, current, now, self._awake):
            executor.kill(None)
        elif current is not None:
            if executor.has_lanes:
                enforcing.enforce_in_lanes(executor, self._exchange, now, self._awake)
            else:
                enforcing.enforce(executor, self._exchange, current, now, self._awake)
            if (kill_reason := self._memory.judge(executor, current, now)) is not None:
                executor.kill(kill_reason)

    def _replace(self, executor: ExecutorProcess, now: int) -> None:
        """Take the place of an executor that runs nothing any more; it has some seconds to end by itself."""
        self._news += trust.believe(executor, executor.receive(now))
        if executor.seen[0] in executor.held:
            executor.fault = executor.fault or "it leaves a job that it began"
        if executor.fault:
            executor.kill(None)
            return
        self._exchange.deafen(executor)
        self._executors.remove(executor)
        self._news += [JobReturned(key=key) for key in executor.held]
        executor.held.clear()
        self._leaving.append((now + LEAVE_NS, executor))

    def _see_off(self, now: int) -> None:
        for until, executor in list(self._leaving):
            if executor.gone():
                self._leaving.remove((until, executor))
                self._remains.write(executor.remains())
                executor.close()
            elif now > until:
                executor.kill(None)

    def _reap(self, executor: ExecutorProcess, now: int) -> None:
        self._exchange.deafen(executor)
        self._executors.remove(executor)
        self._news += trust.believe(executor, executor.drain(now))
        self._memory.note_death(executor)
        beside = [executor.held[each.key] for each in trust.in_lanes(executor, now)]
        ending = trust.blame(executor, now, careful=self._depth.is_careful(now))
        if ending is not None:
            self._news.append(ending)
        elif executor.kill_reason is not None and executor.kill_reason.reason == "oom":
            self._placement.suspect(beside)
        elif executor.fault or (executor.held and executor.ready and executor.kill_reason is None):
            self._depth.be_careful(now)
            self._placement.suspect(beside if len(beside) > 1 else ())
        self._news += [JobReturned(key=key) for key in executor.held]
        cause = executor.cause()
        self._remains.write(executor.remains())
        executor.close()
        if self._closed or executor.ready:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= START_ATTEMPTS:
            raise ExecutorsDoNotStart(f"{self._failures} times in a row {cause} before it was ready")
        self._start_at = self._clock() + 100_000_000 * 2**self._failures

    def _is_vacant(self, now: int) -> bool:
        return len(self._executors) < self._slots and now >= self._start_at and not self._closed

    def _start(self, slot: int) -> None:
        self._start_at = 0
        executor = ExecutorProcess(self._config, slot)
        self._executors.append(executor)
        self._exchange.add(executor)
