"""What an executor tells its pool: endings, which lie in the page until then, checkpoints, records, returned jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from streamsched.worker import wire
from streamsched.worker.desk import Desk
from streamsched.worker.jobs import JobCheckpointed, JobEmitted, JobReturned
from streamsched.worker.link import Link

if TYPE_CHECKING:
    from streamsched.worker.lane import Lane

_monotonic_ns = time.monotonic_ns


class Teller:
    """Sends news over the link, for both threads of an executor. ``checkpoint_tick``: as of the pool."""

    def __init__(self, desk: Desk, link: Link, checkpoint_tick: float) -> None:
        self._desk = desk
        self._link = link
        self._checkpoint_tick = round(checkpoint_tick * 1e9)
        self._checkpointed = 0
        self.flushed = 0
        """When news were sent last, monotonic nanoseconds."""
        self._writing = threading.Lock()  # held while a frame is written, so that news of one job is sent in its order

    def flush(self, lane: Lane | None = None, *, waiting: bool = False) -> None:
        """Send all news there is; ``waiting``: the handler waits for its checkpoint, or that of the ``lane`` does."""
        with self._writing:
            self._write(waiting=waiting, lane=lane)

    def flush_if_free(self) -> None:
        """Send all news there is, unless the other thread is writing."""
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()

    def tell(self, news: list[bytes]) -> None:
        """Send these news behind all that there is."""
        with self._writing:
            self._write(news)

    def give_back(self, keys: Collection[int] | None) -> None:
        """Return these jobs, or all, as far as they have not begun."""
        back = self._desk.take_back(keys)
        if back:
            self.tell([wire.encode_item(JobReturned(key=job.key)) for job in back])

    def _write(self, news: list[bytes] | None = None, *, waiting: bool = False, lane: Lane | None = None) -> None:
        """Send all news there is; the caller holds ``_writing``."""
        desk = self._desk
        items = news or []
        emitted: Iterable[JobEmitted] = ()
        self.flushed = now = _monotonic_ns()
        with desk.lock:
            ended, count = desk.page.pending()
            context, key = desk.context, desk.key
            if context is not None and (waiting or now - self._checkpointed >= self._checkpoint_tick):
                unsaved = context.unsaved(again=waiting)
                if unsaved is not None:
                    self._checkpointed = now
                    state, number, covered = unsaved
                    item = JobCheckpointed(key=key, state=state, number=number, wait=waiting, covered=covered)
                    items.append(wire.encode_item(item))
                    if context.outbox is not None:
                        context.outbox.told(number, covered)
            if context is not None and context.outbox is not None:
                emitted = context.outbox.take(key)
            if desk.lanes is not None:
                items += desk.lanes.unsaved(now, self._checkpoint_tick, lane)
                emitted = [*emitted, *desk.lanes.emitted()]
        for part in emitted:  # before what covers them, behind the endings of other jobs
            self._send(ended, count, [wire.encode_item(part)])
            ended, count = b"", 0
        if count or items:
            self._send(ended, count, items)

    def _send(self, ended: bytes, count: int, items: Sequence[bytes]) -> None:
        """Send so many endings of the page, and other news."""
        self._link.send(wire.news_frame(ended + b"".join(items), count + len(items)))
        with self._desk.lock:
            self._desk.page.sent(len(ended), count)
