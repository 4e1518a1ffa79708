"""Tasks as they were: what ``as_of`` asks for, of a task that is folded anew up to a position of its partition."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, TypeVar

from streamsched.domain.errors import NoSuchTask
from streamsched.domain.task import Task
from streamsched.http.desk import Desk
from streamsched.http.problems import PastNotReady
from streamsched.installation.site import Installation
from streamsched.queries.history import ends_of
from streamsched.queries.past_task import PastTask

KEPT: Final = 4
"""Folds that are kept: who moves on from one of them waits for the rest alone."""
SLICE_S: Final = 0.25
"""How long other reads of the log wait for a fold."""
PATIENCE_S: Final = 2.0
"""How long a request waits for a fold; then it is told how far that is, and the next one goes on."""
R = TypeVar("R")
Found = tuple[R, str, str]
"""What was asked for, the position that it is of, and the time of the task's last event before that, as in headers."""


class Pasts:
    """The tasks whose past was asked for last. All but ``read`` is of the thread that reads the log."""

    def __init__(self) -> None:
        self._kept: list[PastTask] = []
        """The one that was used last stands last."""

    async def read(
        self, desk: Desk, task: Task, offset: int | None, moment: int | None, look: Callable[[Task], R]
    ) -> Found[R]:
        """Return what a function finds in a task as it was before an offset, or after a time in milliseconds.

        Raise NoSuchTask where it had not been requested; PastNotReady while it is folded.
        """

        def fold(site: Installation) -> Found[R]:
            ((home, end),) = ends_of(site, task.task_id, position=offset, time=moment).items()
            folded = desk.positions.get(home.partition, 0)
            end = min(end, folded)
            most = folded if moment is not None and moment >= task.request.at else 0  # its record is written later
            past = self._nearest(site, task, end)
            if not past.go_on(site, end, SLICE_S, most):
                done, total = past.position - past.begin, end - past.begin
                raise PastNotReady(f"{done:,} of {total:,} records were folded", "ask again in a moment")
            found = past.task
            if found is None:
                raise NoSuchTask(f"task {task.task_id!r} had not been requested by position {home.partition}:{end}")
            return look(found), f"{home.partition}:{past.position}", formatdate(past.time / 1000, usegmt=True)

        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await desk.look(fold)
            except PastNotReady:
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Let go of all of them."""
        while self._kept:
            self._kept.pop().close()

    def _nearest(self, site: Installation, task: Task, end: int) -> PastTask:
        """Return the fold of a task with the least left to do; a new one where all are beyond ``end``."""
        known = [past for past in self._kept if past.task_id == task.task_id and past.position <= end]
        if known:
            past = max(known, key=lambda past: past.position)
            self._kept.remove(past)
        else:
            past = PastTask(site, task)
            while len(self._kept) >= KEPT:
                self._kept.pop(0).close()
        self._kept.append(past)
        return past
