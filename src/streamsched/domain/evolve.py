"""``evolve``: what each event of the journal does to the state of its task. Pure, total, and the only writer.

An event that cannot have an effect (a second request, an outcome of a dispatch that has ended, a cancel of another
redrive) is *void*: counted, otherwise without a trace. So a journal that repeats itself folds to the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamsched.domain import events as e
from streamsched.domain.bounds import CHILDREN_LIMIT, LAST_ORDINAL
from streamsched.domain.failure_rules import FAIL_TASK, POISON, RETRY, SKIP, SKIPPED, WORKER_LOST, decision
from streamsched.domain.holding import cancel_requested, paused
from streamsched.domain.limiting import charge, limits_changed, set_deadline, timer_fired
from streamsched.domain.phases import CLOSING, VERDICTS, ChildState, Phase, Told
from streamsched.domain.policy import RetryPolicy
from streamsched.domain.redriving import redriven, selected
from streamsched.domain.stages import advance, judge_failure, seal
from streamsched.domain.task import MARK_MS, ChildDetail, Load, Task

_SUCCEEDED = ChildState.SUCCEEDED  # a member costs 0.1 us each time it is asked of its enum


def evolve(task: Task | None, event: e.Event, load: Load) -> Task | None:
    """Apply one event, in the journal's order. The given task is consumed: use the one returned.

    ``load`` counts the live children of all tasks for each partition; it is an index, not part of the state.
    """
    if task is None:
        return Task(event, load) if isinstance(event, e.TaskRequested) else None
    known: Any = event
    apply = _APPLY.get(type(event))
    if apply is not None:
        live = type(event) not in _OF_DISPATCH or task.is_current(known.child, known.ordinal)
        task.void += not (live and apply(task, known))
    return task


def _planned(task: Task, event: e.TaskPlanned) -> bool:
    if task.plan or task.phase not in (Phase.REQUESTED, Phase.PLANNING, *CLOSING):
        return False
    task.plan = event.plan
    task.digest = event.digest
    task.split, task.fan_in = event.split, event.fan_in
    task.work = event.children
    task.work_end = event.split + event.children
    task.children = task.work_end if event.split else task.work_end + event.fan_in
    # Without work children the reduce may have been dispatched with the plan, whatever has come between.
    task.bound = task.work_end or task.children
    task.started_at = event.at
    task.marks = [[event.at, 0]]
    set_deadline(task, event)
    if task.phase not in CLOSING:
        task.enter(Phase.RUNNING)
    advance(task, event.at)
    return True


def _plan_progressed(task: Task, event: e.TaskPlanProgressed) -> bool:
    """Take in a page, in any phase: it adds work children and is a checkpoint of the split child, or it is void."""
    detail = task.detail(event.child)
    if event.child or not task.split or event.sequence != detail.sequence + 1:
        return False
    if event.count < 1 or event.first != task.work_end or task.work + event.count > CHILDREN_LIMIT:
        return False
    task.add_page(event.first, event.count, event.entries)
    detail.sequence = event.sequence
    detail.state = event.cursor
    detail.recoveries = 0
    detail.worker = event.by
    return True


def _refused(task: Task, event: e.TaskRefused) -> bool:
    if event.request != task.request.event_id or task.phase not in (Phase.REQUESTED, Phase.PLANNING):
        return False
    task.enter(Phase.REFUSED)
    task.reason = event.reason
    task.finished_at = event.at
    return True


def _dispatched(task: Task, event: e.ChildrenDispatched) -> bool:
    accepted = [release for release in event.releases if task.release(release)]
    task.reopened = task.reopened or bool(accepted)
    charge(task, accepted, event.at)
    if task.failures:
        for child in (child for release in accepted for child in range(release.first, release.last + 1)):
            detail = task.detail_of(child)
            if detail.final:
                detail.final = False
                task.failures.end(detail.group, -1)
    task.new_dispatches.update((release.last, event.at) for release in accepted if release.ordinal == 1)
    return bool(accepted)


def _stopping(task: Task, event: e.ChildrenStopping) -> bool:
    level, raised = Told[event.mode.upper()], False
    for release in event.releases:
        for child in range(release.first, min(release.last + 1, task.children)):
            if task.is_current(child, release.ordinal) and task.tell(child, level):
                raised = True
                if level >= Told.CANCEL:
                    task.detail(child).reason = event.reason
    return raised


def _rest_cancelled(task: Task, event: e.ChildrenCancelled) -> bool:
    cancelled = task.cancelled
    for span in event.spans:
        task.cancel_idle(span)
    advance(task, event.at)
    return task.cancelled > cancelled


def _checkpointed(task: Task, event: e.ChildCheckpointed) -> bool:
    detail = task.detail(event.child)
    if event.sequence <= detail.sequence or (
        task.split and not event.child and event.sequence > detail.sequence + 1  # the page between them was lost
    ):
        return False
    detail.sequence = event.sequence
    detail.state = event.state
    detail.recoveries = event.recoveries
    detail.worker = event.by
    return True


def _started(task: Task, event: e.ChildStarted) -> bool:
    detail = task.detail(event.child)
    detail.started_at, detail.finished_at = event.at, None
    detail.worker = event.by
    task.refusal = ""
    return True


def _completed(task: Task, event: e.ChildCompleted) -> bool:
    splits = task.split and not event.child
    if splits and event.sequence != task.detail(0).sequence:
        return _failed(task, _pages_missing(event))
    task.settle(event.child, _SUCCEEDED)
    task.succeeded += 1
    detail = _ended(task, event)
    detail.result = event.result
    detail.state = detail.reason = None
    if detail.error_type is None:
        detail.message = None  # it is about a return, not a failure
    if event.sequence > detail.sequence:
        detail.sequence = event.sequence
    if splits:
        seal(task)
    advance(task, event.at)
    return True


def _pages_missing(event: e.ChildCompleted) -> e.ChildFailed:
    """Return what becomes of a split child that ends behind a page that is not there: it goes on from the last one."""
    return e.ChildFailed(
        event.event_id, event.at, event.by, event.task_id, event.child, event.ordinal, event.attempt, event.token,
        event.started_at, event.sequence, None, "error", "PagesMissing", "a page of it was set aside", "", True, None,
    )  # fmt: skip


def _failed(task: Task, event: e.ChildFailed) -> bool:
    """Take in a failed attempt: the first rule that matches says what becomes of a work child, else its retries do."""
    stopping = task.told_of(event.child) >= Told.CANCEL
    known = task.detail_of(event.child)
    # A record that could not be read tells neither its attempt nor its sequence.
    number, told = (known.attempt, known.sequence) if event.reason == POISON else (event.attempt, event.sequence)
    detail = _ended(task, event)
    retry = task.spec_of(event.child).retry
    # Of a split child counts what stands before its outcome, as a page or a checkpoint: else a lost page is skipped.
    sequence = detail.sequence if task.split and not event.child else told
    progressed = sequence > detail.failed_at_sequence
    attempt = 1 if progressed and retry.reset_on_progress else number
    _keep_state(task, detail, event)
    detail.failed_at_sequence = sequence
    if event.reason == WORKER_LOST:
        detail.recoveries = 0  # what runs again, by a rule or a redrive, has taken no worker down yet
    detail.reason = event.reason
    detail.error_type = event.error_type
    detail.message = event.message
    detail.traceback = event.traceback
    _group(task, event.child, event.at, event.cause.fingerprint if event.cause is not None else "")
    do = decision(task.template.failure.rules, event) if task.is_work(event.child) else None
    again = (
        (do == RETRY or (do is None and _is_retryable(retry, event)))
        and event.ordinal < LAST_ORDINAL
        and (retry.max_attempts == 0 or attempt < retry.max_attempts)
    )
    if do == SKIP:
        detail.reason = SKIPPED
    if do == SKIP or (again and stopping):
        _cancel_live(task, event.child, event.at)
    elif again:
        detail.attempt = attempt + 1
        salt = f"{task.task_id}/{event.child}/{event.ordinal}"
        delay = retry.delay_ms(attempt, salt) if event.delay is None else event.delay
        task.settle(event.child, ChildState.DUE)
        task.wait_until(event.child, event.at + delay)
    else:
        _fail_live(task, event.child, event.at, fatal=do == FAIL_TASK)
    return True


def _is_retryable(retry: RetryPolicy, event: e.ChildFailed) -> bool:
    types = event.cause.error_types if event.cause is not None else ()
    return event.retryable and not retry.rules_out(event.error_type, types)


def _group(task: Task, child: int, at: int, fingerprint: str = "") -> None:
    """Count a failed attempt, which its detail tells, among those of one cause."""
    detail = task.detail(child)
    error_type, message = detail.error_type or "", detail.message or ""
    detail.group = task.failures.add(fingerprint, child, at, error_type=error_type, message=message)


def _cancelled(task: Task, event: e.ChildCancelled) -> bool:
    detail = _ended(task, event)
    _keep_state(task, detail, event)
    detail.reason = event.reason
    _cancel_live(task, event.child, event.at)
    return True


def _returned(task: Task, event: e.ChildReturned) -> bool:
    detail = task.detail(event.child)
    detail.attempt = event.attempt
    detail.recoveries = event.recoveries
    _keep_state(task, detail, event)
    why = event.why
    if why is None:
        _come_back(task, event.child, event.at)
        return True
    detail.reason, detail.error_type, detail.message, detail.traceback = why.code, None, why.detail, None
    task.refusal = f"{event.by}: {why.detail}"
    if task.limits.rate.count and not why.begun and task.is_work(event.child):
        task.limits = task.limits.refunded()
    # Without a wait the time is 0, for the clock of the worker may be ahead.
    _come_back(task, event.child, event.at, due=event.at + why.retry_after if why.retry_after else 0)
    return True


def _partition_reset(task: Task, event: e.PartitionReset) -> bool:
    if not task.load[event.partition]:
        return False
    lost = [child for child in task.live_children() if task.partition_of(child) == event.partition]
    for child in lost:
        _come_back(task, child, event.at)
    return bool(lost)


def _task_ended(task: Task, event: e.TaskEnded) -> bool:
    if task.phase is not ENDS[type(event)] or event.redrive != task.redrive:
        return False
    task.enter(VERDICTS[task.phase])
    if task.finished_at is None:
        task.finished_at = event.at
    return True


def _ended(task: Task, event: e.ChildCompleted | e.ChildFailed | e.ChildCancelled) -> ChildDetail:
    """Note who ran the attempt and how long it took, which decides how many children a worker holds."""
    detail = task.detail(event.child)
    detail.attempt = event.attempt
    detail.started_at = event.started_at
    detail.finished_at = event.at
    detail.worker = event.by
    task.refusal = ""
    if task.is_work(event.child):
        if event.at > event.started_at:
            task.busy_ms += event.at - event.started_at
        task.measured += 1
        if event.at >= task.marks[-1][0] + MARK_MS:
            task.mark(event.at)
    return detail


def _keep_state(task: Task, detail: ChildDetail, event: e.ChildFailed | e.ChildCancelled | e.ChildReturned) -> None:
    if event.sequence >= detail.sequence and (event.child or not task.split):
        detail.sequence = event.sequence
        detail.state = event.state


def _come_back(task: Task, child: int, at: int, *, due: int = 0) -> None:
    """Dispatch a live child again when it is due, unless it was told to stop or has used its last ordinal."""
    if task.told_of(child) >= Told.CANCEL:
        _cancel_live(task, child, at)
    elif task.ordinal_of(child) < LAST_ORDINAL:
        task.settle(child, ChildState.DUE)
        task.wait_until(child, due)
        task.detail(child).started_at = None
    else:
        detail = task.detail(child)
        detail.reason, detail.error_type = "returned", "TooManyDispatches"
        detail.message = f"it came back from each of {LAST_ORDINAL} dispatches"
        _group(task, child, at)
        _fail_live(task, child, at)


def _fail_live(task: Task, child: int, at: int, *, fatal: bool = False) -> None:
    task.settle(child, ChildState.FAILED)
    task.failed += 1
    detail = task.detail(child)
    detail.final = True
    task.failures.end(detail.group, 1)
    judge_failure(task, child, fatal=fatal)
    advance(task, at)


def _cancel_live(task: Task, child: int, at: int) -> None:
    task.settle(child, ChildState.CANCELLED)
    task.cancelled += 1
    advance(task, at)


ENDS: dict[type[e.Event], Phase] = {
    e.TaskSucceeded: Phase.SUCCEEDING,
    e.TaskFailed: Phase.FAILING,
    e.TaskCancelled: Phase.CANCELLING,
}
"""The terminal events, and the closing phase that each one ends."""
_APPLY: dict[type[e.Event], Callable[[Task, Any], bool]] = {
    e.TaskRequested: lambda task, event: False,
    e.TaskPlanned: _planned,
    e.TaskRefused: _refused,
    e.TaskLimitsChanged: limits_changed,
    e.TimerFired: timer_fired,
    e.ChildrenDispatched: _dispatched,
    e.ChildrenStopping: _stopping,
    e.ChildrenCancelled: _rest_cancelled,
    e.ChildStarted: _started,
    e.ChildCheckpointed: _checkpointed,
    e.ChildCompleted: _completed,
    e.ChildFailed: _failed,
    e.ChildCancelled: _cancelled,
    e.ChildReturned: _returned,
    e.TaskPlanProgressed: _plan_progressed,
    e.PartitionReset: _partition_reset,
    e.TaskCancelRequested: cancel_requested,
    e.TaskPaused: paused,
    e.TaskRedriven: redriven,
    e.ChildrenSelected: selected,
    **dict.fromkeys(ENDS, _task_ended),
}
_OF_DISPATCH = frozenset({e.TaskPlanProgressed, *(kind for kind in _APPLY if issubclass(kind, e.WorkerEvent))})
"""Void unless they are about the live dispatch of their child."""
