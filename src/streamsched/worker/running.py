"""The main thread of an executor: handlers, one after the other, or async ones side by side."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Collection
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamsched.worker import copies, errors, wire
from streamsched.worker.context import ChildContext, Transport
from streamsched.worker.endings import Outcome, ending_of, raised, read_arguments
from streamsched.worker.handlers import Handler
from streamsched.worker.jobs import Job
from streamsched.worker.link import Link
from streamsched.worker.output import Output
from streamsched.worker.page import LEAVING, Page
from streamsched.worker.payload import write_result
from streamsched.worker.preparation import Preparation

if TYPE_CHECKING:
    from streamsched.worker.async_context import AsyncChildContext
    from streamsched.worker.lanes import Lane, Lanes

FLUSH_AFTER_NS: Final = 2_000_000
FLUSH_COUNT: Final = 96  # endings, so that the pool can send more before this executor has run dry
WORK: Final = "work"  # as in domain.options, which few executors import
_monotonic_ns = time.monotonic_ns
C = TypeVar("C", bound=ChildContext)


class JobRunner(Transport):
    """The half of an executor that is its main thread; ``executor.Executor`` is the other one."""

    def __init__(self, setup: wire.Setup, link: Link, page: Page, output: Output) -> None:
        self._link = link
        self._page = page
        self._output = output
        self._payload_limit = setup.payload_limit
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
        stage = WORK if job.options is None else self._preparation.options_of(job).stage
        return kind(
            transport, task_id=job.task_id, child_index=job.child if stage == WORK else 0, attempt=job.attempt,
            fencing_token=job.token, handler=job.handler, state=job.state, payload_limit=self._payload_limit,
            stage=stage,
        )  # fmt: skip

    def _run(self, job: Job, wall: int) -> None:
        context, output = self._context, self._output
        assert context is not None  # noqa: S101 - _next made it
        output.begin(job.task_id, job.child if context.stage == WORK else context.stage, job.attempt)
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
            if job.options is not None and (command := self._preparation.options_of(job).command) is not None:
                from streamsched.worker.command import run_command  # late: few children need it

                return Outcome(
                    run_command(
                        context, job.args, command.exit_codes, allow=self._allow, limit=self._payload_limit,
                        write=self._output.write,
                    )
                )  # fmt: skip
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
                arguments = self._preparation.arguments_of(job)
                with self.given(context, job) as given:
                    value = copy_context().run(handler, context, *given, **arguments)
            return Outcome(write_result(value, self._payload_limit))
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: the process is not the handler's
            if os.getpid() != self._pid:
                copies.end(error)
            context.finish()
            stops = issubclass(type(error), errors.StopChild) and context.should_stop
            return raised(error, begun=begun, may_stop=stops)

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

    def given(self, context: ChildContext, job: Job) -> contextlib.AbstractContextManager[tuple[Any, ...]]:
        """Return what a handler gets behind its context: a reduce the results of its task."""
        if context.stage == WORK:
            return contextlib.nullcontext(())
        from streamsched.worker.reduce import results_for  # late: its imports are dear

        return results_for(self._journal, job, context)

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

    # --- the other half ---

    def flush(self, lane: Lane | None = None, *, waiting: bool = False) -> None:
        """Send all news there is; ``waiting``: the handler waits for its checkpoint, or that of the ``lane`` does."""
        raise NotImplementedError

    def _serve(self) -> None:
        raise NotImplementedError

    def _forked(self) -> None:
        raise NotImplementedError

    def _recall(self, keys: Collection[int] | None) -> None:
        raise NotImplementedError
