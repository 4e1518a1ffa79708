"""The end of what failed attempts have printed, from the journal."""

from __future__ import annotations

from collections.abc import Iterator

from streamsched.domain.events import ChildFailed
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.queries.documents import rfc3339
from streamsched.queries.history import history
from streamsched.queries.output import STAGES
from streamsched.worker.voices import printed_name


def failed_output(site: Installation, task: Task, child: str | None) -> Iterator[str]:
    """Yield lines as executors write them, with the time at which the attempt ended."""
    printed = printed_name(task.task_id)
    for _, event in history(site, task.task_id, position=None, time=None):
        if not isinstance(event, ChildFailed) or not event.output:
            continue
        stage = "work" if task.is_work(event.child) else STAGES[event.child >= task.work_end]
        name = str(task.index_of(event.child)) if stage == "work" else stage
        if child in (None, name):
            at = rfc3339(event.at)
            yield from (f"{at} {printed}[{name}]#{event.attempt} {line}" for line in event.output.split("\n"))
