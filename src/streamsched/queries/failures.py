"""The failures of a task by their causes, from the view."""

from __future__ import annotations

from streamsched.domain.task import Task
from streamsched.queries.documents import Document, Time, Timestamp


class FailureStatus(Document, frozen=True):
    """Failures of one cause: ``count`` attempts; ``ended`` children have failed for good and were not redriven since.

    ``fingerprint`` is the error type where the failures had none, and ``other`` where there were too many groups.
    ``samples`` are the first few children, ``split`` or ``reduce`` among them.
    """

    fingerprint: str
    count: int
    ended: int
    type: str
    message: str
    first_at: Timestamp
    last_at: Timestamp
    samples: list[int | str]


def failures_of(task: Task) -> list[FailureStatus]:
    """Return the groups of a task's failures, those with the most attempts first."""
    groups = sorted(task.failures.items(), key=lambda item: -item[1].attempts)
    return [
        FailureStatus(
            fingerprint=key,
            count=group.attempts,
            ended=group.ended,
            type=group.error_type,
            message=group.message,
            first_at=Time.at(group.first_at),
            last_at=Time.at(group.last_at),
            samples=[_sample(task, child) for child in group.children],
        )
        for key, group in groups
    ]


def _sample(task: Task, child: int) -> int | str:
    if task.is_work(child):
        return task.index_of(child)
    return "split" if child < task.split else "reduce"
