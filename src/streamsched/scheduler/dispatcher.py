"""The dispatcher: which children go to which partition now.

A worker should hold about one second of work: long children one for each slot, short ones thousands. One key alone is
served as in ``filling.py``; where keys compete (``domain/fairness.py``), the workers are shared out as in
``sharing.py``. Each round fills one partition of each worker and the next round moves on, because a transaction costs
by the partitions that it touches, not by the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import structs

from streamsched.domain.events import ChildCreated, Release, Terms
from streamsched.domain.options import REDUCE, Options, ReduceInput, options_of, write_options
from streamsched.domain.places import labels_of
from streamsched.domain.routing import Requirement
from streamsched.domain.splitting import ChildArguments, Plan, reduce_arguments, split_options
from streamsched.domain.task import ChildDetail, Task
from streamsched.domain.template import TemplateError
from streamsched.runtime.identity import Identity
from streamsched.scheduler.entries import Entries, Spent
from streamsched.scheduler.filling import Filling
from streamsched.scheduler.routing import Route
from streamsched.scheduler.sharing import Sharing
from streamsched.scheduler.standing import Standing
from streamsched.scheduler.workers import Capacity

KINDS: Final = 1_000
"""Kinds of children of which the length is kept."""
_NEW: Final = ChildDetail()


def _terms_of(task: Task, child: int) -> Terms | None:
    """Return what a child's record says of its fairness and its worker, beside its code; None: nothing."""
    key, weight, queue, needs = task.key, task.weight, task.template.queue, task.spec_of(child).needs
    return Terms(key, weight, queue, labels_of(needs)) if key or weight != 1 or queue or needs else None


def _written(options: Options | None) -> str | None:
    return None if options is None else write_options(options)


def first_of(releases: Sequence[Release], children: int) -> tuple[Release, ...]:
    """Cut releases off after so many children."""
    kept: list[Release] = []
    for release in releases:
        if children > 0:
            last = min(release.last, release.first + children - 1)
            kept.append(release if last == release.last else structs.replace(release, last=last))
            children -= last - release.first + 1
    return tuple(kept)


def _is_one_key(tasks: Sequence[Task]) -> bool:
    key = tasks[0].stake.key
    return all(task.stake.key == key for task in tasks)


class Rivals(NamedTuple):
    """What competes with the tasks of a round."""

    active: Mapping[str, Task] = MappingProxyType({})
    """All active tasks, of which those that were touched are looked at."""
    ghosts: Sequence[Task] = ()
    """Tasks that owe a dispatch which is not made in this round."""
    flying: Mapping[str, Mapping[int, int]] = MappingProxyType({})
    """Children that were dispatched and not read back, by task and partition."""


ALONE: Final = Rivals()


class _Compiled(NamedTuple):
    """The arguments of the children of a plan, and the hash of their kind."""

    digest: str
    arguments: ChildArguments
    kind: int


