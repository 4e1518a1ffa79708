"""The layers of the tasks that were asked for last: read once from the details in the view, then kept up by the events.

All of a task's layers are read together: most of what that costs is to read the details.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, TypeVar

from streamsched.domain.errors import NoSuchTask
from streamsched.domain.events import WorkerEvent
from streamsched.domain.task import Task
from streamsched.http.desk import Desk
from streamsched.http.session import Change, FollowingSession
from streamsched.queries.layers import TaskLayers

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Of all layers that are kept."""
KEPT: Final = 256
"""Tasks whose layers are kept."""
TOGETHER: Final = 3_000
"""Details that are read at once."""
PATIENCE_S: Final = 2.0
"""How long a request waits for a layer; then it is answered with what was read, and the next one goes on."""
T = TypeVar("T")


class Layers:
    """The layers that are kept. All but ``read`` is of the thread of the session."""

    def __init__(self) -> None:
        self._layers: OrderedDict[str, TaskLayers] = OrderedDict()

    def take(self, change: Change, session: FollowingSession) -> None:
        """Take note of an event that was folded."""
        event = change.event
        if not isinstance(event, WorkerEvent):
            return
        layers = self._layers.get(event.task_id)
        view = session.follower.view
        task = None if layers is None else view.task(event.task_id)
        if layers is not None and task is not None and task.is_work(event.child):
            layers.set(task, event.child, view.known_of(task, event.child))

    async def read(self, desk: Desk, task_id: str, look: Callable[[TaskLayers, Task], T]) -> tuple[T, bool]:
        """Return what ``look`` finds in the layers of a task, and whether all of its children were read."""
        deadline = time.monotonic() + PATIENCE_S
        while not await desk.read(lambda session: self._go_on(session, task_id)) and time.monotonic() < deadline:
            pass

        def found(session: FollowingSession) -> tuple[T, bool]:
            task = session.follower.view.task(task_id)
            if task is None:
                raise NoSuchTask(task_id)
            layers = self._layers.get(task_id) or TaskLayers(0)
            return look(layers, task), layers.following is None

        return await desk.read(found)

    def _go_on(self, session: FollowingSession, task_id: str) -> bool:
        """Read some details; return whether all were read."""
        view = session.follower.view
        task = view.task(task_id)
        if task is None:
            return True
        layers = self._layers.get(task_id)
        if layers is None:
            layers = self._layers[task_id] = TaskLayers(task.work)
            self._make_room()
        self._layers.move_to_end(task_id)
        if layers.following is None:
            return True
        some = list(islice(view.details(task_id, layers.following + task.split), TOGETHER))
        for child, detail in some:
            if task.is_work(child):
                layers.set(task, child, detail)
        layers.following = some[-1][0] - task.split + 1 if len(some) == TOGETHER else None
        return layers.following is None

    def _make_room(self) -> None:
        while len(self._layers) > KEPT:
            self._layers.popitem(last=False)
        while len(self._layers) > 1 and sum(map(len, self._layers.values())) > KEPT_BYTES:
            self._layers.popitem(last=False)
