"""Fill a journal with a history of ended tasks: real schedulers and workers, and children that take no time.

``python -m bench.history --events 1000000 --brokers 127.0.0.1:9092 --prefix filled`` (without brokers: the embedded log
of ``--data-dir``). Every record is one that a running cluster writes: dispatches in windows, transactions with marks,
checkpoints, failures that are tried again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.cluster import TEMPLATES
from streamsched.commands.request import make_request, record_of, want
from streamsched.hosting import wiring
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.view.view import open_view
from streamsched.worker import jobs

SLOTS: Final = 64
ROOM: Final = 8_000
"""Jobs that the pool takes at once."""
IN_FLIGHT: Final = 20_000
"""Children of tasks that go on at the same time."""
CHECKPOINTS: Final = 20
"""One child of so many makes a checkpoint."""
FAILURES: Final = 50
"""One child of so many fails at its first attempt."""


class InstantPool:
    """Ends every job at once: most complete, some after a durable checkpoint, some fail and are tried again."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._news: list[jobs.News] = []
        self._waiting: set[int] = set()
        self.events = 0
        """News that each become an event of the journal."""

    def room(self) -> int:
        return ROOM - self.busy()

    def submit(self, new: Sequence[jobs.Job]) -> None:
        now = self._now()
        for job in new:
            self.events += 1
            if job.attempt == 1 and job.child % FAILURES == 7:
                self._news.append(
                    jobs.JobFailed(
                        key=job.key, started_at=now, finished_at=now, reason="error", error_type="Trouble",
                        message="made up", traceback="", retryable=True, delay_ms=0, state=None,
                    )
                )  # fmt: skip
            elif job.sequence == 0 and job.child % CHECKPOINTS == 3:
                self.events += 1
                self._waiting.add(job.key)
                self._news.append(jobs.JobCheckpointed(key=job.key, state='{"done": 1}', number=1, wait=True))
            else:
                self._complete(job.key, now)

    def poll(self, timeout: float) -> list[jobs.News]:
        news, self._news = self._news, []
        return news

    def confirm(self, key: int, number: int) -> None:
        if key in self._waiting:
            self._waiting.discard(key)
            self._complete(key, self._now())

    def stop(self, key: int, grace: float) -> None:
        if key in self._waiting:
            self._waiting.discard(key)
            now = self._now()
            self._news.append(jobs.JobStopped(key=key, started_at=now, finished_at=now, state=None))

    def kill(self, keys: Iterable[int]) -> None:
        gone = set(keys)
        self._waiting -= gone
        self._news = [news for news in self._news if news.key not in gone]

    def running(self) -> list[jobs.Running]:
        return []

    def busy(self) -> int:
        return len(self._news) + len(self._waiting)

    def close(self, grace: float) -> None:
        self.kill(list(self._waiting))

    def _complete(self, key: int, now: int) -> None:
        self._news.append(
            jobs.JobCompleted(key=key, started_at=now, finished_at=now, result='{"count": 1}', state=None)
        )


def fill(
    settings: Settings, events: int, *, children: int = 50_000, on_progress: Callable[[int], None] = lambda done: None
) -> int:
    """Run tasks of so many children until the journal has at least ``events`` more; returns the number of tasks.

    All of them have ended when this returns. ``on_progress`` hears of events.
    """
    with closing(Installation(settings, write=True)) as site:
        site.create_topics()
        site.discover()
        pool = InstantPool(site.clock.now)
        me = site.identity("client", "bench")
        template = TEMPLATES / "noop.yaml"
        scheduler = wiring.scheduler(site, "filler", open_view(None, site.journal_id, site.codec))
        worker = wiring.worker(site, pool, SLOTS, "filler")
        wanted = want(template, {"children": children})
        at_once = max(2, min(500, IN_FLIGHT // children))
        tasks = -(-events // children)
        requested = 0
        unseen: set[str] = set()
        try:
            while requested < tasks or unseen or scheduler.view.active:
                unseen -= scheduler.view.active.keys()
                new = min(at_once - len(unseen) - len(scheduler.view.active), tasks - requested)
                if new > 0:
                    requests = [make_request(me, wanted, "bench") for _ in range(new)]
                    site.log.append([record_of(site, request, request.task_id, None) for request in requests])
                    unseen |= {request.task_id for request in requests}
                    requested += new
                if not (scheduler.step(0.0) | worker.step(0.0)):
                    time.sleep(0.001)
                on_progress(pool.events)
            worker.drain()
            while not worker.stopped:
                scheduler.step(0.0)
                worker.step(0.01)
        finally:
            worker.stop()
            scheduler.stop()
    return tasks


def main() -> int:
    """Fill the journal that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--children", type=int, default=50_000, help="children of each task")
    parser.add_argument("--brokers", default="", help="a cluster of your own; nothing else may run under the prefix")
    parser.add_argument("--prefix", default="streamsched")
    parser.add_argument("--data-dir", type=Path, default=Path(".streamsched"))
    options = parser.parse_args()
    settings = Settings(brokers=options.brokers, data_dir=options.data_dir, prefix=options.prefix)
    begun = told = time.monotonic()

    def progress(done: int) -> None:
        nonlocal told
        if time.monotonic() - told > 5:
            told = time.monotonic()
            sys.stderr.write(f"{done:,} of {options.events:,} events\n")

    tasks = fill(settings, options.events, children=options.children, on_progress=progress)
    print(f"{tasks:,} tasks in {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
