"""When a task will have ended, by how much of it has ended in the last ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Final

from streamsched.domain import values
from streamsched.domain.phases import ENDED, Phase
from streamsched.domain.splitters.outside import InputSplitter
from streamsched.domain.task import Task
from streamsched.queries.documents import Document, Time, Timestamp

if TYPE_CHECKING:
    from streamsched.view.view import View

WINDOW_MS: Final = 600_000
LEAST_MS: Final = 1_000
"""Milliseconds over which a rate is measured at least."""
WEIGHED: Final = 20_000
"""Children of a task whose weights are added up; larger ones are counted."""
FARTHEST_S: Final = 10 * 365 * 86_400.0
WEIGH_EVERY_MS: Final = 5_000
"""Between two times that the weights of a task that is followed are added up."""


class Eta(Document, frozen=True):
    """When the work children will have ended: expected, and a range of which 19 of 20 are true while the rate lasts.

    ``by`` says what was measured: ``count`` (of children) or ``weight`` (how much of the input they have).
    """

    at: Timestamp
    earliest: Timestamp
    latest: Timestamp
    seconds: float
    by: str


def eta_by_count(task: Task, left: int, now: int) -> Eta | None:
    """Return when so many children that are left will have ended; None where that is unknown."""
    if not left or not _is_steady(task):
        return None
    spans = [(now - at, task.ended - ended) for at, ended in task.marks if LEAST_MS <= now - at <= WINDOW_MS]
    return _eta([(ended, ended, lasted) for lasted, ended in spans], left, now, "count")


def eta_by_weight(view: View, task: Task, now: int) -> Eta | None:
    """Return when the children will have ended that say how much of the input they have; None where they do not."""
    if not (_is_steady(task) and task.pages and task.work <= WEIGHED):
        return None
    weights = list(_weights(view, task))
    since = max(now - WINDOW_MS, task.marks[0][0])
    if len(weights) != task.work or now - since < LEAST_MS:
        return None
    left = sum(weight for child, weight in enumerate(weights, task.split) if not _has_ended(task, child))
    ended = [
        weights[child - task.split]
        for child, detail in view.details(task.task_id, int(task.split))
        if child < task.work_end and _has_ended(task, child) and (detail.finished_at or 0) >= since
    ]
    return _eta([(len(ended), sum(ended), now - since)], left, now, "weight") if left else None


class FollowedEta:
    """The ETA of one task, again and again: by weight where there is one, otherwise by count."""

    def __init__(self) -> None:
        self._weighed: Eta | None = None
        self._weigh_at = 0

    def __call__(self, view: View, task: Task, by_count: Eta | None, now: int) -> Eta | None:
        """Return it as of now; None where there is none by count either."""
        if by_count is None:
            return None
        if now >= self._weigh_at:
            self._weighed, self._weigh_at = eta_by_weight(view, task, now), now + WEIGH_EVERY_MS
        return self._weighed or by_count


def _is_steady(task: Task) -> bool:
    """Return whether it is known what is left, and the children are worked on."""
    held = task.hold or task.selector is not None
    return task.phase is Phase.RUNNING and not held and task.sealed and bool(task.marks)


def _has_ended(task: Task, child: int) -> bool:
    return task.state_of(child) in ENDED


def _weights(view: View, task: Task) -> Iterator[int]:
    """Yield the weight of each work child; fewer where a page has none, or is not what its generator made."""
    splitter = task.template.split
    if not isinstance(splitter, InputSplitter):
        return
    for first in task.pages:
        try:
            yield from [splitter.entry_weight(values.read(line)) for line in (view.page(task, first) or "").split("\n")]
        except (ValueError, TypeError, LookupError):
            return


def _eta(spans: list[tuple[int, int, int]], left: int, now: int, by: str) -> Eta | None:
    """Return it from spans of time up to now, the longest first: how many ended, how much that was, how long it took.

    The shortest one that is at least a minute long tells of a rate that changes.
    """
    if not spans or not spans[0][0]:
        return None
    recent = [span for span in spans[1:] if span[0] and span[2] >= WINDOW_MS / 10][-1:]
    ranges = [_range(*span) for span in (spans[0], *recent)]
    rate = 1000 * spans[0][1] / spans[0][2]
    seconds = [left / rate, left / max(most for _, most in ranges), left / min(least for least, _ in ranges)]
    at, earliest, latest = (Time.at(now + round(1000 * min(each, FARTHEST_S))) for each in seconds)
    return Eta(at, earliest, latest, round(min(seconds[0], FARTHEST_S), 1), by)


def _range(ended: int, weight: int, lasted: int) -> tuple[float, float]:
    """Return the least and the greatest rate a second of which so many ends may be a sample."""
    spread = 2 / sqrt(ended)
    rate = 1000 * weight / lasted
    return rate * max(1 - spread, 0.25), rate * (1 + spread)
