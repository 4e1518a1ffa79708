"""An executor: the process in which handlers run, one after the other.

The main thread runs handlers and nothing else. A second thread reads orders, and about every 20 ms sends what
waits: endings, the running job's latest checkpoint, captured output. Endings lie in the shared page until
they are sent, so that a kill loses none. The process ends when its pool closes the link or dies.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from streamsched.worker import copies, descendants, wire
from streamsched.worker.context import LocalTransport
from streamsched.worker.jobs import JobCheckpointed, JobEmitted, JobReturned
from streamsched.worker.link import Link
from streamsched.worker.page import Page
from streamsched.worker.running import JobRunner
from streamsched.worker.streams import Capture

if TYPE_CHECKING:
    from streamsched.worker.lanes import Lane

TICK_S: Final = 0.020
_monotonic_ns = time.monotonic_ns


class Executor(JobRunner):
    """Runs the jobs that come over ``link``. Also the transport of its handlers' contexts."""

    # --- a copy that the handler forked ---

    def _forked(self) -> None:
        """Let go in the copy of all that is the executor's: nothing of it may reach the worker."""
        with contextlib.suppress(OSError):
            self._link.close()
        self._page = Page(-1)
        if self._context is not None:
            self._context.continue_with(LocalTransport())
        for lane in self._lanes.running.values() if self._lanes is not None else ():
            lane.context.continue_with(LocalTransport())
        self._output.forked()

    # --- the transport of the handler's context ---

    def heartbeat(self) -> None:
        """Touch the page."""
        self._page.beat(_monotonic_ns())

    def progress(self, done: float, total: float) -> None:
        """Write into the page."""
        self._page.progress(done, total)

    def wait(self, number: int) -> None:
        """Send the checkpoint now, and wait for its confirmation or a stop; waiting counts as being alive."""
        context = self._context
        if context is None:
            return
        self.flush(waiting=True)
        with self._news:
            while self._confirmed < number and not context.should_stop:
                self._news.wait(0.1)
                self.heartbeat()

    # --- the other thread: the link ---

    def _serve(self) -> None:
        try:
            self._listen()
        except BaseException:  # an executor that hears nothing any more is worse than none
            import traceback

            self._link.lose(traceback.format_exc())

    def _listen(self) -> None:
        while True:
            # Nothing is held, nothing can become due.
            with self._lock:
                runs = self._context is not None or (self._lanes is not None and self._lanes.running)
                held = runs or self._queue or self._page.waiting()
            if not self._link.wait(TICK_S if held else None):
                self._tick()
                continue
            for order in self._link.receive():
                self._obey(order)
            if _monotonic_ns() - self._flushed > TICK_S * 1e9:
                self._tick()

    def _tick(self) -> None:
        # Where the main thread is writing, this one continues reading: the pool may be waiting for that.
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()
        self._output.flush_if_writable()
        if self._lanes is not None:
            self._lanes.look(_monotonic_ns())

    def _obey(self, order: wire.Order) -> None:
        if isinstance(order, wire.Begin):
            with self._lock:
                if not self._leaving:
                    self._queue.extend(order.jobs)
            self._work.release()
        elif isinstance(order, wire.Recall):
            self._recall(order.keys)
        elif isinstance(order, wire.Journal):
            self._journal = order
        elif isinstance(order, wire.Confirm):
            with self._lock:  # or the next job could begin in between, and believe it
                if order.key == self._key:
                    self._confirmed = max(self._confirmed, order.number)
                    if self._context is not None and self._context.outbox is not None:
                        self._context.outbox.confirmed(order.number)
            with self._news:
                self._news.notify_all()
        elif isinstance(order, wire.Stop):
            self._recall((order.key,))
            with self._lock:
                if self._context is not None and self._key == order.key:
                    self._context.request_stop()
            with self._news:
                self._news.notify_all()
        elif isinstance(order, wire.Quit):
            self._quitting = True
            self._work.release()
        if self._lanes is not None:
            self._lanes.obey(order)

    def _recall(self, keys: Collection[int] | None) -> None:
        with self._lock:
            back = [job for job in self._queue if keys is None or job.key in keys]
            if not back:
                return
            if len(back) == len(self._queue):
                self._queue.clear()
            else:
                gone = {job.key for job in back}
                self._queue = deque(job for job in self._queue if job.key not in gone)
        news = [wire.encode_item(JobReturned(key=job.key)) for job in back]
        with self._writing:
            self._write(news)

    # --- both threads ---

    def flush(self, lane: Lane | None = None, *, waiting: bool = False) -> None:
        """Send all news there is; ``waiting``: the handler waits for its checkpoint, or that of the ``lane`` does."""
        with self._writing:
            self._write(waiting=waiting, lane=lane)

    def _write(self, news: list[bytes] | None = None, *, waiting: bool = False, lane: Lane | None = None) -> None:
        """Send all news there is; the caller holds ``_writing``."""
        items = news or []
        emitted: Iterable[JobEmitted] = ()
        self._flushed = now = _monotonic_ns()
        with self._lock:
            ended, count = self._page.pending()
            context, key = self._context, self._key
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
            if self._lanes is not None:
                items += self._lanes.unsaved(now, self._checkpoint_tick, lane)
                emitted = [*emitted, *self._lanes.emitted()]
        for part in emitted:  # before what covers them, behind the endings of other jobs
            self._send(ended, count, [wire.encode_item(part)])
            ended, count = b"", 0
        if count or items:
            self._send(ended, count, items)

    def _send(self, ended: bytes, count: int, items: Sequence[bytes]) -> None:
        """Send so many endings of the page, and other news."""
        self._link.send(wire.news_frame(ended + b"".join(items), count + len(items)))
        with self._lock:
            self._page.sent(len(ended), count)


def main(text: str) -> None:
    """Run an executor with this setup, JSON."""
    setup = msgspec.json.decode(text, type=wire.Setup)
    copies.ignore_signals()
    del sys.argv[1:]  # they tell handlers nothing
    descendants.adopt()
    link = Link(socket.socket(fileno=setup.link))
    page = Page(setup.page)
    page.born(os.getpid())
    os.close(setup.page)
    os.set_inheritable(setup.link, False)
    with contextlib.suppress(FileNotFoundError):  # it may have been deleted
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - pathlib is not worth its import here
    faulthandler.enable(2)
    output = Capture(setup.output_path, page.text)
    atexit.register(output.end)
    gc.freeze()
    Executor(setup, link, page, output).run()
