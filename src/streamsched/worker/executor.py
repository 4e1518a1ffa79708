"""An executor: the process in which handlers run, one after the other.

The main thread runs handlers and nothing else. A second thread reads orders (``listening``), and about every 20 ms
sends what waits (``telling``): endings, the running job's latest checkpoint, captured output. Endings lie in the shared
page until they are sent, so that a kill loses none. The process ends when its pool closes the link or dies.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from streamsched.worker import copies, errors, wire
from streamsched.worker.context import ChildContext, LocalTransport, Transport
from streamsched.worker.desk import Desk
from streamsched.worker.endings import Outcome, ending_of, raised, read_arguments
from streamsched.worker.handlers import Handler
from streamsched.worker.jobs import Job, TopicAsked, TopicTold
from streamsched.worker.link import Link
from streamsched.worker.listening import Listener
from streamsched.worker.output import Output
from streamsched.worker.page import LEAVING, Page
from streamsched.worker.payload import write_result
from streamsched.worker.preparation import Preparation
from streamsched.worker.telling import Teller

if TYPE_CHECKING:
    from streamsched.worker.async_context import AsyncChildContext
    from streamsched.worker.context import AnyOutbox
    from streamsched.worker.lane import Lane
    from streamsched.worker.lanes import Lanes
    from streamsched.worker.spans import Spans

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
        self._output = output
        self._payload_limit = setup.payload_limit
        self._plan_limit = setup.plan_limit
        self._allow = setup.allow
        self._preparation = Preparation(setup.allow, setup.reuse, output)
        self._known = self._preparation.known
        self._special = self._preparation.special
        self._desk = Desk(page)
        self._teller = Teller(self._desk, link, setup.checkpoint_tick)
        self._listener = Listener(self._desk, link, self._teller, output)
        self._cold = False  # another setup than this executor's is wanted
        self._pid = os.getpid()
        self._began = 0
        self.spans: Spans | None = None
        self._perform: Callable[[ChildContext, Job], Outcome | None] = self._outcome_of

    def trace(self, spans: Spans) -> None:
        """Run each attempt in a span."""
        self.spans = spans
        self._perform = spans.around(self._outcome_of)

    # --- the main thread: handlers ---

    def run(self) -> None:
        """Run jobs until told to quit and none is left."""
        desk = self._desk
        desk.page.ready()
        self._link.send(wire.READY)
        threading.Thread(target=self._listener.serve, name="link", daemon=True).start()
        copies.on_fork(self._forked)
        self._preparation.begin()
        wall = time.time_ns() - _monotonic_ns()
        while True:
            job = self._next(wall)
            if job is None:
                if self._cold:
                    self._leave()
                self._teller.flush()
                if desk.leaving or (desk.quitting and not desk.queue):
                    return
                desk.work.acquire()
                wall = time.time_ns() - _monotonic_ns()
                continue
            self._run(job, wall)

    def _next(self, wall: int) -> Job | None:
        desk = self._desk
        with desk.lock:
            job = desk.queue[0] if desk.queue else None
            cold = job is not None and job.options is not None and self._preparation.is_cold(job)
            if job is None or cold:
                self._cold = cold
                return None
            desk.queue.popleft()
            desk.key = job.key
            desk.confirmed = 0
            desk.context = self._context_of(ChildContext, job, self)
            now = _monotonic_ns()
            desk.page.begin(job.key, now, (wall + now) // 1_000_000)
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
        context, output = self._desk.context, self._output
        assert context is not None  # noqa: S101 - _next made it
        output.begin(job.task_id, context.child_index if context.stage == WORK else context.stage, job.attempt)
        outcome = self._perform(context, job)
        if os.getpid() != self._pid:
            copies.end(None)
        if outcome is None:
            width = self._preparation.options_of(job).concurrency or 1
            if self._have_lanes().serve(job, width, self._began, wall):
                self._leave()
            return
        if context.outbox is not None:  # an ending outlives its process, records in its memory do not
            context.outbox.close()
            self._teller.flush()
        took = _monotonic_ns() - self._began
        replace = self._preparation.tidy(took)
        replace = self._preparation.spent(job) or replace
        output.end()
        self.end(job, context, outcome, self._began, wall)
        now = _monotonic_ns()
        self._desk.page.end(now - self._began)
        if replace:
            self._leave()
        elif now - self._teller.flushed > FLUSH_AFTER_NS or self._desk.page.waiting() >= FLUSH_COUNT:
            self._teller.flush()

    def _outcome_of(self, context: ChildContext, job: Job) -> Outcome | None:
        """Run the handler or the program of a job; None where it is async, and so has not begun."""
        begun = False
        try:
            if job.options is not None and context.stage == SPLIT:
                split = self._preparation.splitter_of(job, self._plan_limit, self._desk.journal)
                begun = True
                return Outcome(write_result(copy_context().run(split, context), self._payload_limit))
            if job.options is not None and self._preparation.options_of(job).command is not None:
                return Outcome(self._run_program(context, job))
            handler = self._known.get(job.handler)
            if handler is None:
                handler = self._preparation.handler_of(job)
            if job.options is not None and (failure := self._preparation.warm(job, self._desk.page, self._run_alone)):
                raise failure.with_traceback(failure.__traceback__ and failure.__traceback__.tb_next)
            begun, self._began = True, _monotonic_ns()  # an import and a setup are not the child's own time
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
        desk = self._desk
        if desk.lanes is None:
            from streamsched.worker.lanes import Lanes  # late: it imports asyncio

            desk.lanes = Lanes(self, self._preparation, desk.page, self._output, desk.lock, self._payload_limit)
            self._preparation.note()
        return desk.lanes

    # --- what lanes ask for, too ---

    def context_of(self, job: Job, lane: Lane) -> AsyncChildContext:
        """Make the context of an async child, under the lock; a stop that came before it holds."""
        from streamsched.worker.async_context import AsyncChildContext

        desk = self._desk
        made = self._context_of(AsyncChildContext, job, lane)
        if desk.context is not None:
            if desk.context.should_stop:
                made.request_stop()
            desk.context = None
        return made

    def given(self, context: ChildContext, job: Job) -> AbstractContextManager[tuple[Job, tuple[Any, ...]]]:
        """Return the job with its arguments filled in, and what its handler gets behind the context."""
        if job.options is None:
            return nullcontext((job, ()))
        from streamsched.worker.stages import given  # late: few children have options

        return given(context, job, self._preparation.options_of(job), self._desk.journal)

    def take_like(self, job: Job) -> Job | None:
        """Take the job that waits first, if it is of the same kind."""
        desk = self._desk
        with desk.lock:
            like = desk.queue and (desk.queue[0].handler, desk.queue[0].options) == (job.handler, job.options)
            return desk.queue.popleft() if like else None

    def give_back(self) -> None:
        """Return all that has not begun."""
        self._teller.give_back(None)

    def flush(self, lane: Lane | None = None) -> None:
        """Send all news there is, and the latest checkpoint of this lane."""
        self._teller.flush(lane)

    def end(self, job: Job, context: ChildContext, outcome: Outcome, began: int, wall: int) -> None:
        """Keep the ending of a job in the page until it is sent."""
        desk = self._desk
        if outcome.failure is not None:
            name = context.child_index if context.stage == WORK else context.stage
            outcome = outcome._replace(output=self._output.tail(job.task_id, name, job.attempt))
        began_at, ended_at = (wall + began) // 1_000_000, (wall + _monotonic_ns()) // 1_000_000
        with desk.lock:
            # From here on the other thread tells of no checkpoint, so the ending must: nothing comes after
            # it.
            unsaved = context.unsaved()
            if context is desk.context:
                desk.context = None
            elif desk.lanes is not None:
                del desk.lanes.running[job.key]
            state, _, covered = unsaved or (None, 0, 0)
            ending = ending_of(job.key, began_at, ended_at, outcome, state, covered)
            item = wire.encode_item(ending)
            pushed = desk.page.push(item)
        if not pushed:
            self._teller.flush()
            desk.page.push(item)

    def _leave(self) -> None:
        """Run nothing any more: the pool replaces this executor, and has what waits here run elsewhere."""
        desk = self._desk
        with desk.lock:
            desk.leaving = True
            desk.queue.clear()
        desk.page.ready(LEAVING)
        self._teller.flush()

    # --- a copy that the handler forked ---

    def _forked(self) -> None:
        """Let go in the copy of all that is the executor's: nothing of it may reach the worker."""
        desk = self._desk
        with suppress(OSError):
            self._link.close()
        desk.page = Page(-1)
        if desk.context is not None:
            desk.context.continue_with(LocalTransport())
        for lane in desk.lanes.running.values() if desk.lanes is not None else ():
            lane.context.continue_with(LocalTransport())
        self._output.forked()

    # --- the transport of the handler's context ---

    def heartbeat(self) -> None:
        """Touch the page."""
        self._desk.page.beat(_monotonic_ns())

    def progress(self, done: float, total: float) -> None:
        """Write into the page."""
        self._desk.page.progress(done, total)

    def wait(self, number: int) -> None:
        """Send the checkpoint now, and wait for its confirmation or a stop; waiting counts as being alive."""
        desk = self._desk
        context = desk.context
        if context is None:
            return
        self._teller.flush(waiting=True)
        with desk.news:
            while desk.confirmed < number and not context.should_stop:
                desk.news.wait(0.1)
                self.heartbeat()

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes what the handler emits; it is imported with the first record."""
        from streamsched.worker.emit import Outbox

        return Outbox(context, self)

    def topic(self, name: str) -> TopicTold:
        """Ask the pool what a topic is."""
        return self.find_topic(name, self._desk.key, self._waits)

    def find_topic(self, name: str, key: int, waits: Callable[[], bool]) -> TopicTold:
        """Ask the pool for a job; ``waits`` is called meanwhile, and says whether to go on waiting."""
        from streamsched.worker.emit import Directory

        desk = self._desk
        if desk.directory is None:
            desk.directory = Directory()
        return desk.directory.find(name, lambda topic: self._ask(key, topic), waits)

    def _ask(self, key: int, topic: str) -> None:
        self._teller.tell([wire.encode_item(TopicAsked(key, topic))])

    def _waits(self) -> bool:
        self.heartbeat()
        return self._desk.context is not None and not self._desk.context.should_stop
