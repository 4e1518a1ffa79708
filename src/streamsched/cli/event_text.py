"""Events as text, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamsched.domain.calendar.moment import write as utc

ENVELOPE: Final = frozenset({"event_id", "at", "by", "task_id", "basis", "redrive", "request", "reason"})


def event_text(event: Any) -> str:
    """Return what an event says, and who wrote it."""
    name = type(event).__name__
    text_of = _TEXTS.get(name, _child if name.startswith("Child") else _others)
    text = text_of(event)
    reason = getattr(event, "reason", "")
    if reason and name != "ChildFailed":
        text = f"{text}, because {reason}" if text else f"because {reason}"
    return f"{text}, by {event.by}" if text else f"by {event.by}"


def _requested(event: Any) -> str:
    priority = f", priority {event.priority}" if event.priority else ""
    return f"{event.template_name} with {event.params}{priority}"


def _planned(event: Any) -> str:
    found = "children as its split child finds them" if event.split else f"{event.children:,} children"
    return f"{found}: {event.plan}"


def _page(event: Any) -> str:
    return f"{_child(event)}, {event.count:,} children from {event.first} on"


def _releases(event: Any) -> str:
    return ", ".join(
        f"{_children(release)} of partition {release.partition} (dispatch {release.ordinal})"
        for release in event.releases
    )


def _spans(event: Any) -> str:
    return ", ".join(map(_children, event.spans))


def _children(span: Any) -> str:
    return f"child {span.first}" if span.first == span.last else f"children {span.first} to {span.last}"


def _child(event: Any) -> str:
    text = f"child {event.child}, dispatch {event.ordinal}, attempt {event.attempt}"
    if getattr(event, "sequence", 0):
        text += f", checkpoint {event.sequence}"
    return text


def _completed(event: Any) -> str:
    return f"{_child(event)}, {event.at - event.started_at} ms, result {event.result}"


def _checkpointed(event: Any) -> str:
    return f"{_child(event)}, state {event.state}"


def _failed(event: Any) -> str:
    final = "" if event.retryable else ", not to be retried"
    return f"{_child(event)}, {event.reason}: {event.error_type}: {event.message}{final}"


def _returned(event: Any) -> str:
    return _child(event) if event.why is None else f"{_child(event)}, {event.why.code}: {event.why.detail}"


def _schedule_set(event: Any) -> str:
    did = f"version {event.expected + 1}" if event.expected else "made"
    return f"{did}: {event.spec}, {event.policy}, {_requested(event)}"


def _schedule_paused(event: Any) -> str:
    return f"{'paused' if event.paused else 'resumed'}{_noted(event)}"


def _schedule_deleted(event: Any) -> str:
    return f"deleted{_noted(event)}"


def _noted(event: Any) -> str:
    return f": {event.note}" if event.note else ""


def _ticks(event: Any) -> str:
    return ", ".join(map(_run, event.ticks))


def _run(run: Any) -> str:
    name = "triggered one" if run.kind == "trigger" else utc(run.first)
    return f"{name} {run.outcome}" if run.count == 1 else f"{run.count:,} from {name} to {utc(run.last)} {run.outcome}"


def _tick_ended(event: Any) -> str:
    again = f" in redrive {event.redrive}" if event.redrive else ""
    return f"task {event.task_id} {event.outcome}{again}"


def _redriven(event: Any) -> str:
    what = "all children" if event.scope == "all" else "what did not succeed"
    restart = ", from its beginning" if event.restart else ""
    return f"redrive {event.redrive} of {what}{restart}" + (f", for {event.origin}" if event.origin else "")


def _backfill_requested(event: Any) -> str:
    stretch = f", {utc(event.parts[0].first)} to {utc(event.parts[-1].last)}" if event.parts else ""
    return f"backfill {event.backfill}: {event.reprocess} times{stretch}, {event.max_active} at once{_noted(event)}"


def _backfill_decided(event: Any) -> str:
    return f"backfill {event.backfill}: " + ", ".join(
        f"{utc(run.first)} {run.outcome}" if run.count == 1 else f"{run.count:,} {run.outcome}" for run in event.ticks
    )


def _others(event: Any) -> str:
    values = ((name, getattr(event, name)) for name in event.__struct_fields__ if name not in ENVELOPE)
    return ", ".join(f"{name} {value}" for name, value in values if value not in ("", None))


_TEXTS: Final[dict[str, Callable[[Any], str]]] = {
    "ScheduleSet": _schedule_set,
    "SchedulePaused": _schedule_paused,
    "ScheduleTriggered": lambda event: "a task is wanted now",
    "ScheduleDeleted": _schedule_deleted,
    "TicksDecided": _ticks,
    "TickEnded": _tick_ended,
    "BackfillRequested": _backfill_requested,
    "BackfillDecided": _backfill_decided,
    "TickReopened": lambda event: f"task {event.task_id} continues as redrive {event.redrive}",
    "TaskRequested": _requested,
    "TaskRedriven": _redriven,
    "TaskPlanned": _planned,
    "TaskPlanProgressed": _page,
    "ChildrenDispatched": _releases,
    "ChildrenStopping": _releases,
    "ChildrenCancelled": _spans,
    "ChildCompleted": _completed,
    "ChildCheckpointed": _checkpointed,
    "ChildFailed": _failed,
    "ChildReturned": _returned,
}
