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
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

import msgspec

from streamsched.worker import copies, descendants, errors, wire
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.endings import ending_of, read_arguments
from streamsched.worker.handlers import Handler, Handlers
from streamsched.worker.isolation import Surroundings
from streamsched.worker.jobs import Job, JobCheckpointed, JobEmitted, JobReturned, Lack, TopicAsked, TopicTold
from streamsched.worker.link import Link
from streamsched.worker.output import Output
from streamsched.worker.page import LEAVING, Page
from streamsched.worker.payload import write_result
from streamsched.worker.streams import Capture

if TYPE_CHECKING:
    from streamsched.domain.options import Options
    from streamsched.worker.context import AnyOutbox
    from streamsched.worker.emit import Directory

TICK_S: Final = 0.020
FLUSH_AFTER_NS: Final = 2_000_000
FLUSH_COUNT: Final = 96  # endings, so that the pool can send more before this executor has run dry
_monotonic_ns = time.monotonic_ns


class Executor:
    """Runs the jobs that come over ``link``, one by one. Also the transport of its handlers' contexts."""

    def __init__(self, setup: wire.Setup, link: Link, page: Page, output: Output) -> None:
        self._link = link
        self._page = page
        self._output = output
        self._payload_limit = setup.payload_limit
        self._checkpoint_tick = round(setup.checkpoint_tick * 1e9)
        self._allow = setup.allow
        self._handlers = Handlers(setup.allow)
        self._surroundings: Surroundings | None = None
        self._known: dict[str, Handler] = {}  # those whose modules are imported
        self._left = setup.reuse or -1  # jobs until this executor is to be replaced
        self._leaving = False
        self._pid = os.getpid()
        self._queue: deque[Job] = deque()
        self._journal: wire.Journal | None = None
        self._directory: Directory | None = None
        self._context: ChildContext | None = None
        self._options: Options | None = None
        """Those of the running job, where it has any that are known."""
        self._key = -1
        self._began = 0
        self._confirmed = 0
        self._quitting = False
        self._checkpointed = 0
        self._flushed = 0
        # _lock guards queue, running job and pending news and is never held while waiting; _writing is held
        # while a frame is written, so that news of one job is sent in its order.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._work = threading.Semaphore(0)  # released for each order that may give the main thread something
        self._news = threading.Condition()  # for a handler that waits for its checkpoint

    # --- the main thread: handlers ---

    def run(self) -> None:
        """Run jobs until told to quit and none is left."""
        self._page.ready()
        self._link.send(wire.READY)
        threading.Thread(target=self._serve, name="link", daemon=True).start()
        copies.on_fork(self._forked)
        self._surroundings = Surroundings()
        wall = time.time_ns() - _monotonic_ns()
        while True:
            job = self._next(wall)
            if job is None:
                self._flush()
                if self._leaving or (self._quitting and not self._queue):
                    return
                self._work.acquire()
                wall = time.time_ns() - _monotonic_ns()
                continue
            self._run(job, wall)

    def _next(self, wall: int) -> Job | None:
        with self._lock:
            if not self._queue:
                return None
            job = self._queue.popleft()
            self._key = job.key
            self._confirmed = 0
            self._options = None if job.options is None else _read_options(job.options)
            stage = "work" if self._options is None else self._options.stage
            self._context = ChildContext(
                self, task_id=job.task_id, child_index=job.child if stage == "work" else 0, attempt=job.attempt,
                fencing_token=job.token, handler=job.handler, state=job.state, payload_limit=self._payload_limit,
                stage=stage,
            )  # fmt: skip
            now = _monotonic_ns()
            self._page.begin(job.key, now, (wall + now) // 1_000_000)
            self._began = now
            return job

    def _run(self, job: Job, wall: int) -> None:
        context = self._context
        assert context is not None  # noqa: S101 - _next made it
        output = self._output
        output.begin(job.task_id, job.child if context.stage == "work" else context.stage, job.attempt)
        result: str | None = None
        failure: errors.ErrorReport | None = None
        handler: Handler | None = None
        lack: Lack = ""
        stopped = False
        try:
            options = self._options
            if options is not None and options.command is not None:
                from streamsched.worker.command import run_command  # late, as the next: few children need them

                result = run_command(
                    context, job.args, options.command.exit_codes, allow=self._allow, limit=self._payload_limit,
                    write=output.write,
                )  # fmt: skip
            else:
                handler = self._known.get(job.handler)
                if handler is None:
                    handler = self._know(job.handler)
                if job.options is None:
                    value = copy_context().run(handler, context, **read_arguments(job))
                else:
                    from streamsched.worker.reduce import run_reduce

                    value = run_reduce(handler, context, job, options, self._journal)
                result = write_result(value, self._payload_limit)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: the process is not the handler's
            if os.getpid() != self._pid:
                copies.end(error)
            context.finish()
            stopped = issubclass(type(error), errors.StopChild) and context.should_stop
            failure = None if stopped else errors.describe(error)
            if handler is None and isinstance(error, errors.HandlerNotAllowed | errors.HandlerNotFound):
                lack = error.lack
        if os.getpid() != self._pid:
            copies.end(None)
        if context.outbox is not None:  # an ending outlives its process, records in its memory do not
            context.outbox.close()
            self._flush()
        replace = self._tidy(_monotonic_ns() - self._began)
        output.end()
        now = _monotonic_ns()
        began_at, ended_at = (wall + self._began) // 1_000_000, (wall + now) // 1_000_000
        with self._lock:
            # From here on the other thread tells of no checkpoint, so the ending must: nothing comes after
            # it.
            unsaved = context.unsaved()
            self._context = None
            state, _, covered = unsaved or (None, 0, 0)
            ending = ending_of(
                job.key, began_at, ended_at, failure=failure, lack=lack, stopped=stopped, result=result, state=state,
                covered=covered,
            )  # fmt: skip
            item = wire.encode_item(ending)
            pushed = self._page.push(item)
        if not pushed:
            self._flush()
            self._page.push(item)
        self._page.end(now - self._began)
        if replace:
            self._leave()
        elif now - self._flushed > FLUSH_AFTER_NS or self._page.waiting() >= FLUSH_COUNT:
            self._flush()

    # --- between two children ---

    def _know(self, name: str) -> Handler:
        """Import a handler's module, and record what the import has set as the state to restore."""
        handler = self._known[name] = self._handlers.resolve(name)
        self._output.note()
        if self._surroundings is not None:
            self._surroundings.note()
        return handler

    def _tidy(self, took: int) -> bool:
        """Set back what the child has changed; returns whether this executor is to be replaced."""
        self._left -= 1
        reason = self._surroundings.tidy(took) if self._surroundings is not None else ""
        return bool(reason) or self._left == 0

    def _leave(self) -> None:
        """Run nothing any more: the pool replaces this executor, and has what waits here run elsewhere."""
        with self._lock:
            self._leaving = True
            self._queue.clear()
        self._page.ready(LEAVING)
        self._flush()

    # --- a copy that the handler forked ---

    def _forked(self) -> None:
        """Let go in the copy of all that is the executor's: nothing of it may reach the worker."""
        with contextlib.suppress(OSError):
            self._link.close()
        self._page = Page(-1)
        if self._context is not None:
            self._context.continue_with(LocalTransport())
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
        self._flush(waiting=True)
        with self._news:
            while self._confirmed < number and not context.should_stop:
                self._news.wait(0.1)
                self.heartbeat()

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes what the handler emits; it is imported with the first record."""
        from streamsched.worker.emit import Directory, Outbox

        if self._directory is None:
            self._directory = Directory(self._ask, self._waits)
        return Outbox(context, self)

    def topic(self, name: str) -> TopicTold:
        """Ask the pool what a topic is."""
        assert self._directory is not None  # noqa: S101 - the outbox asks
        return self._directory.find(name)

    def _ask(self, topic: str) -> None:
        with self._writing:
            self._write([wire.encode_item(TopicAsked(self._key, topic))])

    def _waits(self) -> bool:
        self.heartbeat()
        return self._context is not None and not self._context.should_stop

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
                held = self._context is not None or self._queue or self._page.waiting()
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
        elif isinstance(order, TopicTold):
            if self._directory is not None:
                self._directory.told(order)
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
        else:
            self._quitting = True
            self._work.release()

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

    def _flush(self, *, waiting: bool = False) -> None:
        with self._writing:
            self._write(waiting=waiting)

    def _write(self, news: list[bytes] | None = None, *, waiting: bool = False) -> None:
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


def _read_options(text: str) -> Options | None:
    from streamsched.domain.options import read_options

    return read_options(text)


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