class Dispatcher:
    """Chooses children and makes their records.

    It keeps each task's compiled arguments, and how long the children of ended tasks took, by their *kind*: the handler
    and the arguments of the first child. A task of a known kind need not run a few children first to be measured.
    """

    def __init__(self, me: Identity, entries: Entries) -> None:
        self._me = me
        self._entries = entries
        self._compiled: dict[str, _Compiled] = {}
        """By task."""
        self._lengths: dict[int, float] = {}
        self._rounds = 0
        self._standing = Standing(self._mean_ms)
        self.touched = self._standing.touched
        """Tasks that may have changed: noted without a call, looked at where keys compete."""
        self.left: Sequence[Task] = ()
        """The ghosts that would have got something in the last round: it was left to others."""

    def keep(self, task: Task, plan: Plan) -> None:
        """Keep the arguments of a plan: its children are dispatched in the turn in which it is made."""
        if plan.arguments is not None and plan.children:
            with suppress(TemplateError):  # it is said where its children are made
                self._compiled[task.task_id] = _Compiled(plan.digest, plan.arguments, _kind(task, plan.arguments))

    def choose(
        self,
        tasks: Sequence[Task],
        workers: Sequence[Capacity],
        load: Mapping[int, int],
        now: int,
        routes: Mapping[Requirement, Route] = MappingProxyType({}),
        rivals: Rivals = ALONE,
    ) -> dict[str, tuple[Release, ...]]:
        """Return the releases of this round by task, where there are any.

        ``load`` counts live children by partition, decisions in flight included. A requirement without a route may go
        to any worker.
        """
        if not workers or not tasks:
            return {}
        self._rounds += 1
        self._entries.begin()
        workers = sorted(workers, key=self._lot)
        everyone = (*tasks, *rivals.ghosts)
        ghosts = {task.task_id: task for task in rivals.ghosts}
        if len(everyone) == 1 or _is_one_key(everyone):
            turns = Filling(workers, load, self._rounds, self._mean_ms).run(tasks, routes, now)
        else:
            self._standing.update(rivals.active, rivals.flying)
            sharing = Sharing(workers, load, self._rounds, self._mean_ms, self._standing)
            turns = sharing.run(everyone, ghosts, routes, now)
        chosen = {turn.task.task_id: tuple(turn.releases) for turn in turns if turn.releases}
        self.left = [task for task_id, task in ghosts.items() if chosen.pop(task_id, ())]
        return chosen

    def _lot(self, worker: Capacity) -> int:
        """Return a lot that orders equal workers, so that two schedulers at once need not choose the same one."""
        return crc32(f"{self._me.node_id} {self._rounds} {worker.node_id}".encode())

    def records(self, task: Task, releases: Sequence[Release], basis: int) -> Iterator[tuple[int, ChildCreated]]:
        """Yield the partition and record of each child, as far as the pages go that this round may read.

        Raise TemplateError where template and plan do not fit.
        """
        paged = task.split and 0 < releases[0].first < task.work_end
        if not paged:
            arguments, options = self._of_stage(task, releases[0].first, basis)
        child_spec = task.spec_of(releases[0].first)
        me, handler = self._me, child_spec.code
        at, task_id = me.clock.now(), task.task_id
        timeout, heartbeat, priority = child_spec.timeout_ms, child_spec.heartbeat_ms, task.limits.priority
        trace, terms = task.request.traceparent, _terms_of(task, releases[0].first)
        for release in releases:
            for child in range(release.first, release.last + 1):
                known = task.detail_of(child) if release.ordinal > 1 else _NEW
                try:
                    args, options = self._entries(task, child) if paged else (arguments(child), options)
                except Spent:
                    return
                yield (
                    release.partition,
                    ChildCreated(
                        me.ids(), at, me.name, task_id, child, release.ordinal, known.attempt, handler,
                        args, timeout, heartbeat, priority, known.sequence, known.state,
                        known.recoveries, trace, options, terms,
                    ),
                )  # fmt: skip

    def _of_stage(self, task: Task, child: int, basis: int) -> tuple[Callable[[int], str], str | None]:
        """Return the arguments of the stage of a child, all whose children are released together, and its options."""
        if task.split and not child:
            return lambda index: "{}", split_options(task.template, task.params(), task.plan)
        if child < task.work_end:
            return self._of_task(task).arguments, _written(options_of(task.template.child))
        request, text = task.request, reduce_arguments(task.template, task.params())
        results = ReduceInput(request.event_id.hex(), request.at, basis, int(task.split), task.work_end)
        return lambda index: text, _written(options_of(task.spec_of(child), Options(REDUCE, results)))

    def learn(self, task: Task) -> None:
        """Keep for tasks of the same kind how long the children of this one took, which has ended."""
        if task.measured and (kind := self._kind_of(task)) is not None:
            self._lengths.pop(kind, None)
            self._lengths[kind] = task.busy_ms / task.measured
            if len(self._lengths) > KINDS:
                del self._lengths[next(iter(self._lengths))]

    def _mean_ms(self, task: Task) -> float | None:
        """Return how long a child of this task takes: as measured, or as long as those of the last of its kind."""
        if task.measured:
            return task.busy_ms / task.measured
        kind = self._kind_of(task)
        return None if kind is None else self._lengths.get(kind)

    def _kind_of(self, task: Task) -> int | None:
        """Return the hash of the kind of a task's children; None where they cannot be made, or there are none."""
        if not task.work:
            return None
        if task.split:
            return hash((task.template.child.code, task.plan))
        try:
            return self._of_task(task).kind
        except TemplateError:
            return None

    def forget(self, task_id: str) -> None:
        """Forget what was kept for a task."""
        self._compiled.pop(task_id, None)
        self._standing.forget(task_id)
        self._entries.forget(task_id)

    def _of_task(self, task: Task) -> _Compiled:
        found = self._compiled.get(task.task_id)
        # Another scheduler's plan may have come first.
        if found is None or (found.digest, found.arguments.children) != (task.digest, task.work):
            made = ChildArguments(task.template, task.params(), task.plan)
            if made.children != task.work:
                reason = f"its plan gives {made.children:,} children, not {task.work:,}"
                raise TemplateError(reason, "cancel it", template=task.template.name)
            found = self._compiled[task.task_id] = _Compiled(task.digest, made, _kind(task, made))
        return found


def _kind(task: Task, arguments: ChildArguments) -> int:
    return hash((task.template.child.code, arguments(0)))
