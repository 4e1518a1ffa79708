"""Parts of a selection: bounded, in order, and the same as the audit's own judgement."""

from __future__ import annotations

import pytest

from streamsched.domain.events import Span
from streamsched.domain.task import ChildDetail, Task
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler import selecting
from tests.unit.domain.test_selection import ended, redrive


def test_a_part_has_at_most_so_many_children_spans_and_details(monkeypatch: pytest.MonkeyPatch) -> None:
    task = redrive(ended(), "index!=2 and error!=X").task
    me = Identity("node", "me", SystemClock())

    def known(task: Task, child: int) -> ChildDetail:
        return task.detail_of(child)

    assert selecting.select(task, known, me, 7).spans == (Span(1, 1), Span(3, 3))
    for limit, upto in (("CHILDREN", 2), ("SPANS", 2), ("DETAILS", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(selecting, limit, 2 if limit == "CHILDREN" else 1)
            part = selecting.select(task, known, me, 7)
            assert (part.upto, part.spans, part.basis) == (upto, (Span(1, 1),), 7)
