"""Decisions: whether each was owed at its basis (invariant 10), and what it does in its place (1, 2, 3, 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

from streamsched.audit import limits
from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.bounds import CHILDREN_LIMIT
from streamsched.domain.evolve import ENDS
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ENDED, LIVE, VERDICTS, ChildState, Phase, Told
from streamsched.domain.selection import Selection
from streamsched.domain.splitting import plan
from streamsched.domain.task import Task, spans_of
from streamsched.domain.template import TemplateError

Decision = (
    e.TaskPlanned | e.TimerFired | e.TaskRefused | e.ChildrenSelected | e.ChildrenDispatched | e.ChildrenStopping
    | e.ChildrenCancelled | e.TaskEnded
)  # fmt: skip
ACTIONS: Final[dict[type[e.Event], Action]] = {
    e.TaskPlanned: Action.PLAN,
    e.TaskRefused: Action.PLAN,
    e.TimerFired: Action.TIME,
    e.ChildrenSelected: Action.SELECT,
    e.ChildrenDispatched: Action.DISPATCH,
    e.ChildrenStopping: Action.STOP,
    e.ChildrenCancelled: Action.CANCEL,
    e.TaskSucceeded: Action.END,
    e.TaskFailed: Action.END,
    e.TaskCancelled: Action.END,
}
"""The decisions, and the action that each one is."""
_OWED: Final = {
    None: "nothing",
    Action.PLAN: "a plan",
    Action.TIME: "the end of its time",
    Action.SELECT: "the next part of its selection",
    Action.DISPATCH: "a dispatch",
    Action.STOP: "stop markers",
    Action.CANCEL: "the end of what will not be dispatched",
    Action.END: "its terminal event",
}


def name_of(event: e.Event) -> str:
    """Return the kind of an event."""
    return type(event).__name__


# --- at the basis ---------------------------------------------------------------------------------------------------


def judge_at_basis(task: Task | None, event: Decision) -> Fault | None:
    """Compare a decision with the state that its maker had folded."""
    if task is None:
        return Fault(10, None, f"the task's request below basis {event.basis}", "no request there")
    action = owed(task, event.at)
    if action is not ACTIONS[type(event)]:
        expected = f"at basis {event.basis} the {task.phase} task owed {_OWED[action]}"
        return Fault(10, None, expected, name_of(event))
    if isinstance(event, e.TimerFired):
        return limits.too_early(task, event)
    if isinstance(event, e.ChildrenSelected):
        return _misjudged(task, event)
    if isinstance(event, e.ChildrenDispatched):
        return _unready(task, event)
    if isinstance(event, e.ChildrenStopping):
        return _unstoppable(task, event)
    if isinstance(event, e.ChildrenCancelled):
        return _busy(task, event)
    return None


def is_companion(before: Decision, event: Decision) -> bool:
    """Return whether this is the first dispatch of a plan, decided and written together with it."""
    return (
        isinstance(before, e.TaskPlanned)
        and isinstance(event, e.ChildrenDispatched)
        and (before.basis, before.by) == (event.basis, event.by)
    )


def judge_companion(planned: e.TaskPlanned, event: e.ChildrenDispatched, task: Task | None = None) -> Fault | None:
    """Compare the first dispatch with the plan that it was decided with; ``task`` stands at their basis, if known."""
    if task is not None and task.hold:
        return Fault(10, None, f"no dispatch: at basis {event.basis} the task was paused", name_of(event))
    if task is not None and (fault := limits.first_too_many(task, planned, event)):
        return fault
    next_new = 0
    for release in event.releases:
        if release.first != next_new or release.ordinal != 1:
            return Fault(10, release.first, f"children from {next_new} on, with ordinal 1", _release(release))
        next_new = release.last + 1
    bound = planned.children + planned.split or planned.fan_in
    return None if next_new <= bound and event.releases else _empty(event)


def _misjudged(task: Task, event: e.ChildrenSelected) -> Fault | None:
    """Ask the selector again about the children that this part of a selection has judged."""
    if not task.cursor < event.upto <= task.select_end:
        expected = f"at basis {event.basis} children from {task.cursor} to {task.select_end - 1}"
        return Fault(16, None, expected, f"those below {event.upto}")
    selection = Selection(task)
    meant = (child for child in range(task.cursor, event.upto) if selection.may_meet(child))
    spans = tuple(spans_of(child for child in meant if selection.meets(child, task.detail_of(child))))
    if spans == event.spans:
        return None
    odd = next((a or b for a, b in zip_longest(spans, event.spans) if a != b), None)
    expected = f"at basis {event.basis} the children that meet the selector: {_spans(spans)}"
    return Fault(16, odd.first if odd else None, expected, _spans(event.spans))


def _spans(spans: Sequence[e.Span]) -> str:
    shown = [f"{span.first}..{span.last}" if span.first != span.last else f"{span.first}" for span in spans[:10]]
    return ", ".join(shown) + (f" and {len(spans) - 10:,} more" if len(spans) > 10 else "") or "none"


def _unready(task: Task, event: e.ChildrenDispatched) -> Fault | None:
    """Find a child that was not to be dispatched at this basis."""
    next_new = task.first_undispatched
    for release in event.releases:
        if fault := _too_early(task, event, release):
            return fault
        if release.first == next_new:
            next_new = release.last + 1
            continue
        for child in _known(task, release):
            due = task.detail_of(child).due if task.state_of(child) is ChildState.DUE else None
            due = 0 if task.is_revived(child) else due
            if due is None:
                expected = f"at basis {event.basis} a child that waits for its next dispatch"
                return Fault(10, child, expected, f"it was {_where(task, child)}")
            if due > event.at:
                return Fault(10, child, f"its next dispatch at {due} or later", f"it was dispatched at {event.at}")
    beyond = limits.too_many(event, task.limits, task.live_work, range(task.split, task.work_end))
    return beyond if event.releases else _empty(event)


def _too_early(task: Task, event: e.ChildrenDispatched, release: e.Release) -> Fault | None:
    """Find a child that no page had named, or one of a later stage while one of an earlier stage had no ending."""
    if task.split and task.bound <= release.last and not task.sealed:
        expected = f"at basis {event.basis} a page that names it: so far there were {task.work:,} work children"
        return Fault(14, release.last, expected, _release(release))
    for child in range(task.work_end) if release.last >= task.work_end else ():
        if task.state_of(child) not in ENDED:
            expected = f"at basis {event.basis} an ending of every child before the reduce"
            return Fault(14, release.last, expected, f"child {child} was {_where(task, child)}")
    return None


def _unstoppable(task: Task, event: e.ChildrenStopping) -> Fault | None:
    wanted = task.wanted
    if event.mode != wanted.name.lower():
        return Fault(10, None, f"the mode {wanted.name.lower()!r} at basis {event.basis}", f"{event.mode!r}")
    for release in event.releases:
        for child in _known(task, release):
            told = LIVE.get(task.state_of(child), Told.KILL)
            named = (release.ordinal, release.partition)
            if told >= wanted or (task.ordinal_of(child), task.partition_of(child)) != named:
                expected = f"at basis {event.basis} a live dispatch that was told less: {_release(release)}"
                return Fault(
                    10, child, expected, f"it was {_where(task, child)} in partition {task.partition_of(child)}"
                )
    return None if event.releases else _empty(event)


def _busy(task: Task, event: e.ChildrenCancelled) -> Fault | None:
    for span in event.spans:
        child = task.first_taken(span)
        if child is not None:
            expected = f"at basis {event.basis} a child that is neither live nor ended"
            return Fault(10, child, expected, f"it was {_where(task, child)}")
    return None if event.spans else _empty(event)


def _empty(event: Decision) -> Fault:
    return Fault(10, None, "a decision about children of the plan", f"{name_of(event)} that names none")


# --- in its place ---------------------------------------------------------------------------------------------------


def judge_in_place(task: Task, event: Decision, partitions: int) -> Fault | None:
    """Find what a decision breaks in the state that the fold has at its place."""
    if isinstance(event, e.TaskPlanned):
        return _judge_plan(task, event)
    if isinstance(event, e.ChildrenDispatched):
        return _judge_releases(task, event, partitions)
    if isinstance(event, e.ChildrenStopping):
        return _outside(task, event.releases)
    if isinstance(event, e.ChildrenSelected):
        return _outside(task, event.spans)
    if isinstance(event, e.ChildrenCancelled):
        return _outside(task, event.spans) or _judge_spans(task, event)
    if isinstance(event, e.TaskEnded):
        return _judge_end(task, event)
    return None


def is_bearable(task: Task, event: Decision, partitions: int) -> bool:
    """Return whether the fold can apply a decision: a cell of the table can hold its numbers."""
    if isinstance(event, e.TaskPlanned):
        return 0 <= event.children <= CHILDREN_LIMIT
    if isinstance(event, e.ChildrenDispatched):
        return all(0 <= release.partition < partitions for release in event.releases)
    if isinstance(event, e.ChildrenStopping):
        return _outside(task, event.releases) is None
    if isinstance(event, e.ChildrenCancelled):
        return _outside(task, event.spans) is None
    return True


def judge_effect(task: Task, event: Decision, *, void: bool, released: int) -> Fault | None:
    """Find a decision without the effect that it names: one is only void where an event overtook it."""
    if isinstance(event, e.ChildrenDispatched):
        named = sum(release.last - release.first + 1 for release in event.releases)
        return None if named == released else Fault(10, None, f"{named} children dispatched", f"{released} could be")
    if isinstance(event, e.TimerFired):
        return limits.unheard(task, event) if void else None
    if not void or isinstance(event, e.ChildrenStopping):  # its children may have ended meanwhile
        return None
    if isinstance(event, e.ChildrenSelected) and task.phase is not Phase.RUNNING:
        return None  # a selection ends with its phase
    if isinstance(event, e.TaskRefused) and task.phase is Phase.CANCELLING:
        return None
    return Fault(10, None, f"an effect of {name_of(event)}", f"no effect: the task is {task.phase}")


def _judge_plan(task: Task, event: e.TaskPlanned) -> Fault | None:
    if task.plan:
        return Fault(1, None, "one TaskPlanned", "another one")
    try:
        made = plan(task.template, task.params())
    except TemplateError as error:
        return Fault(2, None, f"no plan, for the request cannot be planned: {error}", f"{event.children} children")
    if event.children != made.children:
        return Fault(2, None, f"{made.children} children by the request", f"{event.children} in TaskPlanned")
    if event.split != made.split:
        return Fault(2, None, f"a split child: {made.split}", f"{event.split} in TaskPlanned")
    if event.fan_in != (task.template.reduce is not None):
        return Fault(2, None, "a reduce as the template says", f"{event.fan_in} in TaskPlanned")
    if fault := limits.other_deadline(task, event):
        return fault
    if (event.plan, event.digest) != (made.document, made.digest):
        expected = f"the plan of the request, digest {made.digest[:16]}"
        return Fault(2, None, expected, f"another plan, digest {event.digest[:16]}")
    return None


def _judge_releases(task: Task, event: e.ChildrenDispatched, partitions: int) -> Fault | None:
    next_new = task.first_undispatched
    for release in event.releases:
        if fault := _outside(task, [release]):
            return fault
        if not 0 <= release.partition < partitions:
            return Fault(8, release.first, f"one of {partitions} work-log partitions", _release(release))
        if release.first >= next_new:
            if release.first > next_new:
                return Fault(10, release.first, f"children from {next_new} on", _release(release))
            if release.ordinal != 1:
                return Fault(3, release.first, "ordinal 1 for its first dispatch", _release(release))
            next_new = release.last + 1
            continue
        for child in range(release.first, release.last + 1):
            state, ordinal = task.state_of(child), task.ordinal_of(child)
            if state in LIVE:
                expected = f"an outcome of ordinal {ordinal} before the next dispatch"
                return Fault(3, child, expected, f"dispatched with ordinal {release.ordinal}")
            if state is not ChildState.DUE and not task.is_revived(child):
                return Fault(3, child, f"no dispatch: it is {_where(task, child)}", _release(release))
            if release.ordinal != ordinal + 1:
                return Fault(3, child, f"ordinal {ordinal + 1}", _release(release))
    return None


def _judge_spans(task: Task, event: e.ChildrenCancelled) -> Fault | None:
    for span in event.spans:
        child = task.first_taken(span)
        if child is not None:
            expected = "one ending, and none while it is live"
            return Fault(3, child, expected, f"cancelled while it is {_where(task, child)}")
    return None


def _judge_end(task: Task, event: e.TaskEnded) -> Fault | None:
    if task.live:
        child = next(task.live_children())
        return Fault(5, child, f"no live child at {name_of(event)}", f"{task.live} live: {_where(task, child)}")
    if task.idle:
        child = next(task.idle_spans()).first
        return Fault(3, child, f"an ending of every child at {name_of(event)}", f"{task.idle} without")
    if task.phase in VERDICTS and task.phase is not ENDS[type(event)]:
        since = f", which was certain since {task.finished_at}" if task.finished_at is not None else ""
        return Fault(5, None, f"{VERDICTS[task.phase]} as its ending{since}", name_of(event))
    return None


# --- words ----------------------------------------------------------------------------------------------------------


def _outside(task: Task, ranges: Iterable[e.Release | e.Span]) -> Fault | None:
    for item in ranges:
        if not 0 <= item.first <= item.last < task.children:
            planned = f"children of the plan: 0..{task.children - 1}" if task.plan else "a plan first"
            child = item.last if item.last >= task.children else item.first
            return Fault(2, child, planned, f"{item.first}..{item.last}")
    return None


def _known(task: Task, item: e.Release) -> Iterator[int]:
    """Yield the children of a range that are in the plan; the others are judged in their place."""
    return iter(range(max(0, item.first), min(item.last + 1, task.children)))


def _release(release: e.Release) -> str:
    children = f"{release.first}..{release.last}" if release.first != release.last else f"{release.first}"
    return f"{children} with ordinal {release.ordinal} in partition {release.partition}"


def _where(task: Task, child: int) -> str:
    ordinal = task.ordinal_of(child)
    return task.state_of(child).name.lower() + (f" with ordinal {ordinal}" if ordinal else "")
