"""Why a child does not run."""

from __future__ import annotations

from typing import Final

from streamsched.domain.phases import CLOSING, LIVE, ChildState, Told
from streamsched.domain.task import ChildDetail
from streamsched.queries.causes.facts import Cause, Facts, Said, number_of, room
from streamsched.queries.causes.tasks import clock, halted, held, limited, nodes, room_missing, selecting
from streamsched.queries.documents import rfc3339
from streamsched.queries.presence import named_children


def _child_succeeded(facts: Facts) -> Said | None:
    return Said("succeeded", "it has succeeded") if facts.task.state_of(facts.child) is ChildState.SUCCEEDED else None


def _child_failed(facts: Facts) -> Said | None:
    if facts.task.state_of(facts.child) is not ChildState.FAILED:
        return None
    again = f"when the task has ended, {facts.redrive}" if not facts.task.terminal else facts.redrive
    return Said(
        "failed", f"it failed in attempt {facts.detail.attempt}, {_error(facts.detail)}", f"mend that, then {again}"
    )


def _child_cancelled(facts: Facts) -> Said | None:
    if facts.task.state_of(facts.child) is not ChildState.CANCELLED:
        return None
    why = facts.detail.reason or facts.task.reason or f"its task is {facts.status.state}"
    return Said("cancelled", f"it was cancelled, {why}", f"when the task has ended, {facts.redrive}")


def _child_stops(facts: Facts) -> Said | None:
    if LIVE.get(facts.task.state_of(facts.child), Told.NOTHING) < Told.CANCEL:
        return None
    return Said("stopping", f"it was told to stop, {facts.detail.reason or facts.task.reason}", "its worker")


def _child_runs(facts: Facts) -> Said | None:
    task, detail = facts.task, facts.detail
    if not task.is_current(facts.child, task.ordinal_of(facts.child)):
        return None
    if task.has_begun(facts.child) and detail.started_at is not None:
        return Said(
            "running", f"it runs at {detail.worker} since {rfc3339(detail.started_at)}, attempt {detail.attempt}"
        )
    if facts.child in named_children(task, facts.beats):
        return Said("running", f"it runs at {_owner(facts)}, attempt {detail.attempt}")
    return None


def _child_queued(facts: Facts) -> Said | None:
    task = facts.task
    if not task.is_current(facts.child, task.ordinal_of(facts.child)):
        return None
    owner = _owner(facts)
    if not owner:
        where = f"partition {task.partition_of(facts.child)} of the work log, which no worker that was seen lately owns"
        return Said("queued", f"it waits in {where}", "a worker takes it over")
    busy = [beat for beat in facts.beats if beat.name == owner and not beat.free]
    change = f"its {busy[0].slots:,} slots are busy; add workers" if busy else "the worker's next turn"
    return Said("queued", f"it is queued at worker {owner}", change)


def _child_of_closing(facts: Facts) -> Said | None:
    if facts.task.phase not in CLOSING:
        return None
    return Said("closing", f"its task is {facts.task.phase}, {facts.task.reason}", "it is cancelled next")


def _child_retries(facts: Facts) -> Said | None:
    if facts.task.state_of(facts.child) is not ChildState.DUE or facts.detail.due <= facts.now:
        return None
    why = f", {_error(facts.detail)}" if facts.detail.reason else ""
    return Said(
        "retry", f"it waits for attempt {facts.detail.attempt} until {rfc3339(facts.detail.due)}{why}", "that time"
    )


def _child_held(facts: Facts) -> Said | None:
    task = facts.task
    if facts.child < task.bound:
        return None
    left = task.bound - task.ended
    return Said(
        "stage",
        f"it waits until the {number_of(left)} before it have ended",
        "those (see 'streamsched children')",
    )


def _child_limited(facts: Facts) -> Said | None:
    return limited(facts) if facts.task.is_work(facts.child) and not facts.missing else None


def _child_returned(facts: Facts) -> Said | None:
    if facts.task.state_of(facts.child) is not ChildState.DUE or not facts.detail.message or facts.missing:
        return None
    return Said("returned", f"it came back, {_error(facts.detail)}", "its next dispatch is due")


def _child_waits(facts: Facts) -> Said | None:
    before = facts.child - facts.task.first_undispatched
    if before <= 0 or facts.missing:
        return None
    return Said("room", f"it waits for room at a worker, and {number_of(before)} go before it", room(facts))


CAUSES: Final[tuple[Cause, ...]] = (
    _child_succeeded, _child_failed, _child_cancelled, _child_stops, _child_runs, halted, clock, _child_queued,
    _child_of_closing, held, selecting, _child_held, _child_retries, _child_limited, _child_returned, _child_waits,
    nodes, room_missing,
)  # fmt: skip


def _owner(facts: Facts) -> str:
    partition = facts.task.partition_of(facts.child)
    owners = (beat.name for beat in facts.beats if beat.role == "worker" and partition in beat.partitions)
    return next(owners, "")


def _error(detail: ChildDetail) -> str:
    return f"{detail.error_type or detail.reason}: {detail.message}" if detail.message else detail.reason or "no reason"
