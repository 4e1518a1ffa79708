"""Decisions about tasks: the decision that each task owes, then a round of dispatches for tasks that owe a dispatch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import Action, next_look, owed
from streamsched.domain.phases import Phase
from streamsched.domain.task import Load, Task
from streamsched.domain.template import TemplateError
from streamsched.log.port import Append
from streamsched.log.topics import Topics
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler import aggregator
from streamsched.scheduler.decider import Decider
from streamsched.scheduler.decisions import Decision
from streamsched.scheduler.dispatcher import Dispatcher, Rivals, first_of
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.ghosts import Ghosts
from streamsched.scheduler.planner import plan_task
from streamsched.scheduler.routing import Routing
from streamsched.scheduler.selecting import select
from streamsched.view.view import View

DECISIONS: Final = 2_000
"""Tasks looked at in one step, so that a transaction stays short and beats stay regular after a backlog."""
PLANNING_S: Final = 0.5
"""Time for plans in one turn, except the last: a template decides what its plan costs, and beats must not wait."""
ROUND_BYTES: Final = 16 * 1024 * 1024
"""Work in one transaction: with so much the round ends, however many children were chosen."""
ENDING_S: Final = 0.005
"""How long terminal events wait for other decisions, to share their transaction: clients have the verdict already."""
MAKERS: Final[dict[Action, Callable[[Task, Identity, int], e.Event]]] = {
    Action.TIME: aggregator.time_out,
    Action.STOP: aggregator.stop,
    Action.CANCEL: aggregator.cancel_rest,
    Action.END: aggregator.end,
}
"""Functions that make the event a task owes. A plan is kept, SELECT reads the view, dispatches are for many tasks."""

logger = logging.getLogger(__name__)


class TaskDecider(Decider):
    """Plans tasks, dispatches their children, stops and cancels them, and leads them to their end."""

    def __init__(self, view: View, records: Records, me: Identity, topics: Topics) -> None:
        super().__init__(view, records, me, view.homes)
        self._topics = topics
        self._routing = Routing()
        self.learns = self._routing.learns
        self._dispatcher = Dispatcher(me, Entries(view))
        self._dispatcher.touched.update(dict.fromkeys(view.active))
        self._ghosts = Ghosts(view)
        self._ending: dict[str, None] = {}
        """Tasks that owe their terminal event."""
        self._end_at = 0.0

    def on_beat(self, node_id: str, beat: e.NodeBeat | None) -> None:
        """Note the beat of a node, or that it has left (None)."""
        self._routing.heard(node_id, beat, self._me.clock.monotonic())

    def learn(self, state: Task, event: e.Event) -> None:
        """Learn what a worker can run from what became of a child."""
        self._routing.learn(state, cast(e.WorkerEvent, event), self._me.clock.monotonic())

    def forget(self, key: str) -> None:
        """Forget what is kept for deciding about a task."""
        self._agenda.at(key, None)
        self._routing.drop(key)
        self._ghosts.drop(key)
        self._dispatcher.forget(key)
        if key in self._view.active:  # its children still take room
            self._dispatcher.touched[key] = None

    def decide(self, now: int, owned: Collection[int]) -> Sequence[Decision]:
        """Make the decisions that tasks owe, then add a round of dispatches."""
        decisions: dict[str, Decision] = {}
        until = self._me.clock.monotonic() + PLANNING_S
        for task_id in islice(self._agenda.take(now), DECISIONS):
            if task_id not in self._view.active:
                continue
            self._dispatcher.touched[task_id] = None
            if not self._is_free(task_id, owned):
                if task_id not in self.in_flight:
                    self._ghosts.look(task_id, now)
                continue
            task = self._view.active[task_id]
            action = self._look(task, now)
            if action is Action.END:
                if not self._ending:
                    self._end_at = self._me.clock.monotonic() + ENDING_S
                self._ending[task_id] = None
                self._dispatcher.learn(task)
            elif action is not None and action is not Action.DISPATCH:
                decisions[task_id] = self._decided(task, action)
            if action is Action.PLAN and self._me.clock.monotonic() >= until:
                break
        self._dispatch(decisions, now, owned)
        full = len(self._ending) >= DECISIONS
        if self._ending and (decisions or full or self._me.clock.monotonic() >= self._end_at):
            for task in [self._view.active[each] for each in self._ending if self._is_free(each, owned)]:
                if owed(task, now) is Action.END:
                    decisions[task.task_id] = self._decided(task, Action.END)
            self._ending.clear()
        return [decision for decision in decisions.values() if self._is_in_time(decision)]

    def _is_in_time(self, decision: Decision) -> bool:
        """Return whether no deadline has passed while it was made; if one has, the task is looked at again."""
        task, first, last = decision.state, decision.events[0], decision.events[-1]
        deadline = task.limits.deadline
        if deadline is None and isinstance(first, e.TaskPlanned):
            deadline = first.deadline
        runs = task.phase is Phase.RUNNING or last is not first
        if not deadline or last.at < deadline or not runs or isinstance(last, e.TimerFired):
            return True
        self.touch(decision.key)
        return False

    def wait(self, now: int, at_most: float) -> float:
        """Return how many seconds may pass before there is something to look at, or to end."""
        if self._ending:
            at_most = min(at_most, max(0.0, self._end_at - self._me.clock.monotonic()))
        return super().wait(now, at_most)

    def _decided(self, task: Task, action: Action) -> Decision:
        basis = self._basis(task.task_id)
        if action is Action.PLAN:
            event: e.Event = plan_task(task, self._me, basis, self._dispatcher.keep)
        elif action is Action.SELECT:
            event = select(task, self._view.known_of, self._me, basis)
        else:
            event = MAKERS[action](task, self._me, basis)
        return self._decision(task.task_id, task, event, work=tuple(self._markers(event)))

    def _look(self, task: Task, now: int) -> Action | None:
        """Return what a task owes, and note when to look at it again."""
        action, due = owed(task, now), next_look(task, now)
        if action is Action.DISPATCH:
            self._routing.want(task.task_id)
        else:
            self._routing.drop(task.task_id)
        if due is not None:
            self._agenda.at(task.task_id, due)
        return action

    def _markers(self, event: e.Event) -> Iterator[Append]:
        """Yield the work-log records that tell workers to stop children."""
        by_partition: dict[int, list[e.Release]] = {}
        for release in event.releases if isinstance(event, e.ChildrenStopping) else ():
            if release.partition < self._topics.child_partitions:  # nothing was dispatched to any other
                by_partition.setdefault(release.partition, []).append(release)
        for partition, releases in by_partition.items():
            marker: Any = replace(event, event_id=self._me.ids(), releases=tuple(releases))
            yield self._records.work(marker, marker.task_id, partition)

    # --- dispatches -------------------------------------------------------------------------------------------------

    def _dispatch(self, decisions: dict[str, Decision], now: int, owned: Collection[int]) -> None:
        """Add a round of dispatches: of runnable tasks, and of tasks that are planned in this very round."""
        moment = self._me.clock.monotonic()
        tasks = {task.task_id: task for task in self._runnable(now, moment)} | dict(_planned(decisions, now))
        if not tasks:
            return
        workers = self._routing.present(moment)
        flying = self.in_flight.reserved()
        ghosts = [*self._ghosts.present(owned, moment), *self._unread(flying, now)]
        needs = {task.task_id: task.requirement(now) for task in (*tasks.values(), *ghosts)}
        routes = self._routing.routes(needs, workers, moment)
        load = Load(self._view.load)
        for reserves in flying.values():
            for partition, count in reserves.items():
                load[partition] += count
        left = ROUND_BYTES
        rivals = Rivals(self._view.active, ghosts, flying)
        chosen = self._dispatcher.choose(list(tasks.values()), workers, load, now, routes, rivals)
        self._ghosts.leave(self._dispatcher.left, moment)
        for task_id, releases in chosen.items():
            try:
                work, size = self._work(tasks[task_id], releases, left)
            except TemplateError as error:
                # Another version planned it. A scheduler that can read it dispatches it, or a person cancels it.
                why = "task %s stands still: its children cannot be made: %s"
                logger.error(why, task_id, error, extra={"task": task_id})
                self._routing.drop(task_id)
                continue
            if not work:  # this round has read enough pages: the next one begins with it
                continue
            taken = first_of(releases, len(work))
            before = decisions[task_id].events if task_id in decisions else ()
            decisions[task_id] = self._dispatched(task_id, before, taken, work)
            self._dispatcher.touched[task_id] = tasks[task_id]
            # Served tasks go to the end of the queue: they wait until this round was read back anyway.
            self._routing.drop(task_id)
            if (route := routes[needs[task_id]]).trial:
                self._routing.placed(needs[task_id], taken, route, moment)
            left -= size
            if left <= 0:  # the next round begins with the others
                return

    def _runnable(self, now: int, moment: float) -> Iterator[Task]:
        for task_id in self._routing.runnable(moment):
            task = None if task_id in self.in_flight else self._view.active.get(task_id)
            if task is not None and owed(task, now) is Action.DISPATCH:  # it may be cancelled, and not be looked at yet
                yield task

    def _unread(self, flying: Mapping[str, Mapping[int, int]], now: int) -> Iterator[Task]:
        """Yield the tasks that may dispatch more than what was dispatched and not read back."""
        for task_id, reserves in flying.items():
            task, count = self._view.active.get(task_id), sum(reserves.values())
            if task is None or task.hold or task.phase is not Phase.RUNNING:
                continue
            if task.bound - task.first_undispatched > count < task.room(now):
                yield task

    def _dispatched(
        self, task_id: str, before: Sequence[e.Event], releases: tuple[e.Release, ...], work: tuple[Append, ...]
    ) -> Decision:
        event = self._me.sign(e.ChildrenDispatched, task_id=task_id, releases=releases, basis=self._basis(task_id))
        reserves = Counter[int]()
        for release in releases:
            reserves[release.partition] += release.last - release.first + 1
        return self._decision(task_id, self._view.active[task_id], *before, event, work=work, reserves=reserves)

    def _work(self, task: Task, releases: Sequence[e.Release], limit: int) -> tuple[tuple[Append, ...], int]:
        """Return the work of these releases and its bytes; it ends with the record that reaches ``limit`` bytes."""
        made, size = [], 0
        self._view.bring_back(task, releases)
        for partition, record in self._dispatcher.records(task, releases, self._basis(task.task_id)):
            made.append(append := self._records.work(record, task.task_id, partition, record.traceparent))
            size += len(append.value or b"")
            if size >= limit:
                break
        return tuple(made), size


def _planned(decisions: dict[str, Decision], now: int) -> Iterator[tuple[str, Task]]:
    """Yield the tasks that are being planned and then owe a dispatch, each in the state in which its plan leaves it."""
    for task_id, decision in decisions.items():
        if isinstance(decision.events[0], e.TaskPlanned):
            task = Task(decision.state.request, Load())
            task.hold, task.limits = decision.state.hold, decision.state.limits
            evolve(task, decision.events[0], task.load)
            if owed(task, now) is Action.DISPATCH:
                yield task_id, task
