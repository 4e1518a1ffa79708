"""The checker's model of one task: what its events may say, one after another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from streamsched.domain import events as e
from tests.simulation.checker_hold import CANCEL, MODES, HoldModel
from tests.simulation.checker_language import level_of
from tests.simulation.checker_limits import LimitsModel
from tests.simulation.checker_work import Dispatch
from tests.simulation.emits import Span
from tests.simulation.evidence import Kept, Started

Range = TypeVar("Range", e.Release, e.Span)
Outcome = e.ChildCompleted | e.ChildFailed | e.ChildCancelled | e.ChildReturned
Told = Outcome | e.ChildCheckpointed | e.TaskPlanProgressed | e.ChildStarted | e.ChildYielded
Terminal = e.TaskSucceeded | e.TaskFailed | e.TaskCancelled
Decision = (
    e.TaskPlanned | e.TimerFired | e.TaskRefused | e.ChildrenSelected | e.ChildrenDispatched | e.ChildrenStopping
    | e.ChildrenCancelled | Terminal
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
    told: int = 0
    """The highest mode of a stop marker that names its dispatch."""
    result: str | None = None
    group: str = ""
    """What its last failure is grouped by."""
    final: bool = False
    """Whether that failure ended it, and it was not dispatched since."""
    anew: bool = False
    """Whether its next dispatch begins from nothing."""

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, so that it is not dispatched again."""
        return self.told >= CANCEL

    def was_live(self, basis: int) -> bool:
        """Tell whether it was live at a position, as far as its last dispatch tells."""
        return 0 <= self.dispatched_at < basis and (self.live or self.ended_at >= basis)

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
        self._attempts: Counter[str] = Counter()
        """Failed attempts by what they are grouped by."""
        self.spans: dict[tuple[int, int], Span] = {}
        """Which units of work each dispatch has made durable."""
        self._created = created
        self._outcomes = outcomes
        self._faults = faults
        body: dict[str, Any] = json.loads(request.template)
        self._tolerate: dict[str, Any] = body["failure"]
        self._limits = LimitsModel(body, request, self._fault)
        self._stages: tuple[dict[str, Any], ...] = (body["child"], *([body["reduce"]] if "reduce" in body else []))
        self._splits = int("by" in body["split"])
        """The number of split children."""
        self._split_retry: dict[str, Any] = body.get("split_retry", body["child"]["retry"])
        self._wanted: int = json.loads(request.params)["n"]
        if request.by != "outside" and request.level != level_of(body):
            self._fault(f"requested with a template of level {request.level}, which needs {level_of(body)}")
        self._sealed = False
        """Whether all work children are known, so that the reduce has its place."""
        self._planned = False
        self._failed = 0
        """Failed work children of this redrive."""
        self._selector: e.Selector | None = None
        self._judged = self._select_end = self._left = 0
        """Where its selection stands and ends; children that it left out and that count in the end."""
        self._everything = self._restart = self._tolerated = False
        self._opened_at = -1
        """Offset of what let it go on last."""
        self._closed_at: int | None = None
        self._hold = HoldModel()
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

    def failures(self) -> dict[str, tuple[int, int]]:
        """Tell of each group of failures how many attempts, and how many children that have failed now, are in it."""
        ended = Counter(child.group for child in self.children if child.final)
        return {group: (attempts, ended[group]) for group, attempts in self._attempts.items()}

    def see(self, offset: int, event: e.Event) -> None:
        """Take the next event."""
        if isinstance(event, Decision):
            self._decide(offset, event)
        match event:
            case e.TaskCancelRequested():
                self._cancel_asked(offset, event)
            case e.TaskPaused():
                if event.redrive == self.redrive and self._closed_at is None and self.end is None:
                    self._hold.pause(offset, event)
            case e.TaskLimitsChanged():
                self._change_limits(offset, event)
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

    def _cancel_asked(self, offset: int, event: e.TaskCancelRequested) -> None:
        if event.redrive == self.redrive and self.end is None:
            self._close(offset, "cancelled")
            if event.kill:
                self._hold.kill(offset)

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
        if event.selector is not None and not self.work:
            return False
        self._limits.redrive(offset)
        self._hold.go_on(offset)
        self._tolerated = isinstance(self.end, e.TaskSucceeded)
        self.redrive = event.redrive
        self._opened_at, self._closed_at, self._why, self._failed, self._left = offset, None, "", 0, 0
        self._everything, self._restart, self._selector = everything, event.restart, event.selector
        self._judged, self._select_end = self._splits, self._work_end
        work = self.work
        selects = event.selector is not None
        anew = selects or any(everything or child.ending != "completed" for child in work)
        for index, child in enumerate(self.children):
            succeeded, outdated = child.ending == "completed", anew and index >= self._work_end
            if selects and self._is_work(index):
                continue
            if succeeded and ((not everything and not outdated) or self._is_split(index)):
                continue
            self._revive(offset, index, child)
            if outdated:
                child.state = None
        self._close_when_done(offset)
        return True

    def _revive(self, offset: int, index: int, child: Child) -> None:
        """Let an ended child run again; a work child that never does so keeps what it had."""
        if not self._is_split(index):
            if child.ending == "completed" or (self._restart and not self._is_work(index)):
                child.state = None
            child.anew = self._restart
        child.ending, child.told, child.ended_at = None, 0, offset
        child.final = child.final and self._is_work(index)
        child.attempt, child.failed_at = 1, child.sequence

    def _select(self, offset: int, event: e.ChildrenSelected) -> None:
        """Judge the children of a part of a selection, which is void where the task closes meanwhile."""
        if self._closed_at is not None:
            return
        if self._selector is None or event.redrive != self.redrive:
            self._fault(f"{event} where nothing is selected in redrive {self.redrive}")
            return
        if not self._judged < event.upto <= self._select_end:
            self._fault(f"{event} judges no more children than up to {self._judged} of {self._select_end}")
        meant = [index for index in range(self._judged, event.upto) if self._is_meant(index)]
        if meant != [index for index, _ in _each(event.spans)]:
            self._fault(f"{event}, where {meant} are meant by {self._selector}")
        for index in meant:
            self._revive(offset, index, self.children[index])
        self._judged = event.upto
        if self._judged == self._select_end:
            self._selector = None
            self._left = sum(
                child.ending == "failed" or (child.ending == "cancelled" and not self._tolerated) for child in self.work
            )
            self._close_when_done(offset)

    def _is_meant(self, index: int) -> bool:
        """Ask the kinds of clauses that people of a history use: a range of indexes, states, attempts from 1 on."""
        child = self.children[index]
        if self._selector is None or child.ending is None or (child.ending == "completed" and not self._everything):
            return False
        for clause in self._selector.clauses:
            (text, *_) = clause.values
            if clause.field == "index":
                first, last = map(int, text.split(".."))
                meets = first <= index - self._splits <= last
            elif clause.field == "state":
                meets = {"completed": "succeeded"}.get(child.ending, child.ending) in clause.values
            else:
                meets = child.ordinal > 0
            if not meets:
                return False
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
        early = e.TaskPlanned | e.TimerFired | e.TaskRefused | e.ChildrenSelected | e.ChildrenDispatched
        self._judge_time(offset, event, closed=closed)
        if closed == isinstance(event, early) and not self._obeys_hold(event):
            self._fault(f"{_name(event)} at {offset} was not owed at {basis}: closed at {self._closed_at}")
        match event:
            case e.TaskPlanned():
                self._plan(offset, event)
            case e.TimerFired():
                self._time_out(offset, event)
            case e.TaskRefused():
                self._refuse(event)
            case e.ChildrenSelected():
                self._select(offset, event)
            case e.ChildrenDispatched():
                self._dispatched(offset, event)
            case e.ChildrenStopping():
                self._stop_all(offset, event)
            case e.ChildrenCancelled():
                self._judge_told(offset, basis)
                for index, _ in _each(event.spans):
                    self._cancel(offset, basis, index)
            case e.TaskSucceeded() | e.TaskFailed() | e.TaskCancelled():
                self._end(basis, event)

    def _judge_time(self, offset: int, event: Decision, *, closed: bool) -> None:
        """Ask whether a decision was made that comes after that of a timer."""
        late = isinstance(event, e.ChildrenSelected | e.ChildrenDispatched) or (not closed and self._obeys_hold(event))
        if late and self._limits.is_over(event):
            self._fault(f"{_name(event)} at {offset}, decided at {event.basis} and {event.at}, when its time was over")

    def _time_out(self, offset: int, event: e.TimerFired) -> None:
        if self._limits.fire(event) and self._planned:
            self._close(offset, "failed")

    def _obeys_hold(self, event: Decision) -> bool:
        """Return whether a decision tells live children what a pause wants of them."""
        return isinstance(event, e.ChildrenStopping) and self._hold.held_at(event.basis)

    def _judge_told(self, offset: int, basis: int) -> None:
        """Ask whether all live children were told what is wanted of them, which comes before the rest is cancelled."""
        for index, child in enumerate(self.children):
            if child.was_live(basis) and child.told < self._hold.at(basis):
                self._fault(
                    f"the rest cancelled at {offset}, decided at {basis}, before child {index} was told: {child}"
                )

    def _dispatched(self, offset: int, event: e.ChildrenDispatched) -> None:
        if self._hold.held_at(event.basis):
            self._fault(f"{_name(event)} at {offset} was decided at {event.basis}, when the task was paused")
        if self._selector is not None:
            self._fault(f"{_name(event)} at {offset} while it selects")
        self.dispatched.add(self.redrive)
        live = sum(child.was_live(event.basis) for child in self.work)
        self._limits.dispatch(event, live, sum(self._is_work(index) for index, _ in _each(event.releases)))
        for index, release in _each(event.releases):
            self._dispatch(offset, event.basis, index, release)

    def _change_limits(self, offset: int, event: e.TaskLimitsChanged) -> None:
        """Take limits that people have set, and judge the failures so far by another tolerance."""
        if event.redrive != self.redrive or self.end is not None:
            return
        self._limits.change(offset, event)
        if event.tolerate is not None:
            self._tolerate |= {"count": event.tolerate.count, "percent": event.tolerate.percent}
            if self._planned and self._too_many() and self._tolerate.get("on") != "run_all":
                self._close(offset, "failed")

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
        self._limits.plan(offset, event)
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
        if child.anew:
            child.anew, child.state = False, None
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
            given = (created.partition, work.attempt, work.sequence, work.state, work.priority)
            priority = self._limits.at("priority", basis)
            if given != (release.partition, child.attempt, child.sequence, child.state, priority):
                self._fault(f"child {index} created as {work} in {created.partition}, not as {child}")
            args = json.loads(work.args)
            if self._splits and self._is_work(index) and args.get("args", args)["first"] != index - 1:
                self._fault(f"child {index} created with {work.args}, not with the entry of its page")
        if not self._is_split(index):
            self.spans[index, release.ordinal] = Span(child.progress, child.progress)
        child.ordinal, child.partition, child.dispatched_at = release.ordinal, release.partition, offset
        child.live, child.told, child.final = True, 0, False

    def _stop_all(self, offset: int, event: e.ChildrenStopping) -> None:
        level = self._hold.at(event.basis)
        if event.mode != MODES[level]:
            self._fault(f"{event} at {offset}, where {MODES[level] or 'nothing'} was wanted")
        for index, release in _each(event.releases):
            self._stop(event.basis, index, release, MODES.index(event.mode))

    def _stop(self, basis: int, index: int, release: e.Release, level: int) -> None:
        child = self.children[index]
        current = child.ordinal == release.ordinal and child.partition == release.partition
        if (
            not current
            or child.told >= level
            or child.dispatched_at >= basis
            or not (child.live or child.ended_at >= basis)
        ):
            self._fault(f"child {index} told to stop {release}, decided at {basis}: {child}")
        child.told = level if child.live else 0

    def _cancel(self, offset: int, basis: int, index: int) -> None:
        child = self.children[index]
        if child.live or child.ending or child.ended_at >= basis:
            self._fault(f"child {index} cancelled, decided at {basis}: {child}")
        child.ending, child.anew = "cancelled", False
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
                if event.why is not None and not event.why.begun and self._is_work(event.child):
                    self._limits.refund()
                child.ending = "cancelled" if child.stopping else None

    def _keep(self, child: Child, event: e.ChildFailed | e.ChildCancelled | e.ChildReturned) -> None:
        """Take in the state of an outcome; what a split child told stands before it."""
        if not self._is_split(event.child):
            self._advance(event.child, child, event.sequence, event.state)

    def _fail(self, offset: int, child: Child, event: e.ChildFailed) -> None:
        poison = event.reason == "poison"
        child.group = (event.cause.fingerprint if event.cause is not None else "") or event.error_type
        self._attempts[child.group] += 1
        sequence = child.sequence if self._is_split(event.child) or poison else event.sequence
        number = child.attempt if poison else event.attempt
        progressed = sequence > child.failed_at
        is_work = self._is_work(event.child)
        retry = self._stages[event.child >= self._work_end]["retry"]
        if self._is_split(event.child):
            retry = self._split_retry
        attempt = 1 if progressed and retry["reset_on_progress"] else number
        child.failed_at = sequence
        most = retry["max_attempts"]
        types = () if event.cause is None else event.cause.error_types
        names = {event.error_type, *types, *(name.split(".")[-1] for name in types)}
        do = self._rule(event, names) if is_work else ""
        again = do == "retry" if do else event.retryable and names.isdisjoint(retry["non_retryable"])
        if again and (most == 0 or attempt < most):
            child.ending = "cancelled" if child.stopping else None
            child.attempt = event.attempt if child.stopping else attempt + 1
            return
        if do == "skip":
            child.ending = "cancelled"
            return
        child.ending, child.final = "failed", True
        if not is_work or do == "fail_task":
            self._close(offset, "failed")
        if not is_work:
            return
        self._failed += 1
        if self._too_many() and self._tolerate.get("on") != "run_all":
            self._close(offset, "failed")

    def _rule(self, event: e.ChildFailed, names: set[str]) -> str:
        """Tell what the first rule that holds for a failure does; empty where none does."""
        code = None if event.cause is None else event.cause.exit_code
        for rule in self._tolerate.get("rules", ()):
            if (
                rule.get("error", event.error_type) in names
                and rule.get("message", "") in event.message
                and rule.get("reason", event.reason) == event.reason
                and rule.get("exit_code", code) == code
            ):
                return str(rule["do"])
        return ""

    def _reduced(self, event: e.ChildCompleted) -> None:
        """Hold what a reduce returned, which is what it has read, against the results that stand."""
        stand = [[index, json.loads(child.result or "null")] for index, child in self._completed()]
        if json.loads(event.result or "null") != stand:
            self._fault(f"the reduce read {event.result}, where {stand} stands")

    def _completed(self) -> Iterator[tuple[int, Child]]:
        return ((index, child) for index, child in enumerate(self.work) if child.ending == "completed")

    def _close_when_done(self, offset: int) -> None:
        """Close it where every child has ended, or all but the reduce and too many of them have failed."""
        if self._selector is None and self._planned and self._sealed and all(child.ending for child in self.work):
            if self._too_many(self._left):
                self._close(offset, "failed")
            elif all(child.ending for child in self.children):
                self._close(offset, "succeeded")

    def _too_many(self, left: int = 0) -> bool:
        failed = self._failed + left
        count, percent = self._tolerate["count"], self._tolerate["percent"]
        if count is None and percent is None:
            return failed > 0
        if count is not None and failed > count:
            return True
        return percent is not None and self._sealed and failed * 100 > percent * len(self.work)

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
            self._closed_at, self._why, self._selector = offset, why, None
            self._hold.close(offset)

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
