"""Which workers may take the children of which task, and which tasks wait until one may.

A task that owes a dispatch is *runnable*. One whose requirement no present worker meets is *parked* under it, and not
looked at until an announcement changes, or the time of a shunned worker is over (``scheduler.shuns``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from streamsched.domain import events as e
from streamsched.domain.routing import Requirement
from streamsched.domain.task import Task
from streamsched.scheduler.shuns import Shuns
from streamsched.scheduler.workers import Capacity, Workers, announced_by

NEVER: Final = float("inf")
RAN: Final[frozenset[type[e.Event]]] = frozenset({e.ChildCheckpointed, e.ChildCompleted, e.ChildFailed})
"""Events that show that a worker has run a child. After ``ChildStarted`` it may still import the module, in vain."""


class Route(NamedTuple):
    """The workers that may take children of a requirement, by their node ids; those of ``trial`` take only one."""

    nodes: frozenset[str]
    trial: frozenset[str] = frozenset()


class Routing:
    """What a scheduler knows of its workers, and the tasks that wait for them. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._workers = Workers()
        self._shuns = Shuns()
        self.learns: set[type[e.Event]] = {e.ChildReturned}
        """The events to learn from; what workers ran is among them only while one is shunned."""
        self._runnable: dict[str, None] = {}
        self._parked: dict[Requirement, dict[str, None]] = {}
        self._under: dict[str, Requirement] = {}
        """The requirement under which a task is parked."""
        self._news = False
        self._look_at = NEVER

    # --- what is known of workers -----------------------------------------------------------------------------------

    def heard(self, node_id: str, beat: e.NodeBeat | None, now: float) -> None:
        """Note a beat, or that the node has left (None)."""
        before = self._workers.get(node_id)
        if self._workers.heard(node_id, beat, now):
            self._news = True
        if announced_by(before) != announced_by(self._workers.get(node_id)):
            self._shuns.forget(node_id)
            self._doubt()

    def learn(self, task: Task, event: e.WorkerEvent, now: float) -> None:
        """Learn from what became of a child: that its worker could not run it, or that one in doubt can."""
        if isinstance(event, e.ChildReturned):
            if event.why is not None and self._workers.get(event.why.node) is not None:
                self._shuns.learn(task.requirement_of(event.child), event.why.node, event.by, now)
        elif self._shuns.ran(task.requirement_of(event.child), event.by):
            self._news = True
        self._doubt()

    def _doubt(self) -> None:
        (self.learns.update if self._shuns else self.learns.difference_update)(RAN)

    # --- who waits --------------------------------------------------------------------------------------------------

    def want(self, task_id: str) -> None:
        """Note that a task owes a dispatch."""
        if task_id not in self._under:
            self._runnable[task_id] = None

    def drop(self, task_id: str) -> None:
        """Note that a task owes no dispatch any more."""
        self._runnable.pop(task_id, None)
        requirement = self._under.pop(task_id, None)
        if requirement is not None:
            del self._parked[requirement][task_id]
            if not self._parked[requirement]:
                del self._parked[requirement]

    def runnable(self, now: float) -> Collection[str]:
        """Return the tasks whose children a worker may take; parked ones join them when a worker may have come."""
        if self._news or now >= self._look_at:
            self._news = False
            present = self._present(now)
            for requirement in [each for each in self._parked if self._route(each, present, now).nodes]:
                for task_id in self._parked.pop(requirement):
                    del self._under[task_id]
                    self._runnable[task_id] = None
            self._look_at = min((self._shuns.until(each, now) for each in self._parked), default=NEVER)
        return self._runnable

    def present(self, now: float) -> list[Capacity]:
        """Return the workers that sent a beat lately."""
        return list(self._workers.present(now))

    def routes(
        self, needs: Mapping[str, Requirement], workers: Sequence[Capacity], now: float
    ) -> Mapping[Requirement, Route]:
        """Return which workers may take what these tasks require, and park runnable tasks that none may take."""
        present = frozenset(worker.node_id for worker in workers)
        routes: dict[Requirement, Route] = {}
        for task_id, requirement in needs.items():
            route = routes.get(requirement)
            if route is None:
                route = routes[requirement] = self._route(requirement, present, now)
            if not route.nodes and task_id in self._runnable:
                self._park(task_id, requirement, now)
        return routes

    def placed(self, requirement: Requirement, releases: Sequence[e.Release], route: Route, now: float) -> None:
        """Note that children were released: a worker in doubt has its one child then."""
        partitions = {release.partition for release in releases}
        for node_id in route.trial:
            worker = self._workers.get(node_id)
            if worker is not None and not partitions.isdisjoint(worker.partitions):
                self._shuns.tried(requirement, node_id, now)

    def _present(self, now: float) -> frozenset[str]:
        return frozenset(worker.node_id for worker in self._workers.present(now))

    def _route(self, requirement: Requirement, present: frozenset[str], now: float) -> Route:
        able = self._workers.able(requirement) & present
        return Route(*self._shuns.split(requirement, able, now)) if self._shuns else Route(able)

    def _park(self, task_id: str, requirement: Requirement, now: float) -> None:
        del self._runnable[task_id]
        self._under[task_id] = requirement
        self._parked.setdefault(requirement, {})[task_id] = None
        self._look_at = min(self._look_at, self._shuns.until(requirement, now))
