"""The next part of a selection: which children meet the selector of a task's redrive, as they stand at the basis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamsched.domain.events import ChildrenSelected, Span
from streamsched.domain.selection import Selection
from streamsched.domain.task import ChildDetail, Task
from streamsched.runtime.identity import Identity

CHILDREN: Final = 2_000
"""Children that one decision judges: with the fold of the one before, some 20 ms of the loop."""
SPANS: Final = 1_000
"""Spans in one decision, so that its record stays far below the limit of a topic."""
DETAILS: Final = 500
"""Children of which a decision reads the details: more would hold up the loop."""


def select(task: Task, known_of: Callable[[Task, int], ChildDetail], me: Identity, basis: int) -> ChildrenSelected:
    """Judge the next children, as many as one decision may."""
    selection, spans = Selection(task), list[Span]()
    child, details = task.cursor, 0
    end = min(task.select_end, child + CHILDREN)
    while child < end and len(spans) < SPANS and details < DETAILS:
        if selection.may_meet(child):
            details += selection.needs_detail and task.ordinal_of(child) > 0
            if selection.meets(child, known_of(task, child) if selection.needs_detail else None):
                if spans and spans[-1].last + 1 == child:
                    spans[-1] = Span(spans[-1].first, child)
                else:
                    spans.append(Span(child, child))
        child += 1
    return me.sign(
        ChildrenSelected, task_id=task.task_id, redrive=task.redrive, upto=child, spans=tuple(spans), basis=basis
    )
