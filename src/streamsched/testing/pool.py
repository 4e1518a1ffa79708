"""A worker's pool in this process: handlers run in threads, one at a time, from checkpoint to checkpoint."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streamsched.domain.options import SPLIT, WORK, Options, ReduceInput, read_options
from streamsched.domain.routing import EVERYTHING
from streamsched.runtime.clock import Clock
from streamsched.testing.context import CrashPoint, LocalContext, ObservedTransport, context_of
from streamsched.testing.program import Ended, run_program
from streamsched.worker import errors, jobs, local
from streamsched.worker.context import PAYLOAD_LIMIT, AnyOutbox, ChildContext
from streamsched.worker.endings import Outcome, ending_of, raised, read_arguments
from streamsched.worker.handlers import Handlers
from streamsched.worker.kill_reason import death_ending
from streamsched.worker.outlet import Outlet
from streamsched.worker.payload import write_result
from streamsched.worker.results import Results
from streamsched.worker.sources.inputs import opened
from streamsched.worker.sources.split import PlanContext, run_split
from streamsched.worker.stages import place_of

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter

PATIENCE_S: Final = 30.0
"""Seconds that a handler may take, on the real clock, from one checkpoint to the next."""
STOPS: Final = 16
"""An attempt stands still at each of its first 32 checkpoints, and later so many times until their number doubles."""
_OURS: Final = frozenset({__file__, local.__file__})


class HandlerStuck(Exception):
    """A handler runs on and on without a checkpoint."""


class LocalPool:
    """Runs jobs in this process. A handler stands still at its checkpoints, and goes on with the next ``poll``.

    ``crash_of`` says where a job is to die, by its child's index or its stage; ``results_of`` reads what a reduce gets;
    ``open_log`` opens the log for what is split by topics; ``outlet`` knows the topics that handlers write to.
    """

    def __init__(
        self, *, slots: int, clock: Clock, crash_of: Callable[[jobs.Job, int | str], CrashPoint | None],
        results_of: Callable[[jobs.Job, ReduceInput], Results], open_log: Callable[[], LogAdapter],
        outlet: Outlet,
    ) -> None:  # fmt: skip
        self._slots = slots
        self._clock = clock
        self._crash_of = crash_of
        self._results_of = results_of
        self._open_log = open_log
        self._outlet = outlet
        self._handlers = Handlers([EVERYTHING])
        self._set_up: set[str] = set()
        """Setups that have run, as once in an executor."""
        self._waiting: deque[jobs.Job] = deque()
        self._runs: dict[int, _Run] = {}
        self._news: list[jobs.News] = []

    def room(self) -> int:
        """Return how many more jobs would be welcome."""
        return max(0, self._slots + 1 - self.busy())

    def submit(self, new: Sequence[jobs.Job]) -> None:
        """Take these jobs."""
        self._waiting.extend(new)

    def poll(self, timeout: float) -> list[jobs.News]:
        """Let each handler go on to its next checkpoint; waits for nothing else."""
        while self._waiting and len(self._runs) < self._slots:
            job = self._waiting.popleft()
            options = read_options(job.options or "{}")
            _, stage, index = place_of(job, options)
            crash = self._crash_of(job, index if stage == WORK else stage)
            self._runs[job.key] = _Run(
                job, stage, index, partial(self._work, options), self._clock, crash, self._outlet
            )
        for key, run in list(self._runs.items()):
            self._news += run.go_on()
            if run.ended:
                del self._runs[key]
                if run.missed:
                    raise AssertionError(f"{run.name} ended, and never came to {run.missed}, after which it was to die")
        news, self._news = self._news, []
        return news

    def stop(self, key: int, grace: float) -> None:
        """Ask for the end of a job: it stops at its next checkpoint."""
        for job in [job for job in self._waiting if job.key == key]:
            self._waiting.remove(job)
            self._news.append(jobs.JobReturned(key=key))
        if key in self._runs:
            self._runs[key].context.request_stop()

    def kill(self, keys: Iterable[int]) -> None:
        """Drop these jobs; what runs dies where it stands."""
        gone = set(keys)
        self._waiting = deque(job for job in self._waiting if job.key not in gone)
        self._news = [news for news in self._news if news.key not in gone]
        for key in gone & self._runs.keys():
            self._runs.pop(key).die()

    def confirm(self, key: int, number: int) -> None:
        """Report that this checkpoint is durable."""
        if key in self._runs:
            self._runs[key].confirm(number)

    def running(self) -> list[jobs.Running]:
        """List what runs."""
        return [run.report() for run in self._runs.values()]

    def busy(self) -> int:
        """Count what is held."""
        return len(self._waiting) + len(self._runs)

    def close(self, grace: float) -> None:
        """End everything."""
        self._waiting.clear()
        self.kill(list(self._runs))

    def _work(self, options: Options | None, run: _Run) -> Ended:
        """Do a job; returns its result as JSON, or how it failed."""
        job = run.job
        if options is None:
            raise errors.NonRetryable(f"the test kit does not know how to run a child with {job.options}")
        if options.split is not None:
            assert isinstance(run.context, PlanContext)  # noqa: S101 - it was made for this stage
            function = self._handlers.resolve(job.handler, yields=True) if job.handler else None
            run_split(run.context, options.split, function, self._open_log)
            return None, None
        results = None if options.reduce is None else self._results_of(job, options.reduce)
        with opened(run.context, job.args, options.inputs or (), run.alive, self._open_log) as args:
            if options.command is not None:
                return run_program(run.context, args, options.command.exit_codes)
            handler = self._handlers.resolve(job.handler)
            given = local.checked(handler, read_arguments(replace(job, args=args)), options.concurrency or 1)
            with self._warm(options.setup or "") as setup:
                value = local.call(handler, run.context, given, results, setup=setup, check=False)
            return write_result(value, PAYLOAD_LIMIT), None

    @contextmanager
    def _warm(self, setup: str) -> Iterator[Callable[[], object] | None]:
        """Yield what is to run before a handler: its setup once, and again after an attempt that failed with it."""
        fresh = setup not in self._set_up
        self._set_up.add(setup)
        try:
            yield self._handlers.resolve(setup) if setup and fresh else None
        except BaseException:
            if fresh:
                self._set_up.discard(setup)
            raise


class _LocalPlan(PlanContext):
    """The context of a split child, of which each entry is a page."""

    __slots__ = ()

    def unsaved(self, *, again: bool = False) -> tuple[str, int, int] | None:
        return ChildContext.unsaved(self, again=again)


class _Run(ObservedTransport):
    """One job in its thread. Either the thread runs or the pool's: each hands over to the other, and waits."""

    def __init__(
        self, job: jobs.Job, stage: str, index: int, work: Callable[[_Run], Ended], clock: Clock,
        crash: CrashPoint | None, outlet: Outlet,
    ) -> None:  # fmt: skip
        super().__init__(crash)
        self._outlet = outlet
        self.job = job
        self._confirmed = 0
        self.ended = False
        self._work = work
        self._clock = clock
        self._started_at = clock.now()
        self._news: list[jobs.News] = []
        self._mine, self._pools = threading.Semaphore(0), threading.Semaphore(0)
        self.name = f"{job.task_id}[{index if stage == WORK else stage}]"
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.context = context_of(
            self, _LocalPlan if stage == SPLIT else LocalContext, task_id=job.task_id, child_index=index,
            attempt=job.attempt, fencing_token=job.token, handler=job.handler, state=job.state, stage=stage,
        )  # fmt: skip

    # --- the pool's thread ---

    def go_on(self) -> list[jobs.News]:
        """Let the handler run to its next checkpoint or its end, and return its news. Raise HandlerStuck."""
        if not self._thread.ident:
            self._thread.start()
        self._mine.release()
        if not self._pools.acquire(timeout=PATIENCE_S):
            raise HandlerStuck(f"{self.job.handler} of {self.name} has run for {PATIENCE_S:g} s without a checkpoint")
        news, self._news = self._news, []
        return news

    def die(self) -> None:
        """Let the handler die where it stands."""
        self.died = True
        if self._thread.ident:
            self.go_on()

    def confirm(self, number: int) -> None:
        """Hear that this checkpoint is durable, with what it covers."""
        self._confirmed = max(self._confirmed, number)
        if self.context.outbox is not None:
            self.context.outbox.confirmed(number)

    def report(self) -> jobs.Running:
        """Tell how far it is."""
        done, total = self.progresses[-1] if self.progresses else (0.0, 0.0)
        return jobs.Running(key=self.job.key, started_at=self._started_at, done=done, total=total)

    # --- the handler's thread ---

    def checkpointed(self, state: str, number: int, covered: int) -> None:
        """Tell of a checkpoint, and let others go on."""
        self._tell(state, number, covered, wait=False)
        if number % max(1, number // STOPS) == 0:
            self._stand_still()

    def wait(self, number: int) -> None:
        """Let others go on until this checkpoint is durable."""
        while self._confirmed < number and not self.context.should_stop:
            found = self.context.unsaved(again=True)
            if found is not None:
                self._tell(*found, wait=True)
            self._stand_still()

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes the records that the handler emits."""
        from streamsched.worker.emit import Outbox

        return Outbox(context, self)

    def topic(self, name: str) -> jobs.TopicTold:
        """Say what a topic is."""
        told = self._outlet.ask(name)
        assert told is not None  # noqa: S101 - the log in memory answers at once
        return told

    def alive(self) -> None:
        """Come by a safe point."""
        self.heartbeat()
        if self.context.should_stop:
            raise errors.StopChild

    def _tell(self, state: str, number: int, covered: int, *, wait: bool) -> None:
        """Tell of a checkpoint in place of those before it, behind the records that it covers."""
        self._news = [item for item in self._news if not isinstance(item, jobs.JobCheckpointed)]
        self._news += self._emitted()
        self._news.append(
            jobs.JobCheckpointed(key=self.job.key, state=state, number=number, wait=wait, covered=covered)
        )
        if self.context.outbox is not None:
            self.context.outbox.told(number, covered)

    def _emitted(self) -> Iterator[jobs.News]:
        if self.context.outbox is not None:
            yield from self.context.outbox.take(self.job.key)

    def _stand_still(self) -> None:
        self._pools.release()
        self._mine.acquire()
        self.live()

    def _run(self) -> None:
        self._mine.acquire()
        try:
            self.reach("start")
            result, failure = self._work(self)
            self.live()
            self.reach("end")
            outcome = Outcome(result, failure)
        except BaseException as error:  # SystemExit too: on a worker it would fail the child
            self.context.finish()
            may_stop = isinstance(error, errors.StopChild) and self.context.should_stop
            outcome = raised(error.with_traceback(_handlers_frames(error)), begun=True, may_stop=may_stop)
        ending = self._ending(outcome)
        self._news.append(ending)
        self.ended = True
        self._pools.release()

    def _ending(self, outcome: Outcome) -> jobs.News:
        key, now = self.job.key, self._clock.now()
        if self.died:
            return death_ending(None, key, self._started_at, now, "the test had it die")
        if self.context.outbox is not None:
            self.context.outbox.close()
            self._news += self._emitted()
        state, _, covered = self.context.unsaved() or (None, 0, 0)
        return ending_of(key, self._started_at, now, outcome, state, covered)


def _handlers_frames(error: BaseException) -> TracebackType | None:
    """Return the frames of an error from the one that called the handler, as in an executor."""
    frames = error.__traceback__
    while frames and frames.tb_next and frames.tb_next.tb_frame.f_code.co_filename in _OURS:
        frames = frames.tb_next
    return frames
