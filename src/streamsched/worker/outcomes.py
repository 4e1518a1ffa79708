"""What becomes of a child, in the words of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsched.domain import events as e
from streamsched.domain.failure_rules import WORKER_LOST
from streamsched.domain.ids import CAUSES, writer_level
from streamsched.domain.options import index_of
from streamsched.domain.validation import validate
from streamsched.log.event_reader import blame
from streamsched.log.port import AppendRefused, Record
from streamsched.runtime.clock_check import LogClock
from streamsched.runtime.identity import E, Identity
from streamsched.worker.jobs import Emitted, Job, JobCompleted, JobFailed, Running
from streamsched.worker.pending import Child
from streamsched.worker.recovery import BEGAN_ALONE, handed_over


class Outcomes:
    """Makes the events of one worker's children."""

    def __init__(self, me: Identity, clock: LogClock) -> None:
        self._me = me
        self._clock = clock

    def job(self, child: Child, key: int) -> Job:
        """Make the job of a child's next attempt, from the latest state, durable or not: older ones are of the past."""
        work = child.work
        sequence, state = child.latest
        return Job(
            key, work.task_id, work.child, child.attempt, work.handler, work.args, state, sequence, child.token,
            work.timeout, work.heartbeat, work.options, work.traceparent,
        )  # fmt: skip

    def started(self, child: Child) -> e.ChildStarted:
        """Make the event of a child that has been running for a while."""
        return self._sign(e.ChildStarted, child)

    def running(self, child: Child, job: Running) -> e.RunningChild:
        """Return how far it is, for a heartbeat."""
        work = child.work
        return e.RunningChild(
            work.task_id, index_of(work.child, work.options), child.attempt, self.right(job.started_at), job.done,
            job.total,
        )  # fmt: skip

    def completed(self, child: Child, news: JobCompleted) -> e.ChildCompleted:
        """Make the event of a handler that returned."""
        work, shift, sequence = child.work, self._clock.shift_ms, child.sequence
        if child.unsaved.records and child.unsaved.page:  # it stands before this event
            sequence += 1
        return e.ChildCompleted(
            self._me.ids(), news.finished_at - shift, self._me.name, work.task_id, work.child, work.ordinal,
            child.attempt, child.token, news.started_at - shift, sequence, news.result,
        )  # fmt: skip

    def failed(self, child: Child, news: JobFailed) -> e.ChildFailed:
        """Make the event of a failed attempt, with its last state, and its cause where the scheduler can read that."""
        sequence, state = child.latest
        is_read = writer_level(child.work.event_id) >= CAUSES
        return self._sign(
            e.ChildFailed, child, started_at=self.right(news.started_at), sequence=sequence, state=state,
            reason=news.reason, error_type=news.error_type, message=news.message, traceback=news.traceback,
            retryable=news.retryable, delay=news.delay_ms,
            cause=_cause(news) if is_read else None, output=news.output or None if is_read else None,
        )  # fmt: skip

    def worker_lost(self, child: Child) -> e.ChildFailed:
        """Fail it: it took down one worker after another, the last one while it ran alone."""
        return self._sign(
            e.ChildFailed, child, started_at=self._me.clock.now(), sequence=child.sequence, state=child.state,
            reason=WORKER_LOST, error_type="WorkerLost", traceback="", retryable=False, delay=None,
            message=f"its worker died {BEGAN_ALONE} times while it held this child, the last time running nothing else",
        )  # fmt: skip

    def refused(self, child: Child, error: AppendRefused) -> e.ChildFailed:
        """Fail it: the log refuses what it emitted. What was told and not written is as if it had never been."""
        return self._sign(
            e.ChildFailed, child, started_at=self._me.clock.now(), sequence=child.sequence, state=child.state,
            reason="error", error_type="EmitRefused", traceback="", retryable=error.missing, delay=None,
            message=str(error)[:1000],
        )  # fmt: skip

    def poisoned(self, record: Record, reason: str) -> e.ChildFailed | None:
        """Fail the child that the headers of an unreadable record name, if they name one."""
        blamed = blame(record.headers)
        if blamed is None:
            return None
        task_id, child, ordinal = blamed
        now = self._me.clock.now()
        failure = self._me.sign(
            e.ChildFailed, task_id=task_id, child=child, ordinal=ordinal, attempt=1, token=0,
            started_at=now, sequence=0, state=None, reason="poison", error_type="Undecodable", message=reason,
            traceback="", retryable=False, delay=None,
        )  # fmt: skip
        return failure if validate(failure) is None else None

    def cancelled(self, child: Child, started_at: int, reason: str) -> e.ChildCancelled:
        """Make the event of a child that was stopped on request."""
        sequence, state = child.latest
        return self._sign(e.ChildCancelled, child, started_at=started_at, sequence=sequence, state=state, reason=reason)

    def returned(self, child: Child, reason: str, why: e.Why | None = None) -> e.ChildReturned:
        """Make the event that returns a child with its last state: it does not run here (any more)."""
        sequence, state = child.latest
        recoveries = handed_over(child) if child.unsaved.state is None else 0
        return self._sign(
            e.ChildReturned, child, sequence=sequence, state=state, recoveries=recoveries, reason=reason, why=why
        )  # fmt: skip

    def yielded(self, child: Child, reason: str) -> e.ChildYielded:
        """Make the event of a child that stopped at a safe point; its continuation stays in the work log."""
        return self._sign(e.ChildYielded, child, sequence=child.latest[0], reason=reason)

    def checkpointed(self, child: Child) -> e.ChildCheckpointed:
        """Make the new resume point, without the work: for the journal."""
        sequence, state = child.latest
        return self._sign(e.ChildCheckpointed, child, sequence=sequence, state=state, recoveries=0, work=None)

    def page(self, child: Child, entries: Sequence[Emitted]) -> e.TaskPlanProgressed:
        """Make the event of what a splitter has found: children, and its new resume point."""
        state = child.latest[1] or "null"
        found = "\n".join([(entry.value or b"").decode() for entry in entries])
        return self._sign(
            e.TaskPlanProgressed, child, redrive=0, cursor=state, basis=0, sequence=child.sequence + 1,
            first=1 + entries[0].partition, count=len(entries), entries=found,
        )  # fmt: skip

    def continuation(self, child: Child, state: tuple[int, str | None], *, recoveries: int) -> e.ChildCheckpointed:
        """Make the record that replaces the child's record: it holds all that is needed to continue from this state."""
        sequence, text = state
        return self._sign(
            e.ChildCheckpointed, child, sequence=sequence, state=text, recoveries=recoveries, work=child.work
        )  # fmt: skip

    def right(self, machine_time: int) -> int:
        """Put a time of this machine right, in milliseconds."""
        return machine_time - self._clock.shift_ms

    def _sign(self, cls: type[E], child: Child, **fields: Any) -> E:
        work = child.work
        return self._me.sign(
            cls, task_id=work.task_id, child=work.child, ordinal=work.ordinal, attempt=child.attempt, token=child.token,
            **fields,
        )  # fmt: skip


def _cause(news: JobFailed) -> e.Cause | None:
    """Return what is told of the error itself; None where the pool ended the job."""
    if not news.error_types:
        return None
    return e.Cause(news.error_types, news.exit_code, news.fingerprint, news.frames)
