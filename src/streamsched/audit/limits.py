"""Decisions about limits: no timer before its time, no dispatch above parallelism, rate or deadline (invariant 10)."""

from __future__ import annotations

from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.limits import Limits, deadline_of, work_in, write_rate
from streamsched.domain.phases import Phase
from streamsched.domain.task import Task


def too_early(task: Task, event: e.TimerFired) -> Fault | None:
    """Find a timer that fires for a time to come, or for none of the limits of its task."""
    deadline = task.limits.deadline or 0
    if deadline <= event.due <= event.at:
        return None
    return Fault(10, None, f"at basis {event.basis} limits up to {deadline}, by {event.at}", f"due {event.due}")


def unheard(task: Task, event: e.TimerFired) -> Fault | None:
    """Find a timer that had no effect, though the task runs and its deadline has not moved."""
    if task.phase is not Phase.RUNNING or not task.limits.deadline or task.limits.deadline > event.due:
        return None
    return Fault(10, None, f"an effect of TimerFired: the deadline is {task.limits.deadline}", "no effect")


def too_many(event: e.ChildrenDispatched, limits: Limits, live: int, work: range) -> Fault | None:
    """Find more work children than parallelism and rate let go at the basis, beside so many live ones."""
    count = work_in(event.releases, work)
    room = limits.room(live, event.at)
    if count <= room:
        return None
    rate = f", rate {write_rate(limits.rate)}" if limits.rate.count else ""
    limit = f"parallelism {limits.parallelism or 'any'}{rate}, {live} live"
    return Fault(10, None, f"at basis {event.basis} at most {room} work children: {limit}", f"{count} dispatched")


def first_too_many(task: Task, planned: e.TaskPlanned, event: e.ChildrenDispatched) -> Fault | None:
    """Find the same in the first dispatch of a plan, or that the plan left no time for it."""
    deadline = planned.deadline if task.limits.deadline is None else task.limits.deadline
    if deadline and deadline <= event.at:
        return Fault(10, None, f"no dispatch at basis {event.basis}: the deadline is {deadline}", f"at {event.at}")
    return too_many(event, task.limits, 0, range(planned.split, planned.split + planned.children))


def other_deadline(task: Task, event: e.TaskPlanned) -> Fault | None:
    """Find a plan with another deadline than that of the template, which people or a redrive may have replaced."""
    due = deadline_of(task.template.deadline_ms, task.request.at, event.at)
    if event.deadline == due or (event.deadline is None and task.limits.deadline is not None):
        return None
    return Fault(2, None, f"a deadline at {due} by its request", f"{event.deadline} in TaskPlanned")
