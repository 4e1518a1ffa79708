"""The audit of one task: its events in the journal's order, held back until the basis of its next decision is passed.

::

    applied                basis              decision
       │                     │                   │
    ───●───●───●───●───●───●─┼─●───●───●───●─────◆────
       folded: the state     │   held: will be folded
       that the decision is held against         with the next decision

Each event is folded once, when a decision's basis passes it (or at the end); what it does is judged then, in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamsched.audit import children, decisions
from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.followups import FOLLOWUPS, Followup, followups
from streamsched.domain.task import ChildDetail, Load, Task
from streamsched.domain.template import read_template

END: Final = 1 << 63
"""A position beyond every other."""
_ENDS: Final = frozenset({e.TaskSucceeded, e.TaskFailed, e.TaskCancelled, e.TaskRefused})

Held = tuple[int, e.Event, Fault | None]
Tell = Callable[[Fault, str, int], None]
"""Reports a fault of a task or a schedule at an offset."""
Wants = Callable[[Followup, int], None]
"""Takes what must be written beside the event at an offset."""


class TaskAudit:
    """One task that is followed. With ``keep`` it will be redriven: what matters then of ended children is kept."""

    __slots__ = (
        "_applied", "_decided", "_excused", "_keep", "_load", "_owners", "_partitions", "_tell", "_wants", "held",
        "needs_messages", "task", "unjudged",
    )  # fmt: skip

    def __init__(
        self, request: e.TaskRequested, offset: int, *, load: Load, partitions: int, epochs: children.Epochs,
        tell: Tell, wants: Wants, keep: bool,
    ) -> None:  # fmt: skip
        self.task: Task | None = None
        self.held: list[Held] = [(offset, request, None)]
        self.unjudged = 0
        """Decisions whose basis had been passed when they came."""
        rules = read_template(request.template)[0].failure.rules
        self.needs_messages = any(rule.message is not None for rule in rules)
        """Whether what failures say decides on their children."""
        self._load = load
        self._partitions = partitions
        self._tell = tell
        self._wants = wants
        self._keep = keep
        self._applied = 0
        self._decided: tuple[int, decisions.Decision] | None = None
        self._owners = children.Owners(epochs)
        self._excused: set[int] | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was decided about the task."""
        return self._decided is not None

    @property
    def excused(self) -> bool:
        """Whether late events of its children are to be expected: a partition was reset, or a record was poison."""
        return self._excused is not None

    def decide(self, offset: int, event: decisions.Decision) -> bool:
        """Take in a decision; return whether it ends the task."""
        fault = self._judge(offset, event)
        self._decided = offset, event
        self.held.append((offset, event, fault))
        if type(event) not in _ENDS:
            return False
        self.advance(END)
        return self.task is not None and self.task.terminal

    def advance(self, position: int) -> None:
        """Fold what is held below a position."""
        count = 0
        for offset, event, fault in self.held:
            if offset >= position:
                break
            count += 1
            self._apply(offset, event, fault)
        if count:
            self._applied = self.held[count - 1][0] + 1
            del self.held[:count]

    def _judge(self, offset: int, event: decisions.Decision) -> Fault | None:
        """Hold a decision against the state at its basis."""
        basis = event.basis
        if not 0 <= basis <= offset:
            self.advance(offset)
            return Fault(10, None, f"a basis at or below its own offset {offset}", f"basis {basis}")
        if self._decided is not None and self._decided[0] >= basis:
            place, before = self._decided
            if decisions.is_companion(before, event):
                at_basis = self.task if basis >= self._applied else None
                return decisions.judge_companion(before, event, at_basis)  # type: ignore[arg-type]
            expected = f"no other decision of this task from basis {basis} on"
            return Fault(10, None, expected, f"{decisions.name_of(before)} at offset {place}")
        if basis < self._applied:
            self.unjudged += 1
            return None
        self.advance(basis)
        return decisions.judge_at_basis(self.task, event)

    def _apply(self, offset: int, event: e.Event, fault: Fault | None) -> None:
        task = self.task
        if task is None:
            self.task = evolve(None, event, self._load)
            return
        kind = type(event)
        if kind in FOLLOWUPS:
            for each in followups(task, event):
                self._wants(each, offset)
        if kind in children.WORKER_EVENTS:
            self._on_worker_event(task, offset, event)  # type: ignore[arg-type]
        elif kind in decisions.ACTIONS:
            self._follow(task, offset, event, fault)  # type: ignore[arg-type]
        elif isinstance(event, e.PartitionReset):
            lost = [child for child in task.live_children() if task.partition_of(child) == event.partition]
            self._excuse(lost)
            self._owners.reset(event.partition)
            evolve(task, event, self._load)
        else:
            evolve(task, event, self._load)
        if self._keep:
            task.touched -= {child for child in task.touched if _matters_later(task.detail_of(child))}
        task.stored()

    def _on_worker_event(self, task: Task, offset: int, event: children.OfChild) -> None:
        if children.is_poison(event):
            self._excuse([event.child])
        elif fault := children.judge_worker_event(task, event, offset, self._owners, self._excused or ()):
            self._tell(fault, task.task_id, offset)
        evolve(task, event, self._load)

    def _follow(self, task: Task, offset: int, event: decisions.Decision, fault: Fault | None) -> None:
        fault = decisions.judge_in_place(task, event, self._partitions) or fault
        if decisions.is_bearable(task, event, self._partitions):
            void, live = task.void, task.live
            evolve(task, event, self._load)
            fault = fault or decisions.judge_effect(task, event, void=task.void > void, released=task.live - live)
        if fault:
            self._tell(fault, task.task_id, offset)

    def _excuse(self, lost: list[int]) -> None:
        if lost:
            self._excused = (self._excused or set()).union(lost)


def _matters_later(known: ChildDetail) -> bool:
    """Return whether a redrive of an ended child differs from that of one of which nothing is known."""
    if known.error_type is not None or known.reason is not None or known.group is not None or known.attempt != 1:
        return True  # to a selector
    return bool(known.sequence or known.due)
