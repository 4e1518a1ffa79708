"""What the outcomes of a worker's children add to its metrics, once the transaction with them was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from streamsched.domain.events import ChildCancelled, ChildCompleted, ChildFailed, Event
from streamsched.runtime import metrics
from streamsched.worker.pending import Child

_Begun = ChildCompleted | ChildFailed | ChildCancelled
_BEGUN: Final = (ChildCompleted, ChildFailed, ChildCancelled)


def note(ended: Iterable[Child], outcomes: Mapping[Child, Event | None]) -> None:
    """Take note of children that have ended, each with its outcome; without a sink they are not looked at.

    No call for each child: there are thousands in a transaction.
    """
    if not metrics.in_use():
        return
    told = [(child, outcome) for child in ended if (outcome := outcomes[child])]
    for kind, number in Counter([outcome.__class__ for _, outcome in told]).items():
        metrics.CHILDREN_ENDED.add(number, kind.__name__.removeprefix("Child").lower())
    begun: list[tuple[Child, _Begun]] = [(child, outcome) for child, outcome in told if outcome.__class__ in _BEGUN]
    metrics.RUN_SECONDS.observe_all([(outcome.at - outcome.started_at) / 1000 for _, outcome in begun])
    metrics.WAIT_SECONDS.observe_all([(outcome.started_at - child.work.at) / 1000 for child, outcome in begun])
