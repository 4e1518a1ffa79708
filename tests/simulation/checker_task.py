"""The checker's model of one task: what its events may say, one after another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from streamsched.domain import events as e
from tests.simulation.checker_work import Dispatch
from tests.simulation.emits import Span
from tests.simulation.evidence import Kept, Started

Range = TypeVar("Range", e.Release, e.Span)
Outcome = e.ChildCompleted | e.ChildFailed | e.ChildCancelled | e.ChildReturned
Told = Outcome | e.ChildCheckpointed | e.TaskPlanProgressed | e.ChildStarted | e.ChildYielded
Terminal = e.TaskSucceeded | e.TaskFailed | e.TaskCancelled
Decision = (
    e.TaskPlanned | e.TaskRefused | e.ChildrenDispatched | e.ChildrenStopping | e.ChildrenCancelled | Terminal
)  # fmt: skip
ENDS: dict[type[e.Event], str] = {e.TaskSucceeded: "succeeded", e.TaskFailed: "failed", e.TaskCancelled: "cancelled"}


@dataclass
class Child:
    """What the journal says of one child."""

    ordinal: int = 0
    partition: int = -1
    live: bool = False
    ending: str | None = None
    dispatched_at: int = -1
    ended_at: int = -1
    """Offset of its last outcome."""
    sequence: int = 0
    state: str | None = None
    attempt: int = 1
    failed_at: int = 0
    """Sequence of its last failure."""
    token: int = 0
    stopping: bool = False
    result: str | None = None

    @property
    def progress(self) -> int:
        """What its latest state says (the fake pool's states are numbers that grow)."""
        return 0 if self.state is None else int(json.loads(self.state))


def _each(ranges: Iterable[Range]) -> Iterator[tuple[int, Range]]:
    return ((index, item) for item in ranges for index in range(item.first, item.last + 1))


class TaskModel:
    """Follows one task through its events. Offsets are those of its journal partition."""

    def __init__(
        self,
        request: e.TaskRequested,
        *,
        created: Mapping[Dispatch, Kept],
        outcomes: set[Dispatch],
        faults: list[str],
        torn: bool,
    ) -> None:
        self._torn = torn
        """Whether pages of it were written that cannot be read: what follows them is void."""
        self.task_id = request.task_id
        self.request = request
        self.children: list[Child] = []
        self.redrive = 0
        self.ends: list[Terminal | e.TaskRefused] = []
        """The terminal events, of one redrive after the other."""
        self.tallies: list[tuple[int, int, int, int]] = []
        """Its work children at each of them: all, completed, failed, cancelled."""
        self.dispatched: set[int] = set()
        """Redrives in which anything was dispatched."""
        self.spans: dict[tuple[int, int], Span] = {}
        """Which units of work each dispatch has made durable."""
        self._created = created
        self._outcomes = outcomes
        self._faults = faults
        body: dict[str, Any] = json.loads(request.template)
        self._tolerate: dict[str, Any] = body["failure"]
        self._stages: tuple[dict[str, Any], ...] = (body["child"], *([body["reduce"]] if "reduce" in body else []))
        self._splits = int("by" in body["split"])
        """The number of split children."""
        self._split_retry: dict[str, Any] = body.get("split_retry", body["child"]["retry"])
        self._wanted: int = json.loads(request.params)["n"]
        self._sealed = False
        """Whether all work children are known, so that the reduce has its place."""
        self._planned = False
        self._failed = 0
        self._opened_at = -1
        """Offset of what let it go on last."""
        self._closed_at: int | None = None
        self._why = ""
        self._decided: tuple[int, int, type[e.Event] | None] = (-1, 0, None)
        self._excused: set[tuple[int, int]] = set()
        """Dispatches that ended by something else than their worker, which does not know."""

    @property
    def end(self) -> Terminal | e.TaskRefused | None:
        """The terminal event of the present redrive, if it has ended."""
        return self.ends[self.redrive] if len(self.ends) > self.redrive else None

    @property
    def work(self) -> list[Child]:
        """The children that are neither the split child, the first one, nor the reduce, the last one."""
        return self.children[self._splits : self._work_end]

    @property
    def _work_end(self) -> int:
        return len(self.children) - (len(self._stages) - 1 if self._sealed else 0)

    def _is_work(self, index: int) -> bool:
        return self._splits <= index < self._work_end

    def _is_split(self, index: int) -> bool:
        return index < self._splits

    def see(self, offset: int, event: e.Event) -> None:
        """Take the next event."""
        if isinstance(event, Decision):
            self._decide(offset, event)
        match event:
            case e.TaskCancelRequested():
                if event.redrive == self.redrive:
                    self._close(offset, "cancelled")
            case e.PartitionReset():
                self._reset(offset, event.partition)
            case e.ChildCheckpointed() | e.TaskPlanProgressed():
                self._checkpoint(event)
            case e.ChildStarted() | e.ChildYielded():
                child = self._child(event.child)
                if child is not None and child.live and child.ordinal == event.ordinal:
                    self._attempt(event.child, child, event)
            case e.ChildCompleted() | e.ChildFailed() | e.ChildCancelled() | e.ChildReturned():
                self._outcome(offset, event)

    def is_torn(self, index: int) -> bool:
        """Tell whether the worker of this child may be ahead of the journal, which lacks a page."""
        return self._torn and self._is_split(index)

    def close(self) -> None:
        """Judge what it came to."""
        if self.end is None:
            self._fault("has no terminal event")
        for index, child in enumerate(self.children):
            if child.ending is None:
                self._fault(f"child {index} has no ending: {child}")

    def dispatched_to(self, child: int, ordinal: int) -> int | None:
        """Tell the work-log partition of a dispatch."""
        found = self._created.get((self.task_id, child, ordinal))
        return None if found is None else found.partition

    def started(self, run: Started) -> None:
        """Hold a job that its rightful owner starts against what is known of the child."""
        ordinal = run.token >> 32
        child = self._child(run.child)
        if child is None or (run.child, ordinal) in self._excused:
            return
        if not child.live or child.ordinal != ordinal:
            self._fault(f"child {run.child} is started by {run.node} with ordinal {ordinal}, which is over: {child}")
            return
        if self.is_torn(run.child):
            return
        if (run.sequence, run.state, run.attempt) != (child.sequence, child.state, child.attempt):
            self._fault(f"{run} does not continue from {child}")
        if run.token < child.token:
            self._fault(f"child {run.child} is started with token {run.token:x} after {child.token:x}")

    def go_on(self, offset: int, event: e.TaskRedriven) -> bool:
        """Let the task go on after its end, if that is what it means; tells whether it does."""
        everything = event.scope == "all"
        left = everything or any(child.ending != "completed" for child in self.children)
        wanted = (e.TaskSucceeded, e.TaskFailed, e.TaskCancelled) if left else (e.TaskFailed, e.TaskCancelled)
        if event.redrive != self.redrive + 1 or not isinstance(self.end, wanted):
            return False
        self.redrive = event.redrive
        self._opened_at, self._closed_at, self._why, self._failed = offset, None, "", 0
        work = self.work
        anew = any(everything or child.ending != "completed" for child in work)
        for index, child in enumerate(self.children):
            succeeded, outdated = child.ending == "completed", anew and index >= self._work_end
            if succeeded and ((not everything and not outdated) or self._is_split(index)):
                continue
            child.ending, child.stopping, child.ended_at = None, False, offset
            child.attempt, child.failed_at = 1, child.sequence
            if (succeeded or event.restart or outdated) and not self._is_split(index):
                child.state = None
        self._close_when_done(offset)
        return True

    # --- decisions --------------------------------------------------------------------------------------------------

    def _decide(self, offset: int, event: Decision) -> None:
        """Ask whether a decision was owed at its basis, and whether no other lies between."""
        basis = event.basis
        last, last_basis, kind = self._decided
        # A plan and its first dispatch are one decision.
        joined = kind is e.TaskPlanned and (last, last_basis) == (offset - 1, basis)
        if not (basis <= offset and (last < basis or (joined and isinstance(event, e.ChildrenDispatched)))):
            self._fault(f"{_name(event)} at {offset} was decided at {basis}; {kind} lies at {last}")
        if basis <= self._opened_at:
            self._fault(f"{_name(event)} at {offset} was decided at {basis}, before the task was let go on")
        self._decided = (offset, basis, type(event))
        self._act_on(offset, event)

    def _act_on(self, offset: int, event: Decision) -> None:
        basis = event.basis
        closed = self._closed_at is not None and self._closed_at < basis
        if closed == isinstance(event, e.TaskPlanned | e.TaskRefused | e.ChildrenDispatched):
            self._fault(f"{_name(event)} at {offset} was not owed at {basis}: closed at {self._closed_at}")
        match event:
            case e.TaskPlanned():
                self._plan(offset, event)
            case e.TaskRefused():
                self._refuse(event)
            case e.ChildrenDispatched():
                self.dispatched.add(self.redrive)
                for index, release in _each(event.releases):
                    self._dispatch(offset, basis, index, release)
            case e.ChildrenStopping():
                for index, release in _each(event.releases):
                    self._stop(basis, index, release)
            case e.ChildrenCancelled():
                for index, _ in _each(event.spans):
                    self._cancel(offset, basis, index)
            case e.TaskSucceeded() | e.TaskFailed() | e.TaskCancelled():
                self._end(basis, event)

    def _refuse(self, event: e.TaskRefused) -> None:
        if self._planned or event.request != self.request.event_id:
            self._fault("refused for another request, or after its plan")
        if self._closed_at is None:
            self._note_end(event)

    def _plan(self, offset: int, event: e.TaskPlanned) -> None:
        if self._planned:
            self._fault("planned twice")
        if event.redrive != self.redrive:
            self._fault(f"planned for redrive {event.redrive} in {self.redrive}")
        if event.split != self._splits or event.children != (0 if self._splits else self._wanted):
            self._fault(f"planned as {event} for {self.request.params}")
        self._planned = True
        self._sealed = not self._splits
        if event.fan_in != len(self._stages) - 1:
            self._fault(f"planned with {event.fan_in} reduce children")
        self.children = [Child() for _ in range(event.children + (event.split or event.fan_in))]
        self._close_when_done(offset)

    def _dispatch(self, offset: int, basis: int, index: int, release: e.Release) -> None:
        child = self._child(index)
        if child is None:
            self._fault(f"child {index} dispatched, which was never planned")
            return
        if child.live or child.ending or child.ended_at >= basis:
            self._fault(f"child {index} dispatched at {offset}, decided at {basis}: {child}")
        if self._is_split(index) and child.progress != len(self.children) - 1:
            self._fault(f"the split child goes on from {child.progress} with {len(self.children) - 1} children")
        before = self.work
        if index >= self._work_end and not all(other.ending and other.ended_at < basis for other in before):
            self._fault(f"the reduce dispatched at {offset}, decided at {basis}, before every child had ended")
        if release.ordinal != child.ordinal + 1:
            self._fault(f"child {index} dispatched with ordinal {release.ordinal} after {child.ordinal}")
        created = self._created.get((self.task_id, index, release.ordinal))
        if created is None or not isinstance(created.event, e.ChildCreated):
            self._fault(f"child {index} dispatched with ordinal {release.ordinal} and never created")
        else:
            work = created.event
            given = (created.partition, work.attempt, work.sequence, work.state)
            if given != (release.partition, child.attempt, child.sequence, child.state):
                self._fault(f"child {index} created as {work} in {created.partition}, not as {child}")
            args = json.loads(work.args)
            if self._splits and self._is_work(index) and args.get("args", args)["first"] != index - 1:
                self._fault(f"child {index} created with {work.args}, not with the entry of its page")
        if not self._is_split(index):
            self.spans[index, release.ordinal] = Span(child.progress, child.progress)
        child.ordinal, child.partition, child.dispatched_at = release.ordinal, release.partition, offset
        child.live, child.stopping = True, False

    def _stop(self, basis: int, index: int, release: e.Release) -> None:
        child = self.children[index]
        current = child.ordinal == release.ordinal and child.partition == release.partition
        if not current or child.stopping or child.dispatched_at >= basis or not (child.live or child.ended_at >= basis):
            self._fault(f"child {index} told to stop {release}, decided at {basis}: {child}")
        child.stopping = child.live

    def _cancel(self, offset: int, basis: int, index: int) -> None:
        child = self.children[index]
        if child.live or child.ending or child.ended_at >= basis:
            self._fault(f"child {index} cancelled, decided at {basis}: {child}")
        child.ending = "cancelled"
        child.ended_at = offset

    def _end(self, basis: int, event: Terminal) -> None:
        if self.end is not None:
            self._fault(f"second terminal event {_name(event)}")
        if event.redrive != self.redrive:
            self._fault(f"{_name(event)} of redrive {event.redrive} in {self.redrive}")
        self._note_end(event)
        if ENDS[type(event)] != self._why:
            self._fault(f"{_name(event)}, but it had {self._why or 'not ended'}")
        for index, child in enumerate(self.children):
            if child.live or child.ending is None or child.ended_at >= basis:
                self._fault(f"{_name(event)}, decided at {basis}, with child {index}: {child}")

    def _note_end(self, event: Terminal | e.TaskRefused) -> None:
        self.ends.append(event)
        endings = Counter(child.ending for child in self.work)
        tally = (len(self.work), endings["completed"], endings["failed"], endings["cancelled"])
        self.tallies.append(tally)

    # --- what becomes of children -----------------------------------------------------------------------------------

    def _checkpoint(self, event: e.ChildCheckpointed | e.TaskPlanProgressed) -> None:
        child = self._child(event.child)
        if child is None or not child.live or event.ordinal != child.ordinal:
            if (event.child, event.ordinal) not in self._excused:
                self._fault(f"child {event.child}: checkpoint of ordinal {event.ordinal}, which is not live: {child}")
            return
        self._attempt(event.child, child, event)
        if event.sequence != child.sequence + 1 and self.is_torn(event.child):
            return
        if event.sequence != child.sequence + 1:
            self._fault(f"child {event.child}: checkpoint {event.sequence} after {child.sequence}")
        if isinstance(event, e.TaskPlanProgressed):
            self._page(event)
            # With the outcome of a splitter that returned stands what it found since its last state.
            state = child.state if event.cursor == "null" else event.cursor
            self._advance(event.child, child, event.sequence, state)
        else:
            self._advance(event.child, child, event.sequence, event.state)

    def _page(self, event: e.TaskPlanProgressed) -> None:
        """Take in the entries of a page, which are those that follow."""
        at, found = len(self.children), event.entries.split("\n")
        numbers = [str(number) for number in range(at - 1, at - 1 + event.count)]
        if (event.child, event.first) != (0, at) or not self._splits or self._sealed or found != numbers or not numbers:
            self._fault(f"{event} is not the page behind {at} children")
        self.children += [Child() for _ in numbers]

    def _seal(self) -> None:
        self._sealed = True
        if len(self.children) - 1 != self._wanted:
            self._fault(f"its split child found {len(self.children) - 1} children for {self.request.params}")
        self.children += [Child() for _ in self._stages[1:]]

    def _outcome(self, offset: int, event: Outcome) -> None:
        child = self._child(event.child)
        poison = isinstance(event, e.ChildFailed) and event.reason == "poison"
        if not poison:
            self._outcomes.add((self.task_id, event.child, event.ordinal))
        if child is None or not child.live or child.ordinal != event.ordinal:
            if not poison and (event.child, event.ordinal) not in self._excused:
                self._fault(f"child {event.child}: {_name(event)} of ordinal {event.ordinal}, not live: {child}")
            return
        child.live, child.ended_at = False, offset
        if poison:
            self._excused.add((event.child, event.ordinal))
            if span := self.spans.get((event.child, event.ordinal)):
                self.spans[event.child, event.ordinal] = span._replace(excused=True)
        else:
            self._attempt(event.child, child, event)
        if self._is_split(event.child) and event.sequence != child.sequence and not poison:
            if not self._torn:
                self._fault(f"the split child ended at {event.sequence}, which is not written: {child}")
            if isinstance(event, e.ChildCompleted):
                event = _unfinished(event)
        self._end_child(offset, child, event)
        if child.ending:
            self._close_when_done(offset)

    def _end_child(self, offset: int, child: Child, event: Outcome) -> None:
        match event:
            case e.ChildCompleted():
                child.ending, child.result = "completed", event.result
                self._reach(event.child, child, 3 if event.child >= self._work_end else int(event.result or "0"))
                if event.child >= self._work_end:
                    self._reduced(event)
                if event.sequence != child.sequence:
                    self._fault(f"child {event.child} completed from {event.sequence}: {child}")
                if self._is_split(event.child):
                    self._seal()
                    if self._too_many() and self._tolerate.get("on") != "run_all":
                        self._close(offset, "failed")
            case e.ChildFailed():
                if event.reason != "poison":
                    self._keep(child, event)
                self._fail(offset, child, event)
            case e.ChildCancelled():
                self._keep(child, event)
                if not child.stopping:
                    self._fault(f"child {event.child} was stopped without a marker")
                child.ending = "cancelled"
            case e.ChildReturned():
                self._keep(child, event)
                child.ending = "cancelled" if child.stopping else None

    def _keep(self, child: Child, event: e.ChildFailed | e.ChildCancelled | e.ChildReturned) -> None:
        """Take in the state of an outcome; what a split child told stands before it."""
        if not self._is_split(event.child):
            self._advance(event.child, child, event.sequence, event.state)

    def _fail(self, offset: int, child: Child, event: e.ChildFailed) -> None:
        sequence = child.sequence if self._is_split(event.child) else event.sequence
        progressed = sequence > child.failed_at
        is_work = self._is_work(event.child)
        retry = self._stages[event.child >= self._work_end]["retry"]
        if self._is_split(event.child):
            retry = self._split_retry
        attempt = 1 if progressed and retry["reset_on_progress"] else event.attempt
        child.failed_at = sequence
        most = retry["max_attempts"]
        types = () if event.cause is None else event.cause.error_types
        names = {event.error_type, *types, *(name.split(".")[-1] for name in types)}
        again = event.retryable and names.isdisjoint(retry["non_retryable"])
        if again and (most == 0 or attempt < most):
            child.ending = "cancelled" if child.stopping else None
            child.attempt = event.attempt if child.stopping else attempt + 1
            return
        child.ending = "failed"
        if not is_work:
            self._close(offset, "failed")
            return
        self._failed += 1
        if self._too_many() and self._tolerate.get("on") != "run_all":
            self._close(offset, "failed")

    def _reduced(self, event: e.ChildCompleted) -> None:
        """Hold what a reduce returned, which is what it has read, against the results that stand."""
        stand = [[index, json.loads(child.result or "null")] for index, child in self._completed()]
        if json.loads(event.result or "null") != stand:
            self._fault(f"the reduce read {event.result}, where {stand} stands")

    def _completed(self) -> Iterator[tuple[int, Child]]:
        return ((index, child) for index, child in enumerate(self.work) if child.ending == "completed")

    def _close_when_done(self, offset: int) -> None:
        """Close it where every child has ended, or all but the reduce and too many of them have failed."""
        if self._planned and self._sealed and all(child.ending for child in self.work):
            if self._too_many():
                self._close(offset, "failed")
            elif all(child.ending for child in self.children):
                self._close(offset, "succeeded")

    def _too_many(self) -> bool:
        count, percent = self._tolerate["count"], self._tolerate["percent"]
        if count is None and percent is None:
            return self._failed > 0
        if count is not None and self._failed > count:
            return True
        return percent is not None and self._sealed and self._failed * 100 > percent * len(self.work)

    def _reset(self, offset: int, partition: int) -> None:
        for index, child in enumerate(self.children):
            if child.live and child.partition == partition:
                self._excused.add((index, child.ordinal))
                child.live, child.ended_at = False, offset
                child.ending = "cancelled" if child.stopping else None
        self._close_when_done(offset)

    def _attempt(
        self,
        index: int,
        child: Child,
        event: Outcome | e.ChildCheckpointed | e.TaskPlanProgressed | e.ChildStarted | e.ChildYielded,
    ) -> None:
        if event.attempt != child.attempt:
            self._fault(f"child {index}: {_name(event)} of attempt {event.attempt}, not {child.attempt}")
        if event.token < child.token or event.token >> 32 != child.ordinal:
            self._fault(f"child {index}: {_name(event)} with token {event.token:x} after {child.token:x}")
        child.token = event.token

    def _advance(self, index: int, child: Child, sequence: int, state: str | None) -> None:
        before = child.progress
        if state is not None:
            self._reach(index, child, int(json.loads(state)))
        same = (sequence, state) == (child.sequence, child.state)
        child.state = state
        if not same and (sequence != child.sequence + 1 or child.progress < before):
            self._fault(f"child {index} came from {child.sequence} ({before}) to {sequence} ({child.progress})")
        child.sequence = sequence

    def _reach(self, index: int, child: Child, units: int) -> None:
        if span := self.spans.get((index, child.ordinal)):  # of a split child pages tell
            self.spans[index, child.ordinal] = span._replace(end=units)

    def _close(self, offset: int, why: str) -> None:
        if self._closed_at is None and self.end is None:
            self._closed_at, self._why = offset, why

    def _child(self, index: int) -> Child | None:
        return self.children[index] if 0 <= index < len(self.children) else None

    def _fault(self, what: str) -> None:
        self._faults.append(f"{self.task_id}: {what}")


def _name(event: e.Event) -> str:
    return type(event).__name__


def _unfinished(event: e.ChildCompleted) -> e.ChildFailed:
    """Tell what the outcome of a splitter means that has not found all that it had told."""
    return e.ChildFailed(
        event.event_id, event.at, event.by, event.task_id, event.child, event.ordinal, event.attempt, event.token,
        event.started_at, event.sequence, None, "error", "PagesMissing", "", "", True, None,
    )  # fmt: skip
