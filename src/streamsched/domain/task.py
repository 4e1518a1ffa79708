"""The folded state of one task: its request, its phase, its plan, its counters, and the table of its children."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from streamsched.domain.bounds import TABLE_LIMIT
from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.events import Selector, Span, TaskRequested
from streamsched.domain.failure_groups import FailureGroups
from streamsched.domain.fairness import Stake, stake_of
from streamsched.domain.limits import initial
from streamsched.domain.phases import (
    CLOSING,
    LIVE,
    OPEN,
    TERMINAL,
    TRANSITIONS,
    VERDICTS,
    ChildState,
    Hold,
    Phase,
    Told,
)
from streamsched.domain.policy import FailurePolicy
from streamsched.domain.refusal import TemplateError
from streamsched.domain.routing import ANYWHERE, Requirement, requirement_of
from streamsched.domain.table import CHUNK, Load, Table
from streamsched.domain.template import ChildSpec, read_template
from streamsched.domain.variables import complete_params, read_params, resolve_params

__all__ = ["CHUNK", "MARK_MS", "ChildDetail", "Load", "Task"]

MARK_MS: Final = 60_000
"""Milliseconds between two marks of a task."""
MARKS: Final = 11
"""Marks that are kept: those of the last ten minutes."""


class Task(Table):
    """One task as its events made it. Changed only by ``evolve``; asked by ``owed``, the view and the scheduler.

    *Stages* are ranges of the table, one after the other: the split child if there is one, the ``work`` children, then
    the reduce child if there is one. Behind a split child the work children come page by page, while it runs; it is
    *sealed*, and the reduce has its place, once the split child has succeeded. A child with a cell that waits is
    *held*: it was dispatched before a redrive, and its stage is not open yet.
    """

    __slots__ = (
        "_key", "busy_ms", "cursor", "digest", "everything", "failures", "fan_in", "fault", "finished_at", "hold",
        "hold_reason", "kill", "left_cancelled", "left_failed", "limits", "marks", "measured", "new_dispatches",
        "new_pages", "pages", "phase", "plan", "reason", "redrive", "refusal", "reopened", "request", "select_end",
        "selector", "split", "started_at", "template", "void", "work", "work_end",
    )  # fmt: skip

    def __init__(self, request: TaskRequested, load: Load) -> None:
        super().__init__(load)
        self.request = request
        self.template, self.fault = read_template(request.template)
        self.phase = Phase.REQUESTED
        self.redrive = 0
        """The number of redrives."""
        self.reopened = False
        """Whether anything was dispatched in this redrive, so that its schedule knows of it."""
        self.hold = Hold.NONE
        """Whether it is paused: nothing is dispatched then. It ends when the phase closes."""
        self.hold_reason = ""
        self.kill = False
        """Whether its live children are to be killed, once it closes; until its terminal event."""
        self.reason = ""
        self.refusal = ""
        """Which worker could not run a child, and why, unless a child has run since."""
        self.plan = self.digest = ""
        self.split = False
        """Whether child 0 is a split child."""
        self.fan_in = 0
        """The number of reduce children."""
        self.work = 0
        """The number of work children, those that the splitter gives, as far as they are known."""
        self.work_end = 0
        """The first child behind them; the first of them is 0, or 1 behind a split child."""
        self.pages = array("I")
        """The first child of each page."""
        self.new_pages: dict[int, str] = {}
        """The entries of pages that the view has to store, by their first child."""
        self.new_dispatches: dict[int, int] = {}
        """When children were dispatched for the first time, by the last one of each release, for the view to store."""
        self.selector: Selector | None = None
        """Which work children its redrive means, while it is not known of all of them; never in another phase."""
        self.everything = False
        """Whether it may mean those that succeeded."""
        self.cursor = 0
        """The children below this one were judged by the selector."""
        self.select_end = 0
        """The first child that it does not judge."""
        self.left_failed = 0
        """Failed children that the selector has left out: they count for the verdict, not for failing fast."""
        self.left_cancelled = 0
        """Cancelled ones, where the task had not succeeded with them."""
        self.started_at: int | None = None
        self.finished_at: int | None = None
        """When its ending became certain: when every planned child had ended, without a plan at its terminal event."""
        self.busy_ms = 0
        self.measured = 0
        """Outcomes that went into ``busy_ms``."""
        self.void = 0
        """Outcomes and facts that came too late to have an effect."""
        self.failures = FailureGroups()
        self.marks: list[list[int]] = []
        """How many children had ended at which time, once a minute while children end; the first is of the plan."""
        self.limits = initial(self.template.parallelism, self.template.rate, request.priority)
        """What people may change while it runs; all but its deadline stays in a redrive."""
        self._key: str | None = None
        """The key of its fairness, once it was resolved."""

    @property
    def task_id(self) -> str:
        """The id, which is also the idempotency key."""
        return self.request.task_id

    @property
    def terminal(self) -> bool:
        """Whether it has its terminal event."""
        return self.phase in TERMINAL

    @property
    def verdict(self) -> Phase:
        """The phase in which it ends, as soon as that is certain (before its terminal event); until then its phase."""
        return self.phase if self.finished_at is None else VERDICTS.get(self.phase, self.phase)

    @property
    def wanted(self) -> Told:
        """What each live dispatch is to be told."""
        if self.phase in CLOSING:
            return Told.KILL if self.kill else Told.CANCEL
        return Told(self.hold)

    @property
    def policy(self) -> FailurePolicy:
        """What is done about failures, with the tolerance that is in force."""
        return self.limits.policy(self.template.failure)

    @property
    def live_work(self) -> int:
        """Live work children, which are all but a split child and a reduce."""
        others = (*range(self.split), *range(self.work_end, self.cells))
        return self.live - sum(self.state_of(child) in LIVE for child in others)

    def room(self, now: int) -> int:
        """Return how many children parallelism and rate let be dispatched now: of a split child and a reduce, any."""
        limits = self.limits
        if not (limits.parallelism or limits.rate.count) or self.bound > self.work_end or self.splits(now):
            return TABLE_LIMIT
        return limits.room(self.live_work, now)

    @property
    def left_undone(self) -> bool:
        """Whether it has ended with something left to do: it did not succeed, or children failed that it tolerated."""
        return self.phase in (Phase.FAILED, Phase.CANCELLED) or (
            self.phase is Phase.SUCCEEDED and self.succeeded < self.children
        )

    @property
    def sealed(self) -> bool:
        """Whether it is known how many work children there are: a split child that succeeded never runs again."""
        return not self.split or self.state_of(0) is ChildState.SUCCEEDED

    def is_work(self, child: int) -> bool:
        """Return whether this is a work child: neither the split child nor a reduce."""
        return self.split <= child < self.work_end

    def index_of(self, child: int) -> int:
        """Return the number of a child inside its stage, as people count."""
        return child - self.split if child < self.work_end else child - self.work_end

    def name_of(self, child: int) -> str:
        """Return what a child is called."""
        if self.split and not child:
            return "the split"
        return f"child {self.index_of(child)}" if child < self.work_end else "the reduce"

    def splits(self, now: int) -> bool:
        """Return whether the split child waits for a dispatch that is due: it goes before the work children."""
        waits = self.split and self.state_of(0) in (ChildState.WAITING, ChildState.DUE)
        return waits and (not self.cells or self.detail_of(0).due <= now)

    def spec_of(self, child: int) -> ChildSpec:
        """Return what the template says of the stage of a child."""
        template = self.template
        if template.splitting is not None and (not child if self.split else child < 0):
            return template.splitting
        return template.child if child < self.work_end or template.reduce is None else template.reduce

    def requirement_of(self, child: int) -> Requirement:
        """Return what a worker must have to run a child; where the template cannot be read, nothing."""
        if self.fault:
            return ANYWHERE
        spec = self.spec_of(child)
        return requirement_of(spec.code, spec.setup, self.template.queue, spec.needs)

    def requirement(self, now: int) -> Requirement:
        """Return what a worker must have to run what is dispatched next; before a plan, what comes first."""
        if self.split and self.splits(now):
            return self.requirement_of(0)
        return self.requirement_of(self.work_end if self.bound > self.work_end else self.work_end - 1)

    @property
    def labels(self) -> dict[str, str]:
        """Those of the template, and those of the request, which go before them."""
        return {**self.template.labels, **{label.name: label.value for label in self.request.labels}}

    def params(self, *, match: bool = False) -> dict[str, object]:
        """Return the value of each variable, with ``match`` checked by its pattern. Raise TemplateError."""
        if self.fault:
            raise TemplateError(self.fault, "cancel it")
        resolve = resolve_params if match else complete_params
        return resolve(self.template, read_params(self.request.params))

    @property
    def key(self) -> str:
        """The key of its fairness; empty: it is its own, also where its parameters do not fit."""
        if self._key is None:
            fairness = self.template.fairness
            try:
                self._key = fairness.key and fairness.key_of(self.params())
            except TemplateError:
                self._key = ""
        return self._key

    @property
    def weight(self) -> int:
        """What its key gets of the slots beside others: as set, else that of its template."""
        return self.limits.weight or self.template.fairness.weight

    @property
    def stake(self) -> Stake:
        """What its children's slots are counted for."""
        return stake_of(self.task_id, self.key, self.weight)

    def enter(self, phase: Phase) -> None:
        """Go to another phase, which the table must allow."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"task {self.task_id}: no way from {self.phase} to {phase}")
        self.phase = phase
        self.selector = None
        if phase not in OPEN:
            self.hold, self.hold_reason = Hold.NONE, ""
        if phase in TERMINAL:
            self.kill = False

    def mark(self, at: int) -> None:
        """Note how many children have ended by now."""
        self.marks.append([at, self.ended])
        del self.marks[:-MARKS]

    def add_page(self, first: int, count: int, entries: str) -> None:
        """Append children that the split child has found: they may be dispatched now."""
        self.pages.append(first)
        self.new_pages[first] = entries
        self.work += count
        self.work_end = self.bound = self.children = first + count

    def stored(self) -> None:
        """Forget what a view has stored."""
        super().stored()
        self.new_pages.clear()
        self.new_dispatches.clear()
        self.failures.changed = False

    # --- stages -----------------------------------------------------------------------------------------------------

    def do_again(self, child: int, *, restart: bool) -> None:
        """Have an ended child dispatched again, as its first attempt: a split child now, a reduce when that opens."""
        known = self.detail(child)
        if self.state_of(child) is ChildState.FAILED:
            self.failures.end(known.group, -1)
        state = None if restart else known.state
        self.details[child] = ChildDetail(sequence=known.sequence, state=state, failed_at_sequence=known.sequence)
        if child < self.work_end:
            self._queue(child)
        else:
            self._set_idle(child, ChildState.WAITING)

    def open_stage(self) -> None:
        """Open the stage behind the bound: its children may be dispatched, the held ones at once."""
        held = self._held()
        self.bound = self.children
        for child in held:
            self._queue(child)

    def _held(self) -> list[int]:
        return [child for child in range(self.work_end, self.cells) if self.state_of(child) is ChildState.WAITING]

    def idle_spans(self) -> Iterator[Span]:
        """Yield the children that are neither live nor ended, as few spans as there are."""
        for child in sorted(child for due, child in self.due if self._waits(due, child)):
            yield Span(child, child)
        yield from spans_of(self.revived())
        for child in self._held():
            yield Span(child, child)
        if self.first_undispatched < self.children:
            yield Span(self.first_undispatched, self.children - 1)


def spans_of(children: Iterable[int]) -> Iterator[Span]:
    """Yield children, which are in order, as spans."""
    first = last = -1
    for child in children:
        if child != last + 1 or first < 0:
            if first >= 0:
                yield Span(first, last)
            first = child
        last = child
    if first >= 0:
        yield Span(first, last)
