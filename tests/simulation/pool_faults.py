"""The faults that strike the jobs of a worker's pool, and the record of those that started and stopped."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from streamsched.domain import events as e
from streamsched.domain.options import REDUCE, SPLIT, Options, read_options
from streamsched.log.codec import Codec
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker import jobs
from streamsched.worker.results import read_results
from tests.simulation.emits import record_of
from tests.simulation.evidence import Started, Stopped
from tests.simulation.faults import AGAIN, JOB, OF_TOPICS, PAGE, STAGE, Fault
from tests.simulation.nodes import Crash, Node

if TYPE_CHECKING:
    from tests.simulation.world import World


CODEC = Codec()
STRIKES: Final = {SPLIT: 1, REDUCE: 4}
"""How often the dice are thrown for a job of a stage: few histories come to a reduce."""


class PoolFaults:
    """The faults of the pool of one worker."""

    def __init__(self, world: World, node: Node) -> None:
        self._world = world
        self._node = node
        self._who = f"{node.name}/pool"
        self._back: dict[tuple[str, int], tuple[int, str | None] | None] = {}
        """Children that continue here from a state that is not durable: token and state, once they have begun again."""

    def strike(self, place: str, task_id: str, child: int) -> Fault | None:
        """Tell what strikes here; a job that takes its worker down once does so each time."""
        world, node = self._world, self._node
        if place == JOB and (task_id, child) in world.deadly:
            world.happens("handler takes its worker down", f"{node.name}: child {child} of {task_id} takes it down")
            raise Crash
        fault = world.dice.throw(self._who, place) if world.chaos else None
        if fault is None:
            return None
        if fault.kind == "handler takes its worker down":
            world.deadly.add((task_id, child))
            return self.strike(place, task_id, child)
        if fault.kind == AGAIN:
            self._back[task_id, child] = None
        world.happens(fault.kind, f"{node.name}: {fault.kind}: child {child} of {task_id}")
        return fault

    def lacks(self, job: jobs.Job) -> bool:
        """Tell whether this worker cannot import the handler of a job."""
        return self._node.fails_imports

    def started(self, job: jobs.Job) -> None:
        """Note that a job runs."""
        world, node = self._world, self._node
        if not node.allowing:
            world.faults.append(f"{node.name} runs child {job.child} of {job.task_id}, which it does not allow")
        world.check_transactions(node)
        if self._is_back(job):
            return
        world.evidence.append(
            Started(world.ends(), node.name, job.task_id, job.child, job.attempt, job.token, job.sequence, job.state)
        )

        stage = _options(job).stage
        for _ in range(STRIKES.get(stage, 0) if world.chaos else 0):
            fault = world.dice.throw(f"{node.name}/stages", STAGE)
            if fault is not None:
                self._cancel(job.task_id, fault)
                break

    def _is_back(self, job: jobs.Job) -> bool:
        """Return whether a job came back here and continues from a state that is not durable, also a second time."""
        child = job.task_id, job.child
        if child not in self._back:
            return False
        if self._back[child] is None:
            self._back[child] = job.token, job.state
        elif self._back[child] != (job.token, job.state):
            del self._back[child]
            return False
        return True

    def _cancel(self, task_id: str, fault: Fault) -> None:
        """Have a task cancelled in a moment, and redriven later."""
        from tests.simulation import actions  # late: it imports the world, which imports this

        rng = Random(fault.amount)
        self._world.happens(fault.kind, f"{self._node.name}: {task_id} is to be cancelled, and redriven")
        actions.cancel(self._world, task_id, rng.randrange(20))
        actions.redrive(self._world, task_id, rng.randrange(60, 200), rng)

    def entries(self, job: jobs.Job) -> int | None:
        """Return how many entries a splitter finds; None for any other job."""
        split = _options(job).split
        return None if split is None else int(json.loads(split.input)["args"]["n"])

    def results(self, job: jobs.Job) -> list[tuple[int, object]] | None:
        """Read what a reduce reads, past all faults: from its own reading the worker learns nothing."""
        options = _options(job)
        if options.reduce is None:
            return None
        world = self._world
        found = read_results(
            View(MemoryStore(), CODEC), log=world.archive.log, topics=world.topics, codec=CODEC, task_id=job.task_id,
            wanted=options.reduce, alive=lambda: None,
        )  # fmt: skip
        return [(result.index, result.value) for result in found]

    def record(self, job: jobs.Job, number: int) -> jobs.Emitted | None:
        """Return what a job emits, where handlers emit."""
        return None if self._world.places is None or self.entries(job) is not None else record_of(job, number)

    def stopped(self, job: jobs.Job, units: int) -> None:
        """Note that a job stopped at a safe point."""
        world, node = self._world, self._node
        # A hand-over does not wait for a topic that is in trouble, nor for a second where what emits was not written.
        troubled = node.hurt or any(world.happened[kind] for kind in OF_TOPICS)
        hurt = -1 if troubled and self.record(job, 0) is not None else node.hurt
        world.evidence.append(Stopped(world.ends(), node.name, hurt, job.task_id, job.child, job.token, units))


class TearingCodec:
    """What a worker writes and reads with: of some pages it writes a part alone, which is not an event."""

    def __init__(self, world: World, node: Node, codec: Codec) -> None:
        self._world = world
        self._node = node
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def encode(self, event: e.Event) -> bytes:
        """Encode an event, or tear it."""
        value = self._codec.encode(event)
        world = self._world
        if not isinstance(event, e.TaskPlanProgressed) or not world.chaos:
            return value
        fault = world.dice.throw(f"{self._node.name}/pages", PAGE)
        if fault is None:
            return value
        world.happens(fault.kind, f"{self._node.name}: page {event.sequence} of {event.task_id} cannot be read")
        world.torn.add(event.task_id)
        return value[:-2]


def _options(job: jobs.Job) -> Options:
    options = Options() if job.options is None else read_options(job.options)
    assert options is not None
    return options
