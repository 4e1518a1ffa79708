"""A handle of one task."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from streamsched.commands.redrive import Redriven
    from streamsched.installation.session import Session
    from streamsched.queries.presence import Presence
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.queries.tasks import Tasks


class Task:
    """A task of a client, in its thread. ``first`` is False if the task existed before it was submitted here.

    It works as long as its client is open. A task that a job submitted without one has a client of its own: use it as a
    context manager, or leave it to the garbage collector.
    """

    def __init__(self, session: Session, presence: Callable[[], Presence], task_id: str, *, first: bool) -> None:
        self.task_id = task_id
        self.first = first
        self._session = session
        self._presence = presence
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
        return self._tasks.status(self.task_id, self._presence())

    def wait(self, timeout: float | None = None) -> TaskStatus:
        """Wait until the task is done and return its status. Raise NoSuchTask.

        Raise TimeoutError after so many seconds, with what is missing if nothing works on the task.
        """
        return self._tasks.wait(self.task_id, timeout, self._presence)

    def children(self, state: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children in order, those in ``state`` if it is given. Raise NoSuchTask."""
        return self._tasks.children(self.task_id, state)

    def results(self) -> Iterator[ChildStatus]:
        """Yield the children that succeeded, in order, with their results. Raise NoSuchTask."""
        return self._tasks.children(self.task_id, "succeeded")

    def result(self) -> Any:
        """Return what the reduce has returned. Raise NoSuchTask; NoResult without one that succeeded."""
        return self._tasks.reduced(self.task_id).result

    def cancel(self, reason: str = "") -> TaskStatus:
        """Request the cancellation, unless the task is done; returns its status before that. Raise NoSuchTask."""
        from streamsched.commands.cancel import cancel

        return cancel(self._session, self.task_id, reason)

    def redrive(self, *, everything: bool = False, restart: bool = False, reason: str = "") -> Redriven:
        """Run the children that did not succeed again, or all of them, as ``Client.redrive``."""
        from streamsched.commands.redrive import redrive

        return redrive(self._session, self.task_id, everything=everything, restart=restart, reason=reason)

    @property
    def _tasks(self) -> Tasks:
        from streamsched.queries.tasks import Tasks

        return Tasks(self._session)
