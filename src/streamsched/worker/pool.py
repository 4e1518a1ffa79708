"""Executor processes that run the children of one worker, in batches where they are short.

The pool has no thread. Its executors tell what runs through a shared page (``page``), so that limits,
progress and the cause of a death cost no message. Killing an executor costs the job that runs in it, and no
other.
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from streamsched.worker import wire
from streamsched.worker.context import PAYLOAD_LIMIT
from streamsched.worker.jobs import Job, JobCheckpointed, JobReturned, News, Running
from streamsched.worker.page import STARTING
from streamsched.worker.process import ExecutorProcess, Outfit
from streamsched.worker.remains import Remains
from streamsched.worker.verdict import Verdict, judge, obituary

AHEAD_NS: Final = 20_000_000  # work that an executor should hold
LONG_NS: Final = 10_000_000  # nothing waits behind a job of this length
RECALL_NS: Final = 100_000_000  # what waits behind a job that turned out this long is recalled
DEPTH: Final = 256
SLICE: Final = 0.020  # seconds between two looks at the pages
BLIND_NS: Final = 2_000_000_000  # after so long without a look the jobs were frozen too, perhaps
WEIGHT: Final = 0.9  # of the old mean, for each job
START_ATTEMPTS: Final = 5


class ExecutorsDoNotStart(Exception):
    """Executor processes end before they are ready, again and again; their standard error says why."""


class ExecutorPool:
    """Runs jobs in ``slots`` executor processes; see ``jobs.Pool`` for the calls.

    ``allow``: the modules whose handlers may run. ``output_fd`` gets what they print, each line with its
    child; ``None`` drops it. ``output_path`` is the file behind it, where it is one that is to be rotated.
    ``checkpoint_tick`` is the shortest time between two checkpoints of one job, in seconds. ``clock`` must be
    the monotonic clock of the machine, in nanoseconds. On Linux executors die with the *thread* that
    made them: use a pool in the thread that lives longest.
    """

    def __init__(
        self,
        slots: int,
        *,
        allow: Sequence[str],
        output_fd: int | None = None,
        output_path: Path | None = None,
        checkpoint_tick: float = 0.05,
        payload_limit: int = PAYLOAD_LIMIT,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if slots < 1:
            raise ValueError(f"a pool needs at least one slot, not {slots}")
        self._outfit = Outfit(
            allow=tuple(allow),
            output_fd=output_fd,
            checkpoint_tick=checkpoint_tick,
            payload_limit=payload_limit,
            output_path=None if output_path is None else str(output_path.absolute()),
        )
        self._remains = Remains(output_fd, self._outfit.output_path)
        self._slots = slots
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._executors: list[ExecutorProcess] = []
        self._news: list[News] = []
        self._mean: float | None = None
        self._failures = 0
        self._start_at = 0
        self._looked = clock()
        self._awake = 0
        self._closed = False
        self._start()

    # --- jobs in ---

    def room(self) -> int:
        """Say how many more jobs would be welcome: about 20 ms of work for each executor."""
        depth = self._depth()
        now = self._clock()
        room = 0
        for executor in self._executors:
            if not executor.dying:
                most = 1 if self._is_long(executor, now) else depth
                room += max(0, most - len(executor.held))
        return room

    def submit(self, jobs: Sequence[Job]) -> None:
        """Give these jobs to the executors that hold the fewest, in one message each."""
        now = self._clock()
        loads = [
            (len(executor.held) + (DEPTH if self._is_long(executor, now) else 0), place)
            for place, executor in enumerate(self._executors)
            if not executor.dying
        ]
        if not loads:
            self._news += [JobReturned(key=job.key) for job in jobs]
            return
        heapq.heapify(loads)
        shares: dict[int, list[Job]] = {}
        for job in jobs:
            load, place = loads[0]
            heapq.heapreplace(loads, (load + 1, place))
            shares.setdefault(place, []).append(job)
        for place, share in shares.items():
            executor = self._executors[place]
            executor.held.update((job.key, job) for job in share)
            executor.recalled = -1
            self._send(executor, wire.Begin(share))

    def stop(self, key: int, grace: float) -> None:
        """Ask a job to stop at its next safe point; kill it after ``grace`` seconds."""
        executor = self._holder(key)
        if executor is not None:
            if key not in executor.stopping:
                self._send(executor, wire.Stop(key))
            deadline = self._clock() + round(grace * 1e9)
            executor.stopping[key] = min(deadline, executor.stopping.get(key, deadline))

    def confirm(self, key: int, number: int) -> None:
        """Tell a job that this checkpoint is durable."""
        executor = self._holder(key)
        if executor is not None:
            self._send(executor, wire.Confirm(key, number))

    def kill(self, keys: Iterable[int]) -> None:
        """Drop these jobs at once, without news."""
        unwanted = set(keys)
        self._news = [news for news in self._news if news.key not in unwanted]
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
                executor.kill(Verdict(running, "dropped"))
            else:
                self._send(executor, wire.Recall(frozenset(mine)))

    # --- news out ---

    def poll(self, timeout: float) -> list[News]:
        """Wait up to ``timeout`` seconds for news; enforce limits and replace dead executors meanwhile."""
        deadline = self._clock() + round(timeout * 1e9)
        while True:
            left = 0.0 if self._news else max(0.0, (deadline - self._clock()) / 1e9)
            if self._start_at or any(e.held or e.dying or e.dropped for e in self._executors):
                left = min(left, SLICE)
            if any(e.dying for e in self._executors):
                left = min(left, 0.002)
            self._exchange(left)
            now = self._clock()
            if now - self._looked > BLIND_NS:
                self._awake = now
            self._looked = now
            for executor in list(self._executors):
                self._watch(executor, now)
            self._start()
            if self._news or now >= deadline:
                news, self._news = self._news, []
                return _latest(news)

    def running(self) -> list[Running]:
        """List the jobs that run now, with their progress."""
        found: list[Running] = []
        for executor in self._executors:
            current = executor.page.current()
            if current is not None and current.key in executor.held:
                found.append(
                    Running(
                        key=current.key,
                        started_at=current.started_at,
                        done=current.done,
                        total=current.total,
                    )
                )
        return found

    def busy(self) -> int:
        """Count the jobs that are held."""
        return sum(len(executor.held) for executor in self._executors)

    def pids(self) -> list[int]:
        """List the process ids of the executors that live."""
        return [executor.pid for executor in self._executors if not executor.dying]

    def close(self, grace: float = 0.0) -> None:
        """Stop every job, wait up to ``grace`` seconds, then kill what is left."""
        if self._closed:
            return
        self._closed = True
        deadline = self._clock() + round(grace * 1e9)
        for executor in self._executors:
            for key in list(executor.held):
                self.stop(key, grace)
        while self.busy() and (left := deadline - self._clock()) > 0:
            self.poll(left / 1e9)
        for executor in self._executors:
            if executor.held or grace <= 0:
                executor.kill(None)
            else:
                executor.send(wire.Quit())
        for executor in self._executors:
            executor.wait(max(0.0, (deadline - self._clock()) / 1e9))
            self._remains.write(executor.remains())
            executor.close()
        self._executors.clear()
        self._selector.close()
        self._remains.close()

    # --- inside ---

    def _depth(self) -> int:
        mean = self._mean
        if mean is None or mean > LONG_NS:
            return 1
        return max(1, min(DEPTH, int(AHEAD_NS / max(mean, 1.0))))

    def _is_long(self, executor: ExecutorProcess, now: int) -> bool:
        current = executor.page.current()
        return current is not None and now - current.started > LONG_NS

    def _holder(self, key: int) -> ExecutorProcess | None:
        return next((e for e in self._executors if key in e.held), None)

    def _send(self, executor: ExecutorProcess, order: wire.Order) -> None:
        if not executor.dying:
            executor.send(order)
            self._listen(executor)

    def _listen(self, executor: ExecutorProcess) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if executor.backlog else 0)
        if self._selector.get_key(executor).events != events:
            self._selector.modify(executor, events)

    def _exchange(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            executor = key.fileobj
            assert isinstance(executor, ExecutorProcess)  # noqa: S101 - nothing else is registered
            if executor.dying:
                continue  # it is read once more when it is gone
            if events & selectors.EVENT_WRITE:
                executor.push()
            if events & selectors.EVENT_READ:
                self._take(executor, executor.receive())
                self._measure(executor)
            self._listen(executor)

    def _take(self, executor: ExecutorProcess, news: list[News]) -> None:
        held = executor.held
        for item in news:
            ended = not isinstance(item, JobCheckpointed)
            if item.key not in held:  # dropped, or told twice: sent just before a kill and still on the page
                if ended:
                    executor.dropped.discard(item.key)
                continue
            if ended:
                del held[item.key]
                if executor.stopping:
                    executor.stopping.pop(item.key, None)
            self._news.append(item)

    def _measure(self, executor: ExecutorProcess) -> None:
        count, busy = executor.page.finished()
        before, busy_before = executor.measured
        if count == before:
            return
        executor.measured = (count, busy)
        mean = (busy - busy_before) / (count - before)
        old = WEIGHT ** (count - before) if self._mean is not None else 0.0
        self._mean = old * (self._mean or 0.0) + (1 - old) * mean

    # --- limits and deaths ---

    def _watch(self, executor: ExecutorProcess, now: int) -> None:
        if executor.dying:
            if executor.gone():
                self._bury(executor)
            return
        current = executor.page.current()
        if current is None:
            return
        if current.key in executor.dropped:
            executor.kill(Verdict(current.key, "dropped"))
            return
        job = executor.held.get(current.key)
        if job is None:
            return  # its ending is here already
        verdict = judge(job, current, now, executor.stopping.get(job.key), self._awake)
        if verdict is not None:
            # Seen twice: the first look may have fallen between two jobs.
            if executor.suspect == job.key:
                executor.kill(verdict)
            executor.suspect = job.key
        if len(executor.held) > 1 and executor.recalled != job.key and now - current.started > RECALL_NS:
            executor.recalled = job.key
            self._send(executor, wire.Recall(None))

    def _bury(self, executor: ExecutorProcess) -> None:
        self._selector.unregister(executor)
        self._executors.remove(executor)
        never_ready = executor.page.state() == STARTING
        self._take(executor, executor.last_words())
        current = executor.page.current()
        if current is not None and current.key in executor.held:
            del executor.held[current.key]
            self._news.append(obituary(executor.verdict, current, self._clock(), executor.cause()))
        self._news += [JobReturned(key=key) for key in executor.held]
        cause = executor.cause()
        self._remains.write(executor.remains())
        executor.close()
        if self._closed or not never_ready:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= START_ATTEMPTS:
            raise ExecutorsDoNotStart(f"{self._failures} times in a row {cause} before it was ready")
        self._start_at = self._clock() + 100_000_000 * 2**self._failures

    def _start(self) -> None:
        if self._closed or self._clock() < self._start_at:
            return
        self._start_at = 0
        while len(self._executors) < self._slots:
            executor = ExecutorProcess(self._outfit)
            self._executors.append(executor)
            self._selector.register(executor, selectors.EVENT_READ)


def _latest(news: list[News]) -> list[News]:
    """Keep only the last checkpoint of each job."""
    last: dict[int, int] = {}
    for place, item in enumerate(news):
        if isinstance(item, JobCheckpointed):
            last[item.key] = place
    if not last:
        return news
    return [item for place, item in enumerate(news) if not isinstance(item, JobCheckpointed) or last[item.key] == place]
