"""The children of a worker, from the record that was read to what becomes of them.

``intents.py`` has the table of that, ``runtime/lifecycle.py`` the drawing of a drain. A drained worker *returns* its
children, each as soon as it has stopped: they are dispatched anew, and none waits for the slowest, nor for the group to
move the partitions. Children of a revoked partition stay in it, for the next owner: the scheduler need not know.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final

from streamsched.domain.events import Why
from streamsched.log.port import AppendRefused
from streamsched.runtime.identity import Identity
from streamsched.runtime.lifecycle import WorkerState, transition
from streamsched.worker import jobs, told
from streamsched.worker.fitness import Fitness
from streamsched.worker.intents import EndingKind, Outcome, StopIntent, outcome_of
from streamsched.worker.kill_reason import protocol_error
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.outlet import Outlet
from streamsched.worker.pending import Child, ReadyQueue
from streamsched.worker.progress import NOTHING, Unsaved
from streamsched.worker.recovery import Recovery, handed_over
from streamsched.worker.settlement import Settlement
from streamsched.worker.timing import WorkerTiming

logger = logging.getLogger(__name__)

LAST_TENTH: Final = 0.9
"""Part of the time to yield after which a child is killed: what it reported is still written."""
_ENDINGS: Final[dict[type[jobs.News], EndingKind]] = {
    jobs.JobReturned: EndingKind.UNBEGUN,
    jobs.JobStopped: EndingKind.STOPPED,
    jobs.JobFailed: EndingKind.FAILED,
    jobs.JobCompleted: EndingKind.COMPLETED,
}


class Children:
    """Starts the children of one worker, stops them, and passes on how each ends."""

    def __init__(
        self,
        *,
        me: Identity,
        pool: jobs.Pool,
        timing: WorkerTiming,
        fitness: Fitness,
        outcomes: Outcomes,
        settlement: Settlement,
        outlet: Outlet,
    ) -> None:
        self._me = me
        self._outlet = outlet
        self._pool = pool
        self._timing = timing
        self._fitness = fitness
        self._outcomes = outcomes
        self._settlement = settlement
        self._ready = ReadyQueue()
        self._recovery = Recovery(count=settlement.recover, fail=self._lost)
        self._keys = count(1)
        self._wanted = StopIntent.NONE
        self._deadline = float("inf")
        self._asked = 0
        self._obeyed = 0
        self._grace_s = {
            StopIntent.REVOKE: LAST_TENTH * timing.hand_over,
            StopIntent.YIELD: LAST_TENTH * timing.drain,
            StopIntent.CANCEL: timing.cancel,
            StopIntent.KILL: 0.0,
        }
        """How long a job may take to stop; by other intents it is not stopped."""
        self.state = WorkerState.RUNNING
        self.running: dict[int, Child] = {}
        """What the pool holds, by the keys of the jobs."""
        self.unsaved: set[int] = set()
        """Jobs that may have a checkpoint which is not durable yet."""

    # --- start ------------------------------------------------------------------------------------------------------

    def begin(self, child: Child) -> None:
        """Queue a child that was just read, return it, or hold it back for recovery."""
        handler = child.work.handler
        if self._wanted:
            self.stop(child, self._wanted, "its worker drains")
        elif (
            (handler not in self._fitness.allowed and (why := self._fitness.lack(child.work.task_id, handler)))
            or (child.work.options is not None and (why := self._fitness.unknown(child.work)))
            or (
                (child.work.terms is not None or self._fitness.chooses) and (why := self._fitness.misplaced(child.work))
            )
        ):
            self._resolve(child, EndingKind.LACKING, why=why)
        elif not self._recovery.hold_back(child):
            self._ready.put(child)

    def feed(self) -> None:
        """Submit as many children as the pool has room for, unless the worker is to end."""
        ends = self.state is not WorkerState.RUNNING or self._asked > self._obeyed
        room = 0 if ends else self._pool.room()
        if room <= 0:
            return
        self._recovery.advance(room)
        if not self._recovery.claims_worker:
            self._submit(self._ready.take(room, self._in_slots))
        elif self._pool.busy() == 0 and (child := self._recovery.next_alone()):
            self._submit([child])

    def _in_slots(self) -> Iterator[Child]:
        """Yield the children that run in a slot now, of all that the pool holds."""
        return (child for each in self._pool.running() if (child := self.running.get(each.key)) is not None)

    def _submit(self, children: Sequence[Child]) -> None:
        submitted = []
        now = self._me.clock.monotonic()
        for child in children:
            key = child.key = next(self._keys)
            child.next_checkpoint = now + self._timing.checkpoint
            self.running[key] = child
            if child.unsaved is not NOTHING:
                child.unsaved = child.unsaved.again()
                self.unsaved.add(key)
            submitted.append(self._outcomes.job(child, key))
        self._pool.submit(submitted)

    def durable(self, child: Child, written: Unsaved) -> None:
        """Release a handler that waited for its checkpoint, and room for what it emits."""
        child.next_checkpoint = self._me.clock.monotonic() + self._timing.checkpoint
        if child.key is not None and (written.waits or written.covered):
            self._pool.confirm(child.key, written.number)

    def recovered(self, child: Child) -> None:
        """Queue a child whose recovery is counted, unless it is to run alone."""
        if not child.gone and self._recovery.counted(child):
            self._ready.put_back(child)

    # --- stop -------------------------------------------------------------------------------------------------------

    def stop(self, child: Child, intent: StopIntent, reason: str) -> None:
        """Give a child an intent, and act on it: at once where it waits to begin, else through its job."""
        if intent > child.intent:
            child.intent, child.reason = intent, reason
        if child.key is None:
            self._resolve(child, EndingKind.UNBEGUN)
        elif intent in self._grace_s:
            self._pool.stop(child.key, self._grace_s[intent])

    def ask(self) -> None:
        """Ask for the end: the first time for a graceful one, then for one now. ``obey`` does it."""
        self._asked += 1

    def obey(self) -> bool:
        """Do what was asked since the last time; returns whether there was anything."""
        asked = self._asked
        for _ in range(self._obeyed, asked):
            self._begin_end()
        news, self._obeyed = asked != self._obeyed, asked
        return news

    def _begin_end(self) -> None:
        if self.state is WorkerState.RUNNING:
            logger.info("draining: returning what has not begun, asking what runs to stop at its next checkpoint")
            self.state = transition(self.state, WorkerState.DRAINING)
            self._deadline = self._me.clock.monotonic() + self._timing.drain
        elif self.state is not WorkerState.STOPPED:
            logger.info("stopping now")
            self._deadline = self._me.clock.monotonic()

    def wind_down(self) -> None:
        """Make the next step of the drain."""
        for child in [*self._ready.drain(), *self._recovery.drain()]:
            self.stop(child, StopIntent.YIELD, "its worker drains")
        if self.state is WorkerState.DRAINING:
            self._ask_to_yield()
            self.state = transition(self.state, WorkerState.YIELDING)
        elif self.state is WorkerState.YIELDING:
            over = self._me.clock.monotonic() >= self._deadline
            if over:
                self._pool.kill(list(self.running))
                for child in self.running.values():
                    child.key = None
                    self._resolve(child, EndingKind.STOPPED)
                self.running.clear()
            if over or not (self.running or self._settlement):
                self.state = transition(self.state, WorkerState.STOPPED)

    def leave(self) -> None:
        """Take nothing new from now on: the worker leaves."""
        self.state = WorkerState.STOPPED
        self._ask_to_yield()

    def _ask_to_yield(self) -> None:
        self._wanted = StopIntent.YIELD
        for child in self.running.values():
            self.stop(child, StopIntent.YIELD, "its worker drains")

    def revoke(self, partitions: Collection[int], unbegun: Iterable[Child]) -> None:
        """Have what runs for these partitions yield, and leave to their next owner what has not begun there."""
        for child in [*self.of(partitions), *unbegun]:
            self.stop(child, StopIntent.REVOKE, "revoke")

    def of(self, partitions: Collection[int]) -> list[Child]:
        """List what the pool holds of these partitions."""
        return [child for child in self.running.values() if child.partition in partitions]

    def drop(self, partitions: Collection[int]) -> None:
        """Kill what runs for these partitions."""
        dead = [key for key, child in self.running.items() if child.partition in partitions]
        self._pool.kill(dead)
        for key in dead:
            del self.running[key]

    # --- end --------------------------------------------------------------------------------------------------------

    def on_news(self, news: jobs.News) -> None:
        """Take in what the pool reports of a job."""
        child = self.running.get(news.key)
        if child is None:
            return
        if isinstance(news, jobs.REPORTS):
            self._reported(child, news)
            return
        del self.running[news.key]
        child.key = None
        if news.state is not None or child.unsaved.records:
            unsaved = child.unsaved.ended(news)
            if unsaved.fault:
                self._break(child, news.key, unsaved.fault)
                return
            child.unsaved = unsaved
        why = None
        if type(news) is jobs.JobFailed and news.lack:
            why = self._fitness.lacked(child.work.task_id, child.work.handler, news.lack, news.message)
        self._resolve(child, _ENDINGS[type(news)] if why is None else EndingKind.LACKING, news, why)

    def _lost(self, child: Child) -> None:
        """Fail a child that takes down its workers, with its durable state and nothing else."""
        child.unsaved = NOTHING
        self._settlement.ended(child, self._outcomes.worker_lost(child))

    def refused(self, child: Child, error: AppendRefused) -> None:
        """Fail a child of which the log refuses a record, with its durable state, whatever else was to become of it."""
        fields = told.whose(child, self._me.name)
        logger.warning("child %d of %s fails: %s", fields["child"], child.work.task_id, error, extra=fields)
        if child.key is not None:
            self._pool.kill([child.key])
            del self.running[child.key]
            child.key = None
        self._settlement.take_back(child)
        child.unsaved = NOTHING
        self._settlement.ended(child, self._outcomes.refused(child, error))

    def _reported(self, child: Child, news: jobs.News) -> None:
        """Take in what a job has emitted, or a state; end it where our own code would not have said so."""
        if isinstance(news, jobs.JobEmitted):
            unsaved = child.unsaved.emitted(news.records)
            fault = self._outlet.fault(unsaved, news.records, splits=child.splits)
        else:
            assert isinstance(news, jobs.JobCheckpointed)  # noqa: S101 - the pool answers other questions
            unsaved = child.unsaved.told(news.state, news.number, news.wait, news.covered)
            fault = unsaved.fault
            self.unsaved.add(news.key)
        if fault:
            self._pool.kill([news.key])
            del self.running[news.key]
            child.key = None
            self._break(child, news.key, fault)
        else:
            child.unsaved = unsaved

    def _break(self, child: Child, key: int, fault: str) -> None:
        """Fail an attempt whose executor said what our own code does not say."""
        now = self._me.clock.now()
        self._resolve(child, EndingKind.FAILED, protocol_error(fault, key, now, now))

    def _resolve(self, child: Child, ending: EndingKind, news: Any = None, why: Why | None = None) -> None:
        """Do with a child what the table says; ``news`` is of its job, if it had one."""
        outcomes, settlement = self._outcomes, self._settlement
        match outcome_of(ending, child.intent):
            case Outcome.COMPLETE:  # first, as most do
                settlement.ended(child, outcomes.completed(child, news))
            case Outcome.START:
                if child.gone:  # a later record has replaced it while the pool had its job
                    settlement.ended(child)
                elif not self._recovery.hold_back(child):
                    self._ready.put_back(child)
            case Outcome.RETURN:
                reason = child.reason if why is None else "its worker cannot run it"
                settlement.ended(child, outcomes.returned(child, reason, why))
            case Outcome.FAIL:
                settlement.ended(child, failure := outcomes.failed(child, news))
                told.failed(child, failure)
            case Outcome.CANCEL:
                began = ending is not EndingKind.UNBEGUN and news is not None
                started_at = outcomes.right(news.started_at) if began else self._me.clock.now()
                settlement.ended(child, outcomes.cancelled(child, started_at, child.reason))
            case Outcome.YIELD:
                settlement.note(child, outcomes.yielded(child, child.reason))
                if child.unsaved.state is not None:
                    settlement.checkpoint(child)
                else:
                    settlement.recover(child, handed_over(child))
                child.gone = True
            case Outcome.LEAVE:
                child.gone = True
                settlement.recover(child, handed_over(child))  # the next owner, who sees a release, counts nothing
