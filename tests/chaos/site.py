"""One round's installation: topics of its own, real nodes, two jobs, and a watch on the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from subprocess import TimeoutExpired
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamsched.domain.events import Event
from tests.chaos.node import Node
from tests.chaos.surroundings import SmallDisk
from tests.chaos.watch import JournalWatch
from tests.support.evidence import Job, Violation, read_notes, read_topic, violations
from tests.support.nodes import Nodes
from tools.broker import Broker
from tools.cluster import Cluster

READY: Final = 60.0
BOUND: Final = 90.0
"""Seconds from the fault in which everything has to be over."""
STOP: Final = 45.0
"""Seconds that a node may take to stop when it was told to."""
PARTITIONS: Final = 12


@dataclass(frozen=True)
class Workload:
    """Two jobs: ``calm`` checkpoints now and then; ``hot`` waits for each checkpoint, so that its workers commit all
    the time.
    """

    slots: int
    calm: Job
    hot: Job

    @property
    def jobs(self) -> tuple[Job, Job]:
        """Both."""
        return self.calm, self.hot


FULL: Final = Workload(2, Job("calm", children=18, steps=10), Job("hot", children=18, steps=25))
"""Three times as many children as slots: dispatches go on over the whole round."""
SPARE: Final = Workload(4, Job("calm", children=3, steps=100), Job("hot", children=3, steps=200))
"""Few long children, so that those of a lost worker find free slots at once."""

TEMPLATE: Final = """
name: {task}
params:
  folder: {{type: string}}
split:
  range: {{first: 1, last: {children}, size: 1}}
child:
  handler: tests.support.handlers:steps
  args: {{count: {steps}, seconds: {seconds}, folder: "${{folder}}", wait: {wait}}}
  timeout: 10m
  heartbeat: 60s
