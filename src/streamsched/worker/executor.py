"""An executor: the process in which handlers run, one after the other.

The main thread runs handlers and nothing else. A second thread reads orders, and about every 20 ms sends what
waits: endings, the running job's latest checkpoint, captured output. Endings lie in the shared page until
they are sent, so that a kill loses none. The process ends when its pool closes the link or dies.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from streamsched.worker import copies, descendants, errors, wire
from streamsched.worker.context import ChildContext, LocalTransport, Transport
from streamsched.worker.endings import Outcome, ending_of, raised, read_arguments
from streamsched.worker.handlers import Handler
from streamsched.worker.jobs import Job, JobCheckpointed, JobEmitted, JobReturned, TopicAsked, TopicTold
from streamsched.worker.link import Link
from streamsched.worker.output import Output
from streamsched.worker.page import LEAVING, Page
from streamsched.worker.payload import write_result
from streamsched.worker.preparation import Preparation
from streamsched.worker.streams import Capture

if TYPE_CHECKING:
    from streamsched.worker.async_context import AsyncChildContext
    from streamsched.worker.context import AnyOutbox
    from streamsched.worker.emit import Directory
    from streamsched.worker.lanes import Lane, Lanes

TICK_S: Final = 0.020
FLUSH_AFTER_NS: Final = 2_000_000
WORK: Final = "work"  # as in domain.options, which few executors import, and so the next
SPLIT: Final = "split"
FLUSH_COUNT: Final = 96  # endings, so that the pool can send more before this executor has run dry
_monotonic_ns = time.monotonic_ns
C = TypeVar("C", bound=ChildContext)


class Executor:
    """Runs the jobs that come over ``link``, one by one. Also the transport of its handlers' contexts."""

    def __init__(self, setup: wire.Setup, link: Link, page: Page, output: Output) -> None:
        self._link = link
        self._page = page
        self._output = output
        self._payload_limit = setup.payload_limit
        self._plan_limit = setup.plan_limit
        self._checkpoint_tick = round(setup.checkpoint_tick * 1e9)
        self._allow = setup.allow
        self._preparation = Preparation(setup.allow, setup.reuse, output)
        self._known = self._preparation.known
        self._special = self._preparation.special
        self._lanes: Lanes | None = None  # where async handlers run
        self._leaving = False
        self._cold = False  # another setup than this executor's is wanted
        self._pid = os.getpid()
        self._queue: deque[Job] = deque()
        self._journal: wire.Journal | None = None
        self._directory: Directory | None = None
        self._context: ChildContext | None = None
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
        self._preparation.begin()
        wall = time.time_ns() - _monotonic_ns()
        while True:
            job = self._next(wall)
            if job is None:
                if self._cold:
                    self._leave()
                self.flush()
                if self._leaving or (self._quitting and not self._queue):
                    return
                self._work.acquire()
                wall = time.time_ns() - _monotonic_ns()
                continue
            self._run(job, wall)

    def _next(self, wall: int) -> Job | None:
        with self._lock:
            job = self._queue[0] if self._queue else None
            cold = job is not None and job.options is not None and self._preparation.is_cold(job)
            if job is None or cold:
                self._cold = cold
                return None
            self._queue.popleft()
            self._key = job.key
            self._confirmed = 0
            self._context = self._context_of(ChildContext, job, self)
            now = _monotonic_ns()
            self._page.begin(job.key, now, (wall + now) // 1_000_000)
            self._began = now
            return job

    def _context_of(self, kind: type[C], job: Job, transport: Transport) -> C:
        stage, index = WORK, job.child
        if job.options is not None:
            from streamsched.worker.stages import place_of  # late: few children have options

            own, stage, index = place_of(job, self._preparation.options_of(job))
            kind = cast("type[C]", own) if own is not ChildContext else kind
        return kind(
            transport, task_id=job.task_id, child_index=index, attempt=job.attempt, fencing_token=job.token,
            handler=job.handler, state=job.state, payload_limit=self._payload_limit, stage=stage,
        )  # fmt: skip

    def _run(self, job: Job, wall: int) -> None:
        context, output = self._context, self._output
        assert context is not None  # noqa: S101 - _next made it
        output.begin(job.task_id, context.child_index if context.stage == WORK else context.stage, job.attempt)
        outcome = self._outcome_of(context, job)
        if os.getpid() != self._pid:
            copies.end(None)
        if outcome is None:
            width = self._preparation.options_of(job).concurrency or 1
            if self._have_lanes().serve(job, width, self._began, wall):
                self._leave()
            return
        if context.outbox is not None:  # an ending outlives its process, records in its memory do not
            context.outbox.close()
            self.flush()
        took = _monotonic_ns() - self._began
        replace = self._preparation.tidy(took)
        replace = self._preparation.spent(job) or replace
        output.end()
        self.end(job, context, outcome, self._began, wall)
        now = _monotonic_ns()
        self._page.end(now - self._began)
        if replace:
            self._leave()
        elif now - self._flushed > FLUSH_AFTER_NS or self._page.waiting() >= FLUSH_COUNT:
            self.flush()

    def _outcome_of(self, context: ChildContext, job: Job) -> Outcome | None:
        """Run the handler or the program of a job; None where it is async, and so has not begun."""
        begun = False
        try:
            if job.options is not None and context.stage == SPLIT:
                split = self._preparation.splitter_of(job, self._plan_limit, self._journal)
                begun = True
                return Outcome(write_result(copy_context().run(split, context), self._payload_limit))
            if job.options is not None and self._preparation.options_of(job).command is not None:
                return Outcome(self._run_program(context, job))
            handler = self._known.get(job.handler)
            if handler is None:
                handler = self._preparation.handler_of(job)
            if job.options is not None and (failure := self._preparation.warm(job, self._page, self._run_alone)):
                raise failure.with_traceback(failure.__traceback__ and failure.__traceback__.tb_next)
            begun = True
            if job.options is None and job.handler not in self._special:
                value = copy_context().run(handler, context, **read_arguments(job))
            elif job.handler in self._preparation.asynchronous:
                return None
            else:
                with self.given(context, job) as (filled, more):
                    value = copy_context().run(handler, context, *more, **self._preparation.arguments_of(filled))
            return Outcome(write_result(value, self._payload_limit))
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: the process is not the handler's
            if os.getpid() != self._pid:
                copies.end(error)
            context.finish()
            stops = issubclass(type(error), errors.StopChild) and context.should_stop
            return raised(error, begun=begun, may_stop=stops)

    def _run_program(self, context: ChildContext, job: Job) -> str | None:
        from streamsched.worker.command import run_command  # late: few children need it

        command = self._preparation.options_of(job).command
        codes = {} if command is None else command.exit_codes
        with self.given(context, job) as (filled, _):
            return run_command(
                context, filled.args, codes, allow=self._allow, limit=self._payload_limit, write=self._output.write
            )

    def _run_alone(self, function: Handler) -> BaseException | None:
        return self._have_lanes().run(function)

    def _have_lanes(self) -> Lanes:
        if self._lanes is None:
            from streamsched.worker.lanes import Lanes  # late: it imports asyncio

            self._lanes = Lanes(self, self._preparation, self._page, self._output, self._lock, self._payload_limit)
            self._preparation.note()
        return self._lanes

    # --- what lanes ask for, too ---

    def context_of(self, job: Job, lane: Lane) -> AsyncChildContext:
        """Make the context of an async child, under the lock; a stop that came before it holds."""
        from streamsched.worker.async_context import AsyncChildContext

        made = self._context_of(AsyncChildContext, job, lane)
        if self._context is not None:
            if self._context.should_stop:
                made.request_stop()
            self._context = None
        return made

    def given(self, context: ChildContext, job: Job) -> AbstractContextManager[tuple[Job, tuple[Any, ...]]]:
        """Return the job with its arguments filled in, and what its handler gets behind the context."""
        if job.options is None:
            return nullcontext((job, ()))
        from streamsched.worker.stages import given  # late: few children have options

        return given(context, job, self._preparation.options_of(job), self._journal)

    def take_like(self, job: Job) -> Job | None:
        """Take the job that waits first, if it is of the same kind."""
        with self._lock:
            like = self._queue and (self._queue[0].handler, self._queue[0].options) == (job.handler, job.options)
            return self._queue.popleft() if like else None

    def give_back(self) -> None:
        """Return all that has not begun."""
        self._recall(None)

    def end(self, job: Job, context: ChildContext, outcome: Outcome, began: int, wall: int) -> None:
        """Keep the ending of a job in the page until it is sent."""
        began_at, ended_at = (wall + began) // 1_000_000, (wall + _monotonic_ns()) // 1_000_000
        with self._lock:
            # From here on the other thread tells of no checkpoint, so the ending must: nothing comes after
            # it.
            unsaved = context.unsaved()
            if context is self._context:
                self._context = None
            elif self._lanes is not None:
                del self._lanes.running[job.key]
            state, _, covered = unsaved or (None, 0, 0)
            ending = ending_of(job.key, began_at, ended_at, outcome, state, covered)
            item = wire.encode_item(ending)
            pushed = self._page.push(item)
        if not pushed:
            self.flush()
            self._page.push(item)

    def _leave(self) -> None:
        """Run nothing any more: the pool replaces this executor, and has what waits here run elsewhere."""
        with self._lock:
            self._leaving = True
            self._queue.clear()
        self._page.ready(LEAVING)
        self.flush()

    # --- a copy that the handler forked ---

    def _forked(self) -> None:
        """Let go in the copy of all that is the executor's: nothing of it may reach the worker."""
        with suppress(OSError):
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

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes what the handler emits; it is imported with the first record."""
        from streamsched.worker.emit import Outbox

        return Outbox(context, self)

    def topic(self, name: str) -> TopicTold:
        """Ask the pool what a topic is."""
        return self.find_topic(name, self._key, self._waits)

    def find_topic(self, name: str, key: int, waits: Callable[[], bool]) -> TopicTold:
        """Ask the pool for a job; ``waits`` is called meanwhile, and says whether to go on waiting."""
        from streamsched.worker.emit import Directory

        if self._directory is None:
            self._directory = Directory()
        return self._directory.find(name, lambda topic: self._ask(key, topic), waits)

    def _ask(self, key: int, topic: str) -> None:
        with self._writing:
            self._write([wire.encode_item(TopicAsked(key, topic))])

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
        elif isinstance(order, TopicTold):
            if self._directory is not None:
                self._directory.told(order)
        elif isinstance(order, wire.Confirm):
            self._confirm(order)
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

    def _confirm(self, order: wire.Confirm) -> None:
        with self._lock:  # or the next job could begin in between, and believe it
            if order.key == self._key:
                self._confirmed = max(self._confirmed, order.number)
                if self._context is not None and self._context.outbox is not None:
                    self._context.outbox.confirmed(order.number)
        with self._news:
            self._news.notify_all()

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
    with suppress(FileNotFoundError):  # it may have been deleted
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - pathlib is not worth its import here
    faulthandler.enable(2)
    output = Capture(setup.output_path, page.text)
    atexit.register(output.end)
    gc.freeze()
    Executor(setup, link, page, output).run()
