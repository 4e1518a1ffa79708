"""Judges a history by the committed records of its log alone, with a model of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from streamsched.domain import events as e

Range = TypeVar("Range", e.Release, e.Span)


@dataclass
class Child:
    """What the journal says of one child."""

    ordinal: int = 0
    partition: int = -1
    live: bool = False
    ending: str | None = None
    """Its last outcome, which is its ending if no dispatch follows."""
    sequence: int = 0
    progress: int = 0
    """What its latest state says (the fake pool's states are numbers that grow)."""
    stopping: bool = False


@dataclass
class Verdict:
    """Faults found, and what each task came to."""

    faults: list[str] = field(default_factory=list)
    completed: dict[str, int] = field(default_factory=dict)


def _each(ranges: Iterable[Range]) -> Iterator[tuple[int, Range]]:
    return ((index, item) for item in ranges for index in range(item.first, item.last + 1))


class TaskModel:
    """Follows one task through its events."""

    def __init__(self, task_id: str, verdict: Verdict) -> None:
        self._task_id = task_id
        self._verdict = verdict
        self._planned: int | None = None
        self._end: e.Event | None = None
        self._children: dict[int, Child] = {}
        self._request: e.TaskRequested | None = None
        self._told: set[bytes] = set()

    def follow(self, events: Iterable[e.Event]) -> None:
        for event in events:
            if event.event_id in self._told:
                self._fault(f"event {event.event_id.hex()} stands twice in the journal")
            self._told.add(event.event_id)
            self._see(event)
        self._close()

    def _fault(self, what: str) -> None:
        self._verdict.faults.append(f"{self._task_id}: {what}")

    def _see(self, event: e.Event) -> None:
        match event:
            case e.TaskRequested():
                self._request = self._request or event
            case e.TaskPlanned():
                self._plan(event.children)
            case e.ChildrenDispatched():
                for index, release in _each(event.releases):
                    self._dispatch(index, release)
            case e.ChildrenStopping():
                for index, release in _each(event.releases):
                    self._children[index].stopping |= self._children[index].ordinal == release.ordinal
            case e.ChildrenCancelled():
                for index, _ in _each(event.spans):
                    self._cancel(index)
            case e.ChildCheckpointed():
                self._checkpoint(event)
            case e.ChildCompleted() | e.ChildFailed() | e.ChildCancelled() | e.ChildReturned():
                self._outcome(event)
            case e.TaskSucceeded() | e.TaskFailed() | e.TaskCancelled() | e.TaskRefused():
                self._terminal(event)

    def _plan(self, children: int) -> None:
        if self._planned is not None:
            self._fault("planned twice")
        self._planned = children
        self._children = {child: Child() for child in range(children)}

    def _terminal(self, event: e.Event) -> None:
        if self._end is not None:
            self._fault(f"second terminal event {type(event).__name__}")
        self._end = event
        live = [index for index, child in self._children.items() if child.live]
        if live:
            self._fault(f"children {live} are live at the terminal event")

    def _dispatch(self, index: int, release: e.Release) -> None:
        child = self._children.get(index)
        if child is None:
            self._fault(f"child {index} dispatched, which was never planned")
            return
        if self._end is not None:
            self._fault(f"child {index} dispatched after the terminal event")
        if child.live or child.ending in ("completed", "cancelled"):
            self._fault(f"child {index} dispatched while {'live' if child.live else child.ending}")
        if release.ordinal != child.ordinal + 1:
            self._fault(f"child {index} dispatched with ordinal {release.ordinal} after {child.ordinal}")
        child.ordinal, child.partition = release.ordinal, release.partition
        child.live, child.ending, child.stopping = True, None, False

    def _cancel(self, index: int) -> None:
        child = self._children[index]
        if child.live or child.ending in ("completed", "cancelled"):
            self._fault(f"child {index} cancelled while {'live' if child.live else child.ending}")
        child.ending = "cancelled"

    def _checkpoint(self, event: e.ChildCheckpointed) -> None:
        child = self._children[event.child]
        if not child.live or event.ordinal != child.ordinal:
            self._fault(f"child {event.child}: checkpoint of ordinal {event.ordinal}, which is not live")
        if event.sequence <= child.sequence:
            self._fault(f"child {event.child}: checkpoint {event.sequence} after {child.sequence}")
        self._progress(event.child, event.sequence, event.state)

    def _progress(self, index: int, sequence: int, state: str | None) -> None:
        child = self._children[index]
        done = 0 if state is None else int(json.loads(state))
        if sequence < child.sequence or done < child.progress:
            self._fault(f"child {index} went back from {child.sequence} ({child.progress}) to {sequence} ({done})")
        child.sequence, child.progress = sequence, done

    def _outcome(self, event: e.ChildCompleted | e.ChildFailed | e.ChildCancelled | e.ChildReturned) -> None:
        child = self._children.get(event.child)
        if child is None or not child.live or child.ordinal != event.ordinal:
            self._fault(f"child {event.child}: {type(event).__name__} of ordinal {event.ordinal}, which is not live")
            return
        child.live = False
        if isinstance(event, e.ChildCompleted):
            child.ending = "completed"
            if event.sequence < child.sequence:
                self._fault(f"child {event.child} completed from {event.sequence}, not {child.sequence}")
            return
        self._progress(event.child, event.sequence, event.state)
        if isinstance(event, e.ChildCancelled):
            child.ending = "cancelled"
            if not child.stopping:
                self._fault(f"child {event.child} was stopped without a marker")
        elif isinstance(event, e.ChildFailed):
            child.ending = "failed"
        else:
            child.ending = "cancelled" if child.stopping else None

    def _close(self) -> None:
        if self._request is None:
            self._fault("never requested")
        if self._end is None:
            self._fault("has no terminal event")
        for index, child in self._children.items():
            if child.ending is None:
                self._fault(f"child {index} has no ending: {child}")
        endings = Counter(child.ending for child in self._children.values())
        self._verdict.completed[self._task_id] = endings["completed"]
        if isinstance(self._end, e.TaskSucceeded) and self._request is not None:
            policy = json.loads(self._request.template)["failure"]
            everything = policy["percent"] == 100 and policy["count"] is None
            if endings["cancelled"] or (not everything and endings["failed"] > (policy["count"] or 0)):
                self._fault(f"succeeded with {dict(endings)}")


def check(
    journal: Mapping[str, Sequence[e.Event]],
    created: Sequence[e.ChildCreated],
    pending: Sequence[tuple[int, int, e.Event]],
) -> Verdict:
    """Judge: the journal, the dispatches in the work log, and what is left unsettled there."""
    verdict = Verdict()
    for task_id, events in journal.items():
        TaskModel(task_id, verdict).follow(events)
    dispatches = Counter((work.task_id, work.child, work.ordinal) for work in created)
    verdict.faults += [f"{dispatch} created {count} times" for dispatch, count in dispatches.items() if count > 1]
    verdict.faults += [f"left unsettled at {number}/{offset}: {event}" for number, offset, event in pending]
    return verdict