"""


class Stuck(Exception):
    """Something did not happen within its bound."""


@dataclass(frozen=True)
class Setting:
    """What a round starts with."""

    workload: Workload = FULL
    protocol: str = "classic"
    schedulers: int = 2
    workers: int = 3


@dataclass
class Site:
    """One installation, for a fault to strike.

    Nodes in ``killed`` need not exit with 0. ``judges`` are called at the end with the whole journal.
    """

    broker: Broker | Cluster
    nodes: Nodes
    watch: JournalWatch
    random: Random
    workload: Workload
    started: list[Node] = field(default_factory=list)
    killed: set[str] = field(default_factory=set)
    executors_killed: int = 0
    judges: list[Callable[[Sequence[Event]], Iterator[Violation]]] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    disks: list[SmallDisk] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)

    def start_scheduler(self, env: Mapping[str, str] | None = None, log: Path | None = None) -> Node:
        """Start a scheduler with a data folder of its own, as on a machine of its own."""
        data = {"STREAMSCHED_DATA_DIR": str(self.nodes.folder / f"data-{len(self.started)}")}
        return self._start("scheduler", [], {**data, **(env or {})}, log)

    def start_worker(self, env: Mapping[str, str] | None = None, log: Path | None = None) -> Node:
        """Start a worker."""
        options = ["--slots", str(self.workload.slots), "--allow", "tests.support.handlers"]
        return self._start("worker", [*options, "--checkpoint-interval", "0.1"], env, log)

    def _start(self, role: str, options: Sequence[str], env: Mapping[str, str] | None, log: Path | None) -> Node:
        name = f"{role}-{sum(node.name.startswith(role) for node in self.started)}"
        log = log or self.nodes.folder / f"{name}.log"
        node = Node(self.nodes.start(role, *options, "--name", name, env=env, log=log), name)
        self.cleanup.callback(node.end)
        self.started.append(node)
        return node

    @property
    def lone(self) -> Broker:
        """The broker, where there is one."""
        assert isinstance(self.broker, Broker)
        return self.broker

    @property
    def cluster(self) -> Cluster:
        """The brokers, where there are several."""
        assert isinstance(self.broker, Cluster)
        return self.broker

    @property
    def prefix(self) -> str:
        """What the names of this installation's topics begin with."""
        return self.nodes.env["STREAMSCHED_PREFIX"]

    def node(self, name: str) -> Node:
        """Find a node by its name."""
        return next(node for node in self.started if node.name == name)

    def workers(self) -> list[Node]:
        """List the workers that run."""
        return [node for node in self.started if node.name.startswith("worker") and node.running]

    def schedulers(self) -> list[Node]:
        """List the schedulers that run."""
        return [node for node in self.started if node.name.startswith("scheduler") and node.running]

    def busiest(self, task_id: str = "") -> Node:
        """Return the worker that holds the most children of this task, or of all tasks."""

        def held(node: Node) -> tuple[int, int, float]:
            children = self.watch.held(node.name)
            return sum(task == task_id for task, _ in children), len(children), self.random.random()

        return max(self.workers(), key=held)

    def decider(self) -> tuple[Node, str]:
        """Choose a task that has not ended; return the scheduler that decides for it, and its id."""
        tasks = [job.task_id for job in self.workload.jobs if not self.watch.ended(job.task_id)]
        task_id = self.random.choice(tasks)
        return self.node(self.watch.decider(task_id) or ""), task_id

    def tell(self, *arguments: str) -> None:
        """Run a command that has to succeed; raise Stuck."""
        done = self.nodes.run(*arguments)
        if done.returncode != 0:
            raise Stuck(f"{' '.join(arguments)}: {done.stderr}")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = BOUND) -> None:
        """Wait for something, with a bound; raise Stuck."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Stuck(f"waited {seconds:.0f} s in vain until {what}")
            time.sleep(0.02)

    @property
    def over(self) -> bool:
        """Whether all jobs have their terminal events."""
        return all(self.watch.ended(job.task_id) for job in self.workload.jobs)

    def recovered(self, since: float, meant: Callable[[Any], bool], what: str) -> float:
        """Wait for the first such event; returns the seconds that it took. Raise Stuck."""
        self.until(lambda: self.watch.first(since, meant) is not None, what)
        return (self.watch.first(since, meant) or since) - since

    def await_ready(self, nodes: Sequence[Node]) -> None:
        """Wait until these nodes have joined their groups, and each worker has its share of the partitions."""
        self.until(
            lambda: all(f"{node.name} ready" in self.nodes.said_by(node.process) for node in nodes),
            f"{', '.join(node.name for node in nodes)} are ready",
            READY,
        )
        workers = {node.name for node in nodes if node.name.startswith("worker")}
        self.until(lambda: workers <= self._owners(), f"{', '.join(sorted(workers))} own partitions", READY)

    def _owners(self) -> set[str]:
        beats = map(json.loads, self.nodes.run("nodes", "--json").stdout.splitlines())
        return {beat["name"] for beat in beats if beat["partitions"]}

    def await_work(self) -> None:
        """Wait until almost as many children have checkpoints as could run."""
        wanted = min(sum(job.children for job in self.workload.jobs), self.workload.slots * len(self.workers()))
        self.until(
            lambda: sum(len(self.watch.held(node.name)) for node in self.workers()) >= wanted - 1,
            f"the workers hold {wanted - 1} children",
            READY,
        )

    def stop(self) -> Iterator[Violation]:
        """Drain the nodes that still run; each has to exit with 0."""
        running = [node for node in self.started if node.name not in self.killed]
        for node in running:
            if node.running:
                node.tell_to_stop()
        deadline = time.monotonic() + STOP
        for node in running:
            try:
                code = node.process.wait(max(0.1, deadline - time.monotonic()))
            except TimeoutExpired:
                yield Violation("exit", f"{node.name} did not stop within {STOP:.0f} s")
            else:
                if code != 0:
                    yield Violation("exit", f"{node.name} exited with {code}")

    def judge(self) -> Iterator[Violation]:
        """Check the promises by what is in the topics and in the files that handlers wrote."""
        journal = read_topic(self.broker.address, f"{self.prefix}.events")
        for job in self.workload.jobs:
            notes = read_notes(self.nodes.folder / "notes" / job.task_id)
            yield from violations(journal, notes, replace(job, killed=self.executors_killed))
        for judge in self.judges:
            yield from judge(journal)
        yield from self._audit()

    def _audit(self) -> Iterator[Violation]:
        """Run the audit of streamsched, too, over the topics and the view of every scheduler."""
        views = [["--view", str(view)] for view in self.nodes.folder.glob("data-*/views/*/*/scheduler-*/")]
        for options in views or [[]]:
            done = self.nodes.run("audit", "verify", *options)
            if done.returncode != 0:
                yield Violation("audit", f"{options}: exit code {done.returncode}: {done.stdout}{done.stderr}")


@contextmanager
def site(
    broker: Broker | Cluster, folder: Path, *, setting: Setting, random: Random, prepare: Callable[[Site], None]
) -> Iterator[Site]:
    """Start nodes and jobs, and yield the site once every worker is busy; at the end kill what still runs."""
    nodes = Nodes(broker.address, folder)
    nodes.env["STREAMSCHED_PREFIX"] = folder.name
    nodes.env["STREAMSCHED_CHILD_PARTITIONS"] = str(PARTITIONS)
    if setting.protocol != "classic":
        config = folder / "config.toml"
        config.write_text(f'[kafka]\n"group.protocol" = "{setting.protocol}"\n')
        nodes.env["STREAMSCHED_CONFIG"] = str(config)
    _create_topics(nodes)
    with ExitStack() as cleanup, JournalWatch(broker.address, f"{folder.name}.events") as watch:
        here = Site(broker, nodes, watch, random, setting.workload, cleanup=cleanup)
        prepare(here)
        while len(here.schedulers()) < setting.schedulers:
            here.start_scheduler()
        while len(here.workers()) < setting.workers:
            here.start_worker()
        here.await_ready(here.started)
        with ThreadPoolExecutor() as both:
            calm = both.submit(_submit, here, setting.workload.calm, 0.1, wait=False)
            hot = both.submit(_submit, here, setting.workload.hot, 0.01, wait=True)
        calm.result()
        hot.result()
        here.await_work()
        yield here


def _create_topics(nodes: Nodes) -> None:
    """Create the topics; a cluster that has just started may have no group coordinator yet."""
    deadline = time.monotonic() + READY
    while (made := nodes.run("topics", "create")).returncode != 0:
        if time.monotonic() > deadline:
            raise Stuck(f"no topics: {made.stderr}")


def _submit(here: Site, job: Job, seconds: float, *, wait: bool) -> None:
    notes = here.nodes.folder / "notes" / job.task_id
    notes.mkdir(parents=True)
    template = here.nodes.folder / f"{job.task_id}.yaml"
    template.write_text(
        TEMPLATE.format(
            task=job.task_id, children=job.children, steps=job.steps, seconds=seconds, wait=str(wait).lower()
        )
    )
    here.tell("submit", str(template), "-p", f"folder={notes}", "--task-id", job.task_id)


def delete_topics(broker: Broker | Cluster, prefix: str) -> None:
    """Delete a round's topics, so that the broker stays small; leave what is not deleted in time."""
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(f"{prefix}.")]
    for done in admin.delete_topics(names).values():
        with suppress(KafkaException, TimeoutError):
            done.result(10)
