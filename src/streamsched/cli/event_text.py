"""Events as text, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.limits import write_rate, write_tolerance
from streamsched.domain.selector import text_of

ENVELOPE: Final = frozenset({"event_id", "at", "by", "task_id", "basis", "redrive", "request", "reason"})


class ChildNames:
    """What the children of each task are called: by their number inside their stage, as everywhere but in the events.

    Those count through all stages of a task: split child, work children, reduce.
    """

    def __init__(self) -> None:
        self._stages: dict[str, tuple[int, int]] = {}
        """By task: the first work child, and the end of the work children as far as it is known."""

    def note(self, event: Any) -> None:
        """Take note of how many children there are."""
        name = type(event).__name__
        if name == "TaskPlanned":
            self._stages.setdefault(event.task_id, (int(event.split), event.split + event.children))
        elif name == "TaskPlanProgressed":
            first, end = self._stages.get(event.task_id, (1, 0))
            self._stages[event.task_id] = first, max(end, event.first + event.count)

    def of(self, task_id: str, first: int, last: int) -> str:
        """Return what the children from ``first`` to ``last`` are called."""
        begin, end = self._stages.get(task_id, (0, 1 << 62))
        low, high = max(first, begin) - begin, min(last, end - 1) - begin
        work = f"child {low}" if low == high else f"children {low} to {high}"
        names = (first < begin and "split", low <= high and work, last >= end and "reduce")
        return ", ".join(name for name in names if name)


def event_text(event: Any, names: ChildNames) -> str:
    """Return what an event says, and who wrote it. Give the events of a task in order, with the same ``names``."""
    names.note(event)
    name = type(event).__name__
    if name in _TEXTS:
        text = _TEXTS[name](event)
    else:
        of_children = _OF_CHILDREN.get(name, _child if name.startswith("Child") else None)
        text = _others(event) if of_children is None else of_children(event, names)
    reason = getattr(event, "reason", "")
    if reason and name != "ChildFailed":
        text = f"{text}, because {reason}" if text else f"because {reason}"
    return f"{text}, by {event.by}" if text else f"by {event.by}"


def _requested(event: Any) -> str:
    priority = f", priority {event.priority}" if event.priority else ""
    return f"{event.template_name} with {event.params}{priority}"


def _paused(event: Any) -> str:
    return ("paused, running children too" if event.now else "paused") if event.paused else "resumed"


def _cancel_requested(event: Any) -> str:
    return "killing what runs" if event.kill else ""


def _stopping(event: Any, names: ChildNames) -> str:
    return f"{event.mode}: {_releases(event, names)}"


def _planned(event: Any) -> str:
    found = "children as its split child finds them" if event.split else f"{event.children:,} children"
    due = f", to end by {utc(event.deadline)}" if event.deadline else ""
    return f"{found}{due}: {event.plan}"


def _page(event: Any, names: ChildNames) -> str:
    found = names.of(event.task_id, event.first, event.first + event.count - 1)
    return f"{_child(event, names)}, finds {found}"


def _releases(event: Any, names: ChildNames) -> str:
    return ", ".join(
        f"{names.of(event.task_id, each.first, each.last)} of partition {each.partition} (dispatch {each.ordinal})"
        for each in event.releases
    )


def _spans(event: Any, names: ChildNames) -> str:
    return ", ".join(names.of(event.task_id, span.first, span.last) for span in event.spans)


def _selected(event: Any, names: ChildNames) -> str:
    return f"{_spans(event, names) or 'none'} of those up to {names.of(event.task_id, event.upto - 1, event.upto - 1)}"


def _child(event: Any, names: ChildNames) -> str:
    text = f"{names.of(event.task_id, event.child, event.child)}, dispatch {event.ordinal}, attempt {event.attempt}"
    if getattr(event, "sequence", 0):
        text += f", checkpoint {event.sequence}"
    return text


def _completed(event: Any, names: ChildNames) -> str:
    return f"{_child(event, names)}, {event.at - event.started_at} ms, result {event.result}"


def _checkpointed(event: Any, names: ChildNames) -> str:
    return f"{_child(event, names)}, state {event.state}"


def _failed(event: Any, names: ChildNames) -> str:
    final = "" if event.retryable else ", not to be retried"
    return f"{_child(event, names)}, {event.reason}: {event.error_type}: {event.message}{final}"


def _returned(event: Any, names: ChildNames) -> str:
    why = "" if event.why is None else f", {event.why.code}: {event.why.detail}"
    return f"{_child(event, names)}{why}"


def _schedule_set(event: Any) -> str:
    did = f"version {event.expected + 1}" if event.expected else "made"
    return f"{did}: {event.spec}, {event.policy}, {_requested(event)}"


def _limits(event: Any) -> str:
    said = {
        "parallelism": event.parallelism or ("none" if event.parallelism == 0 else None),
        "rate": event.rate and (write_rate(event.rate) if event.rate.count else "none"),
        "priority": event.priority,
        "weight": event.weight,
        "tolerate": event.tolerate and write_tolerance(event.tolerate),
        "deadline": utc(event.deadline) if event.deadline else "none" if event.deadline == 0 else None,
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


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
    if event.selector is not None:
        what += f", where {text_of(event.selector)}"
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
    "TaskPaused": _paused,
    "TaskLimitsChanged": _limits,
    "TimerFired": lambda event: f"limits of time up to {utc(event.due)} are over",
    "TaskCancelRequested": _cancel_requested,
}
_OF_CHILDREN: Final[dict[str, Callable[[Any, ChildNames], str]]] = {
    "TaskPlanProgressed": _page,
    "ChildrenSelected": _selected,
    "ChildrenDispatched": _releases,
    "ChildrenStopping": _stopping,
    "ChildrenCancelled": _spans,
    "ChildCompleted": _completed,
    "ChildCheckpointed": _checkpointed,
    "ChildFailed": _failed,
    "ChildReturned": _returned,
}
