"""An installation as ``top`` watches it, through the HTTP API of a server, which is asked at a bounded rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, TypeVar

from streamsched.domain.errors import NoSuchTask
from streamsched.installation.settings import Settings
from streamsched.queries.durations import Straggler, Stragglers
from streamsched.queries.failures import FailureStatus
from streamsched.queries.listing import ACTIVE
from streamsched.queries.nodes import NodeDocument
from streamsched.queries.status import TaskStatus
from streamsched.reach.asking import Page, Server
from streamsched.reach.remote_installation import address_of_task
from streamsched.reach.wire import Reply

LISTED: Final = 200
"""Active tasks that are listed: the newest."""
NEWEST: Final = 100
"""Newest tasks, of which those that have ended are listed too."""
TASKS_S: Final = 1.0
"""Between two looks at the tasks, at least."""
NODES_S: Final = 5.0
"""Between two looks at the nodes, at least: the server reads all beats for one."""
GAP_S: Final = 0.25
"""Between two looks at the chosen task, at least, however fast its user goes from task to task."""
T = TypeVar("T")


class RemoteOverview:
    """Tasks and nodes, as ``Overview`` has them; all methods raise ServerUnreachable, WrongServer, ServerRefused."""

    def __init__(self, settings: Settings) -> None:
        self._server = Server(settings)
        self._tasks: dict[str, TaskStatus] = {}
        self._nodes: list[NodeDocument] = []
        self._told: dict[str, Reply] = {}
        """By address, what was told of the chosen task."""
        self._looked_at = self._listed_at = self._heard_at = float("-inf")
        self.active = ""
        """How many tasks have not ended, or more than how many."""

    def begin(self) -> None:
        """Look for the first time: a server that is not there is told at once."""
        self.follow(0.0)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    def follow(self, seconds: float) -> bool:
        """Look at tasks and nodes where the last look is long enough ago. The server folds: there is nothing to do."""
        time.sleep(max(0.0, self._looked_at + GAP_S - time.monotonic()))
        self._looked_at = now = time.monotonic()
        if now >= self._heard_at + NODES_S:
            self._nodes = list(self._server.get("/v1/nodes", Page[NodeDocument]).items)
            self._heard_at = now
        if now >= self._listed_at + TASKS_S:
            active = self._server.get("/v1/tasks", Page[TaskStatus], [("state", ACTIVE), ("limit", LISTED)])
            newest = self._server.get("/v1/tasks", Page[TaskStatus], [("limit", NEWEST)])
            ended = [each for each in newest.items if each.done]
            self._tasks = {each.task_id: each for each in (*active.items, *ended)}
            self.active = f"{len(active.items):,}" if active.next is None else f"more than {len(active.items):,}"
            self._listed_at = now
        return True

    def task_ids(self) -> list[str]:
        """Return the tasks that have not ended, the newest first, then those that have ended lately."""
        return list(self._tasks)

    def brief(self, task_id: str) -> TaskStatus | None:
        """Return the status of a task."""
        return self._tasks.get(task_id)

    def status(self, task_id: str) -> TaskStatus | None:
        """Return the status of a task, with why it does not get on."""
        address = address_of_task(task_id)
        self._told = {path: told for path, told in self._told.items() if path in (address, f"{address}/failures")}
        return self._seen(address, TaskStatus)

    def failures(self, task_id: str) -> Sequence[FailureStatus]:
        """Return the groups of a task's failures, those with the most attempts first."""
        found = self._seen(address_of_task(task_id, "/failures"), Page[FailureStatus])
        return () if found is None else found.items

    def stragglers(self, task_id: str) -> Sequence[Straggler]:
        """Return the children of a task that have run longest."""
        return self._server.get(address_of_task(task_id, "/stragglers"), Stragglers).items

    def nodes(self) -> list[NodeDocument]:
        """Return the nodes by their last beats, with their ages as of the last look at them."""
        return self._nodes

    def _seen(self, address: str, kind: type[T]) -> T | None:
        """Return what is told of a task, unless there is none; what has not changed is not sent again."""
        before = self._told.get(address)
        try:
            reply = self._server.poll(address, "" if before is None else before.etag, 0)
        except NoSuchTask:
            return None
        if reply.status == 304 and before is not None:
            reply = before
        self._told[address] = reply
        return self._server.read(reply, kind)
