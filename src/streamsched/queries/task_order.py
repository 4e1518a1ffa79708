"""Tasks in the order of their requests, for who follows the journal: a page looks at no more tasks than it needs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streamsched.domain.events import Event, TaskRequested
from streamsched.domain.task import Task
from streamsched.queries.documents import millis_of
from streamsched.queries.listing import Filter, TaskPage, page_of
from streamsched.queries.status import TaskStatus, for_status

if TYPE_CHECKING:
    from streamsched.view.view import View

LOOKED_AT: Final = 1_000
"""Tasks that are looked at for one part of a page: others are answered in between."""


class TaskOrder:
    """When each task of a view was requested; told of the events that are folded from then on."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._places = sorted((task.request.at, task.task_id) for task in view.headers())

    def take(self, event: Event) -> None:
        """Take note of an event that was folded."""
        if isinstance(event, TaskRequested):
            task = self._view.header(event.task_id)
            if task is not None and task.request.event_id == event.event_id:
                place = task.request.at, task.task_id
                at = bisect_left(self._places, place)
                if self._places[at : at + 1] != [place]:
                    insort(self._places, place)

    def newest(self, most: int) -> list[str]:
        """Return the ids of so many tasks, the newest first."""
        return [task_id for _, task_id in self._places[-most:][::-1]]

    def page(self, wanted: Filter, status: Callable[[Task], TaskStatus]) -> TaskPage:
        """Return some of the tasks that are meant, the newest first; with ``next`` there may be more."""
        if wanted.of_active and len(self._view.active) <= LOOKED_AT:
            return page_of(self._view, wanted, status)
        after, since = wanted.place(), None if wanted.since is None else millis_of(wanted.since)
        end = len(self._places) if after is None else bisect_left(self._places, after)
        found: list[TaskStatus] = []
        for looked in range(1, end + 1):
            at, task_id = self._places[end - looked]
            if since is not None and at < since:
                break
            header = self._view.header(task_id)
            if header is not None and wanted.meets(header):
                found.append(status(for_status(self._view, header)))
            if looked < end and (len(found) == wanted.limit or looked == LOOKED_AT):
                return TaskPage(tuple(found), f"{at}/{task_id}")
        return TaskPage(tuple(found), None)
