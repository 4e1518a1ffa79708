"""What events do to the limits of a task: people change them, dispatches use them up, a deadline ends the task."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.limits import work_in
from streamsched.domain.phases import Phase
from streamsched.domain.stages import advance, judge_tolerance
from streamsched.domain.task import Task


def limits_changed(task: Task, event: e.TaskLimitsChanged) -> bool:
    """Replace limits; a lower tolerance may fail the task at once."""
    if event.redrive != task.redrive or task.terminal:
        return False
    task.limits = task.limits.changed(event)
    if event.tolerate is not None and task.phase is Phase.RUNNING:
        task.reason = ""  # that more had failed than it tolerated before
        judge_tolerance(task)
        advance(task, event.at)
    return True


def timer_fired(task: Task, event: e.TimerFired) -> bool:
    """Fail a running task whose deadline is over: a later one may have landed since the basis of the decision."""
    deadline = task.limits.deadline
    if task.phase is not Phase.RUNNING or not deadline or deadline > event.due:
        return False
    from streamsched.domain.calendar import moment  # late: it loads the time zones, which 'status' does without

    task.enter(Phase.FAILING)
    task.reason = f"its deadline {moment.write(deadline)} has passed"
    advance(task, event.at)
    return True


def set_deadline(task: Task, event: e.TaskPlanned) -> None:
    """Let the deadline of the plan hold, unless people have set one before it."""
    if task.limits.deadline is None:
        task.limits = replace(task.limits, deadline=event.deadline or 0)


def charge(task: Task, releases: Iterable[e.Release], at: int) -> None:
    """Count the work children of these releases against the rate."""
    if task.limits.rate.count and (children := work_in(releases, range(task.split, task.work_end))):
        task.limits = task.limits.charged(at, children)
