"""A handle of one task."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from streamsched.commands.redrive import Redriven, RedrivePreview
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.reach import Reach


class Task:
    """A task of a client, in its thread. ``first`` is False if the task existed before it was submitted here.

    It works as long as its client is open. A task that a job submitted without one has a client of its own: use it as a
    context manager, or leave it to the garbage collector.
    """

    def __init__(self, reach: Reach, task_id: str, *, first: bool) -> None:
        self.task_id = task_id
        self.first = first
        self._reach = reach
        self._close: Callable[[], object] = lambda: None

    def __repr__(self) -> str:
        return f"Task({self.task_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def owning(self, close: Callable[[], object]) -> Self:
        """Let the task close its client, by ``close``; returns the task."""
        self._close = weakref.finalize(self, close)
        return self

    def close(self) -> None:
        """Close the client, if it is the task's own."""
        self._close()

    def status(self) -> TaskStatus:
        """Return the status, with the reason if nothing works on the task. Raise NoSuchTask."""
        return self._reach.status(self.task_id)

    def wait(self, timeout: float | None = None) -> TaskStatus:
        """Wait until the task has ended and return its status. Raise NoSuchTask.

        Raise TimeoutError after so many seconds, with what is missing if nothing works on the task.
        """
        return self._reach.wait(self.task_id, timeout)

    def children(self, state: str | None = None, *, where: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children in order, those in ``state`` and those that meet the selector ``where``.

        Raise NoSuchTask; SelectorError for a selector that cannot be read, or that no child can ever meet.
        """
        return self._reach.children(self.task_id, state, where)

    def results(self, *, where: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children that succeeded (and meet ``where``), in order, with their results. Raise NoSuchTask."""
        return self._reach.children(self.task_id, "succeeded", where)

    def failures(self) -> list[FailureStatus]:
        """Return the failures by their causes, those with the most attempts first. Raise NoSuchTask."""
        return self._reach.failures(self.task_id)

    def result(self) -> Any:
        """Return what the reduce has returned. Raise NoSuchTask; NoResult without one that succeeded."""
        return self._reach.result(self.task_id)

    def cancel(self, reason: str = "", *, kill: bool = False) -> TaskStatus:
        """Request the cancellation, unless the task has ended; returns its status before that. Raise NoSuchTask.

        With ``kill`` its running children are killed at once, even if the task is closing already.
        """
        return self._reach.cancel(self.task_id, reason, kill=kill)

    def pause(self, *, now: bool = False, reason: str = "") -> TaskStatus:
        """Hold the task: nothing of it begins until ``resume``. Returns its status after that.

        Running children finish; with ``now`` they stop at their next checkpoint, and continue after the resume. Raise
        NoSuchTask; NotHoldable where it is closing or has ended.
        """
        return self._reach.pause(self.task_id, now=now, reason=reason)

    def resume(self, *, reason: str = "") -> TaskStatus:
        """End the hold, if there is one; returns the status after that. Raise NoSuchTask, NotHoldable."""
        return self._reach.resume(self.task_id, reason=reason)

    def set_limits(self, *, reason: str = "", **limits: object) -> TaskStatus:
        """Replace the limits that are named, and return the status after that: the others stay.

        ``parallelism=50``, ``rate="100/s"``, ``priority=3``, ``weight=2``, ``tolerate=5`` or ``"2%"``,
        ``deadline="6h"`` (from now) or an aware ``datetime``; ``"none"`` takes a limit away. Raise NoSuchTask,
        InputError; NotChangeable where the task is closing or has ended.
        """
        return self._reach.set_limits(self.task_id, limits, reason)

    def redrive(
        self, *, where: str | None = None, everything: bool = False, restart: bool = False, reason: str = ""
    ) -> Redriven:
        """Run the children that did not succeed (and meet ``where``) again, or all, as ``Client.redrive``."""
        return self._reach.redrive(self.task_id, where=where, everything=everything, restart=restart, reason=reason)

    def preview_redrive(self, *, where: str | None = None, everything: bool = False) -> RedrivePreview:
        """Return how many children ``redrive`` would run again, and of which states; nothing is written."""
        return self._reach.preview_redrive(self.task_id, where=where, everything=everything)
