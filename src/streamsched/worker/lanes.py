"""The async children of an executor: one event loop in its main thread, and a lane for each child that runs.

The loop has the main thread as long as children of one *kind* run in it: of the same handler with the same options.
All of ``Lanes`` belongs to the main thread, but for what says that it is for the other one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final

from streamsched.domain.options import WORK
from streamsched.worker import copies, errors, traces, wire
from streamsched.worker.endings import Outcome, raised
from streamsched.worker.jobs import Job, JobCheckpointed, JobEmitted
from streamsched.worker.lane import LANE, Host, Lane, end_all, make_task
from streamsched.worker.output import Output
from streamsched.worker.page import CLOSING, IDLE, LANES, Page
from streamsched.worker.payload import write_result
from streamsched.worker.preparation import Preparation
from streamsched.worker.voices import VOICE

FLUSH_S: Final = 0.002
"""Seconds that an ending waits for others, so that they are told together."""
BLOCKED_NS: Final = 100_000_000
"""After so long without an await a coroutine is said to hold up the others."""
_monotonic_ns = time.monotonic_ns


class Lanes:
    """Runs async children of one kind, as many at once as their kind allows."""

    def __init__(
        self, host: Host, preparation: Preparation, page: Page, output: Output, lock: threading.Lock, limit: int
    ) -> None:
        self.host = host
        self._preparation = preparation
        self.page = page
        self.running: dict[int, Lane] = {}
        """By the keys of the jobs; changed under the executor's lock."""
        self._output = output
        self._lock = lock
        self._payload_limit = limit
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(make_task)
        self._threads: ThreadPoolExecutor
        self._have_threads()
        self._kind: Job
        self._free: list[int] = []
        self._serving = False
        self._closing = False
        self._flushes = False
        self._answered = True
        self._asked_at = 0

    # --- the main thread --------------------------------------------------------------------------------------------

    def serve(self, job: Job, width: int, began: int, wall: int) -> bool:
        """Run a job, and up to ``width`` like it, until none runs; return whether to replace this executor."""
        self._kind, self._free, self._closing = job, list(range(width)), False
        self._begin(job, began, wall)
        self.page.ready(LANES)
        self._count(job)
        self._serving = True
        self._loop.call_soon(self._fill)
        while self.running:
            try:
                self._loop.run_forever()
            except BaseException as error:  # of a callback of the user's: it ends nothing
                if os.getpid() != self._pid:
                    raise
                sys.stderr.write(traces.trace_of(error, traces.frames_of(error)))
        self._serving = False
        self.page.block(-1)
        if not self._closing:
            self.page.ready(IDLE)
        return self._closing

    def run(self, function: Any) -> BaseException | None:
        """Run an async function to its end, where no child runs; return what it raised."""

        async def run() -> BaseException | None:
            try:
                await function()
            except BaseException as error:
                return error
            return None

        return self._loop.run_until_complete(run())

    def _count(self, job: Job) -> None:
        if self._preparation.spent(job):
            self._close()

    def _begin(self, job: Job, began: int, wall: int) -> None:
        lane = Lane(self.host, self.page, job, self._free.pop(0), began, wall)
        with self._lock:
            context = lane.context = self.host.context_of(job, lane)
            self.running[job.key] = lane
        lane.voice = self._output.voice(
            job.task_id, context.child_index if context.stage == WORK else context.stage, job.attempt
        )
        self.page.begin_lane(lane.place, job.key, began, (wall + began) // 1_000_000)
        variables = copy_context()
        variables.run(VOICE.set, lane.voice)
        variables.run(LANE.set, lane)
        if self.host.spans is not None:
            lane.span = self.host.spans.enter(variables, context, job)
        lane.task = self._loop.create_task(self._run(lane), context=variables)

    def _fill(self) -> None:
        """Begin what waits, as far as there is room."""
        while self._free and not self._closing and self._serving and (job := self.host.take_like(self._kind)):
            now = _monotonic_ns()
            self._begin(job, now, time.time_ns() - now)
            self._count(job)
        if not self.running:
            self._loop.stop()

    async def _run(self, lane: Lane) -> None:
        outcome = await self._outcome_of(lane)
        if os.getpid() != self._pid:
            copies.end(None)
        if self.host.spans is not None and lane.span is not None:
            self.host.spans.end(lane.span, outcome)
        replace = not await end_all(lane)
        took = _monotonic_ns() - lane.began
        if len(self.running) == 1:
            self._have_threads()
            replace = self._preparation.tidy(took) or replace
        if replace:
            self._close()
        if lane.context.outbox is not None:  # before the ending, which outlives this process
            lane.context.outbox.close()
            self.host.flush()
        self._output.end_voice(lane.voice)
        self.host.end(lane.job, lane.context, outcome, lane.began, lane.wall)
        self.page.end_lane(lane.place, took)
        self._free.append(lane.place)
        self._fill()
        if not self._flushes:
            self._flushes = True
            self._loop.call_later(FLUSH_S, self._flush)

    async def _outcome_of(self, lane: Lane) -> Outcome:
        context, begun = lane.context, False
        try:
            lane.inside = True
            if lane.cancelled:
                raise errors.StopChild
            handler = self._preparation.handler_of(lane.job)
            begun = True
            with self.host.given(context, lane.job) as (filled, more):
                value = await handler(context, *more, **self._preparation.arguments_of(filled))
            lane.inside = False
            return Outcome(write_result(value, self._payload_limit))
        except BaseException as error:  # SystemExit and KeyboardInterrupt too
            lane.inside = False
            if os.getpid() != self._pid:
                copies.end(error)
            context.finish()
            stops = isinstance(error, errors.StopChild) or (
                lane.cancelled and isinstance(error, asyncio.CancelledError)
            )
            return raised(error, begun=begun, may_stop=stops and context.should_stop)

    def _close(self) -> None:
        """Begin nothing any more."""
        if not self._closing:
            self._closing = True
            self.page.ready(CLOSING)
            self.host.give_back()

    def _flush(self) -> None:
        self._flushes = False
        self.host.flush()

    def _have_threads(self) -> None:
        """Let go of the threads that ``to_thread`` and look-ups of names have made, and be ready to make others."""
        if hasattr(self, "_threads"):
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._loop.set_default_executor(self._threads)

    # --- the other thread ------------------------------------------------------------------------------------------

    def obey(self, order: wire.Order) -> None:
        """Take in an order that may be for a child which runs here."""
        if isinstance(order, wire.Begin):
            if self._serving:
                self._loop.call_soon_threadsafe(self._fill)
        elif isinstance(order, wire.Stop | wire.Cancel | wire.Confirm):
            with self._lock:
                lane = self.running.get(order.key)
                if lane is None:
                    return
                if isinstance(order, wire.Stop):
                    lane.context.request_stop()
                elif isinstance(order, wire.Confirm):
                    lane.confirmed = max(lane.confirmed, order.number)
                    if lane.context.outbox is not None:
                        lane.context.outbox.confirmed(order.number)
            self._loop.call_soon_threadsafe(lane.cancel if isinstance(order, wire.Cancel) else lane.news.set)

    def look(self, now: int) -> None:
        """Find out whether a coroutine holds up the loop; ``now`` in nanoseconds of the monotonic clock."""
        if not self._serving:
            return
        if self._answered:
            self._answered, self._asked_at = False, now
            self._loop.call_soon_threadsafe(self._answer)
        elif now - self._asked_at > BLOCKED_NS:
            task = asyncio.current_task(self._loop)
            for lane in list(self.running.values()):
                if task is lane.task or (task is not None and task in lane.tasks):
                    self.page.block(lane.job.key)

    def _answer(self) -> None:
        self._answered = True
        self.page.block(-1)

    def unsaved(self, now: int, tick: int, waiting: Lane | None) -> Iterator[bytes]:
        """Yield the checkpoints that are to be told, ``waiting``'s in any case; under the lock."""
        for key, lane in self.running.items():
            waits = lane is waiting
            if waits or now - lane.checkpointed >= tick:
                unsaved = lane.context.unsaved(again=waits)
                if unsaved is not None:
                    lane.checkpointed = now
                    state, number, covered = unsaved
                    item = JobCheckpointed(key=key, state=state, number=number, wait=waits, covered=covered)
                    yield wire.encode_item(item)
                    if lane.context.outbox is not None:
                        lane.context.outbox.told(number, covered)

    def emitted(self) -> Iterator[JobEmitted]:
        """Yield the records that children have emitted and that are not sent; under the lock."""
        for key, lane in self.running.items():
            if lane.context.outbox is not None:
                yield from lane.context.outbox.take(key)
