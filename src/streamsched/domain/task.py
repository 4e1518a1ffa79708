"""The folded state of one task: its request, its phase, its plan, its counters, and the table of its children."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from streamsched.domain.events import Span, TaskRequested
from streamsched.domain.phases import TERMINAL, TRANSITIONS, VERDICTS, ChildState, Phase
from streamsched.domain.refusal import TemplateError
from streamsched.domain.routing import ANYWHERE, Requirement, requirement_of
from streamsched.domain.table import CHUNK, ChildDetail, Load, Table
from streamsched.domain.template import ChildSpec, complete_params, read_params, read_template, resolve_params

__all__ = ["CHUNK", "ChildDetail", "Load", "Task"]


class Task(Table):
    """One task as its events made it. Changed only by ``evolve``; asked by ``owed``, the view and the scheduler.

    *Stages* are ranges of the table, one after the other: the split child if there is one, the ``work`` children, then
    the reduce child if there is one. Behind a split child the work children come page by page, while it runs; it is
    *sealed*, and the reduce has its place, once the split child has succeeded. A child with a cell that waits is
    *held*: it was dispatched before a redrive, and its stage is not open yet.
    """

    __slots__ = (
        "busy_ms", "digest", "fan_in", "fault", "finished_at", "measured", "new_pages", "pages", "phase", "plan",
        "reason", "redrive", "refusal", "reopened", "request", "split", "started_at", "template", "void", "work",
        "work_end",
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
        self.started_at: int | None = None
        self.finished_at: int | None = None
        """When its ending became certain: when every planned child had ended, without a plan at its terminal event."""
        self.busy_ms = 0
        self.measured = 0
        """Outcomes that went into ``busy_ms``."""
        self.void = 0
        """Outcomes and facts that came too late to have an effect."""

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
    def left_undone(self) -> bool:
        """Whether it has ended with something left to do: it did not succeed, or children failed that it tolerated."""
        return self.phase in (Phase.FAILED, Phase.CANCELLED) or (
            self.phase is Phase.SUCCEEDED and self.succeeded < self.children
        )

    @property
    def sealed(self) -> bool:
        """Whether it is known how many work children there are: a split child that succeeded never runs again."""
        return not self.split or self.state_of(0) is ChildState.SUCCEEDED

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
        return requirement_of(spec.code, spec.setup)

    def requirement(self, now: int) -> Requirement:
        """Return what a worker must have to run what is dispatched next; before a plan, what comes first."""
        if self.split and self.splits(now):
            return self.requirement_of(0)
        return self.requirement_of(self.work_end if self.bound > self.work_end else self.work_end - 1)

    def params(self, *, match: bool = False) -> dict[str, object]:
        """Return the value of each variable, with ``match`` checked by its pattern. Raise TemplateError."""
        if self.fault:
            raise TemplateError(self.fault, "cancel it")
        resolve = resolve_params if match else complete_params
        return resolve(self.template, read_params(self.request.params))

    def enter(self, phase: Phase) -> None:
        """Go to another phase, which the table must allow."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"task {self.task_id}: no way from {self.phase} to {phase}")
        self.phase = phase

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

    # --- stages -----------------------------------------------------------------------------------------------------

    def do_again(self, child: int, *, restart: bool) -> None:
        """Have an ended child dispatched again, as its first attempt: a reduce when that opens, any other now."""
        known = self.detail(child)
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
        for child in self._held():
            yield Span(child, child)
        if self.first_undispatched < self.children:
            yield Span(self.first_undispatched, self.children - 1)
