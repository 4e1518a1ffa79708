"""Why a task does not run."""

from __future__ import annotations

from typing import Final

from streamsched.domain.limits import write_rate
from streamsched.domain.phases import CLOSING, Phase
from streamsched.queries.causes.facts import Cause, Facts, Said, number_of, room
from streamsched.queries.documents import rfc3339

SHORT_MS: Final = 1_000
"""What ends sooner may never be seen running: workers tell what runs about once a second."""


def halted(facts: Facts) -> Said | None:
    """Say that its journal stands still."""
    if not facts.halt:
        return None
    return Said("halted", f"its partition of the journal stands still, {facts.halt}")


def _refused(facts: Facts) -> Said | None:
    if facts.task.phase is not Phase.REFUSED:
        return None
    return Said("refused", f"it was refused, {facts.task.reason}", "correct it and submit it under another --task-id")


def _failed(facts: Facts) -> Said | None:
    if facts.status.state != "failed":
        return None
    return Said("failed", f"it failed, {facts.task.reason}", f"mend that, then {facts.redrive}")


def _cancelled(facts: Facts) -> Said | None:
    if facts.status.state != "cancelled":
        return None
    return Said("cancelled", f"it was cancelled, {facts.task.reason}", f"continue it with {facts.redrive}")


def _succeeded(facts: Facts) -> Said | None:
    if facts.status.state != "succeeded":
        return None
    failed = facts.status.children.failed
    if failed:
        return Said(
            "succeeded", f"it has succeeded, and tolerated {failed:,} failed children", f"again: {facts.redrive}"
        )
    return Said("succeeded", "it has succeeded")


def _closing(facts: Facts) -> Said | None:
    task = facts.task
    if task.phase not in CLOSING or facts.missing:
        return None
    change = f"it ends once the live children have, {task.live:,} by now" if task.live else "its scheduler ends it next"
    return Said("closing", f"it is {task.phase}, {task.reason or 'nothing is left to do'}", change)


def held(facts: Facts) -> Said | None:
    """Say that it is paused."""
    task = facts.task
    if not task.hold:
        return None
    because = f", {task.hold_reason}" if task.hold_reason else ""
    ending = f"; the {number_of(task.live)} that workers have end or come back" if task.live else ""
    return Said("paused", f"it is paused{because}{ending}", f"streamsched resume {task.task_id}")


def selecting(facts: Facts) -> Said | None:
    """Say that a redrive still selects its children."""
    if facts.task.selector is None:
        return None
    return Said("selecting", "its children are held against the selector of its redrive", "its scheduler does so next")


def clock(facts: Facts) -> Said | None:
    """Say that a clock differs too much."""
    return Said("clock", facts.skewed, "set the clock, by NTP for example") if facts.skewed else None


def nodes(facts: Facts) -> Said | None:
    """Say what ``Presence`` finds missing, whose remedy stands behind the last colon."""
    if not facts.missing:
        return None
    text, _, start = facts.missing.partition(": start ")
    return Said("nodes" if start else "returned", text, f"start {start}" if start else "")


def _planning(facts: Facts) -> Said | None:
    if facts.task.phase not in (Phase.REQUESTED, Phase.PLANNING):
        return None
    return Said("plan", "it waits for its plan", "the scheduler of its partition makes it next")


def _runs(facts: Facts) -> Said | None:
    counts = facts.status.children
    stages = [name for name in ("split", "reduce") if getattr(facts.status, name) == "running"]
    if not counts.running and not stages:
        return None
    told = [f"{number_of(counts.running)} {'runs' if counts.running == 1 else 'run'}"] if counts.running else []
    told += [f"its {stage} runs" for stage in stages]
    rest = [f"{count:,} {name}" for name in ("queued", "waiting") if (count := getattr(counts, name))]

    return Said("running", ", ".join([*told, *rest]))


def _retries(facts: Facts) -> Said | None:
    task = facts.task
    due = task.next_due()
    if task.live or due is None or due <= facts.now or task.first_undispatched < task.bound:
        return None
    return Said("retry", f"its children wait for their next attempts, the first until {rfc3339(due)}", "that time")


def _runs_unseen(facts: Facts) -> Said | None:
    """Say that children end between two beats: some wait at a worker that has slots free, and they are short."""
    task, counts = facts.task, facts.status.children
    mean = task.busy_ms / task.measured if task.measured else SHORT_MS
    if mean >= SHORT_MS or not task.live or not any(beat.free for beat in facts.able):
        return None
    return Said("running", f"a child takes {mean:.0f} ms, {counts.queued:,} queued, {counts.waiting:,} waiting")


def _queued(facts: Facts) -> Said | None:
    if not facts.task.live:
        return None
    return Said("queued", f"{number_of(facts.task.live)} wait at a worker, and none was seen running yet", room(facts))


def limited(facts: Facts) -> Said | None:
    """Say which limit of its own is used up: its parallelism or its rate."""
    task, limits = facts.task, facts.task.limits
    if task.room(facts.now):
        return None
    change = f"streamsched set {task.task_id}"
    if limits.parallelism and task.live_work >= limits.parallelism:
        return Said("parallelism", f"its parallelism of {limits.parallelism:,} is used up", f"{change} parallelism=N")
    at, rate = rfc3339(limits.next_token(facts.now)), write_rate(limits.rate)
    return Said("rate", f"its rate of {rate} is used up until {at}", f"that time, or {change} rate=R")


def room_missing(facts: Facts) -> Said | None:
    """Say that the workers are full."""
    return Said("room", "its children wait for room at a worker", room(facts))


CAUSES: Final[tuple[Cause, ...]] = (
    halted, _refused, _failed, _cancelled, _succeeded, _closing, held, clock, nodes, _planning, selecting, _runs,
    _retries, _runs_unseen, _queued, limited, room_missing,
)  # fmt: skip
