"""Tasks by what they are and when they were submitted, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TYPE_CHECKING, Final, TypedDict

from streamsched.domain.errors import InputError
from streamsched.domain.ids import is_task_id
from streamsched.domain.task import Task
from streamsched.queries.documents import Document, Moment, millis_of
from streamsched.queries.status import DONE, TaskStatus, for_status, state_of

if TYPE_CHECKING:
    from streamsched.view.view import View

LIMIT: Final = 1_000
"""Tasks of a page, unless it is said otherwise."""
MOST: Final = 100_000
ACTIVE: Final = "active"
"""In place of a state: any but those of tasks that are done."""
STATES: Final = (
    ACTIVE, "requested", "planning", "running", "paused", "failing", "succeeding", "cancelling",
    *DONE,
)  # fmt: skip
_CURSOR: Final = re.compile(r"(\d{1,15})/(.+)", re.DOTALL)


class TaskPage(Document, frozen=True):
    """Tasks, the newest first. ``next`` is what ``after`` takes for the page behind it; None: there is none."""

    items: tuple[TaskStatus, ...]
    next: str | None


class TaskFilter(TypedDict, total=False):
    """Which tasks are meant, as ``Client.list`` is told. ``after`` is the ``next`` of the page before it."""

    state: str | None
    template: str | None
    labels: Mapping[str, str]
    since: Moment | None
    limit: int
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which tasks are meant, all of them by default. Raise InputError."""

    state: str | None = None
    template: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: Moment | None = None
    limit: int = LIMIT
    after: str | None = None
    within: str = ""
    """How the name of the template begins."""

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise InputError(f"unknown state {self.state!r}", f"choose one of {', '.join(STATES)}", source="--state")
        if not 1 <= self.limit <= MOST:
            raise InputError(f"a page of {self.limit} tasks", f"give 1 to {MOST:,}", source="--limit")
        self.place()

    def place(self) -> tuple[int, str] | None:
        """Return the task behind which the page begins."""
        if self.after is None:
            return None
        found = _CURSOR.fullmatch(self.after)
        if found is None or not is_task_id(found[2]):
            remedy = "give what a page before it had as next, or leave it out"
            raise InputError(f"{self.after[:100]!r} is not the next of a page", remedy, source="--after")
        return int(found[1]), found[2]

    @property
    def of_active(self) -> bool:
        """Whether tasks that are done are not meant."""
        return self.state is not None and self.state not in DONE

    def meets(self, task: Task) -> bool:
        """Return whether a task is meant; its children are not looked at."""
        state = state_of(task)
        return (
            (self.state in (None, state) or (self.state == ACTIVE and state not in DONE))
            and self.template in (None, task.request.template_name)
            and task.request.template_name.startswith(self.within)
            and (self.since is None or task.request.at >= millis_of(self.since))
            and (not self.labels or self.labels.items() <= task.labels.items())
        )


def page_of(view: View, wanted: Filter, status: Callable[[Task], TaskStatus]) -> TaskPage:
    """Return the tasks that are meant; where only active ones are, no other is looked at."""
    after = wanted.place()
    tasks = view.active.values() if wanted.of_active else view.headers()
    meant = (task for task in tasks if (after is None or _place(task) < after) and wanted.meets(task))
    found = nlargest(wanted.limit + 1, meant, _place)
    shown = found[: wanted.limit]
    following = "{}/{}".format(*_place(shown[-1])) if len(found) > wanted.limit else None
    return TaskPage(tuple(status(for_status(view, task)) for task in shown), following)


def _place(task: Task) -> tuple[int, str]:
    return task.request.at, task.task_id
