"""What an executor has before it: the jobs that wait, the one that runs, and what the pool has said meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING

from streamsched.worker import wire
from streamsched.worker.context import ChildContext
from streamsched.worker.jobs import Job
from streamsched.worker.page import Page

if TYPE_CHECKING:
    from streamsched.worker.emit import Directory
    from streamsched.worker.lanes import Lanes


class Desk:
    """What the two threads of an executor share: one runs jobs, the other listens to the pool.

    ``lock`` guards queue, running job and pending news and is never held while waiting.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.queue: deque[Job] = deque()
        self.key = -1  # of the job that runs, or ran last
        self.context: ChildContext | None = None
        self.confirmed = 0  # the latest checkpoint of that job which is durable
        self.lanes: Lanes | None = None  # where async handlers run
        self.directory: Directory | None = None  # what the pool has said of topics
        self.journal: wire.Journal | None = None
        self.leaving = False  # nothing is run any more
        self.quitting = False
        self.lock = threading.Lock()
        self.work = threading.Semaphore(0)  # released for each order that may give the main thread something
        self.news = threading.Condition()  # for a handler that waits for its checkpoint

    def take_back(self, keys: Collection[int] | None) -> list[Job]:
        """Remove these jobs, or all, as far as they have not begun; returns them."""
        with self.lock:
            back = [job for job in self.queue if keys is None or job.key in keys]
            if not back:
                return back
            if len(back) == len(self.queue):
                self.queue.clear()
            else:
                gone = {job.key for job in back}
                self.queue = deque(job for job in self.queue if job.key not in gone)
            return back
