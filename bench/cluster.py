"""One real broker, and installations on it: topics of their own, real node processes, clients."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from bench import limit
from streamsched.client import Client
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tools.broker import ROOT, Broker

TEMPLATES: Final = Path(__file__).parent / "templates"
ALLOW: Final = ("--allow", "bench.handlers", "--allow", "streamsched.examples.bench")
READY_LIMIT: Final = 60.0
STOP_LIMIT: Final = 15.0
WARM_UP: Final = 50_000
"""Children of the bare protocol that a broker has seen before anything is measured."""
OWN_WARM_UP: Final = 400_000
"""Children of ours; an eighth of them before a quick run."""
TASK_LIMIT: Final = 900.0
"""Seconds after which a task that is not done fails its case."""


class BenchError(Exception):
    """A case could not be measured; the message says why."""


class Done(NamedTuple):
    """A task that succeeded, and the seconds from submit until its end was seen."""

    task_id: str
    seconds: float


class Node:
    """One ``streamsched worker`` or ``scheduler``, with the processes below it."""

    def __init__(self, site: Site, role: str, *arguments: str) -> None:
        self.role = role
        self._said = site.folder / f"{role}-{time.time_ns()}.log"
        with self._said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamsched", role, *arguments],
                cwd=ROOT,
                env=site.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for this process, which stops its nodes in order
            )

    def await_ready(self) -> None:
        """Return when the node has joined its group."""
        self.await_said(b" ready")

    def await_said(self, words: bytes) -> None:
        """Return when it has written this."""
        limit = time.monotonic() + READY_LIMIT
        while words not in self._said.read_bytes():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise BenchError(f"{self.role} did not start: {self.said()}")
            time.sleep(0.002)

    def said(self) -> str:
        """Return the end of what the node wrote."""
        return self._said.read_text(errors="replace")[-2000:]

    def tree(self) -> list[psutil.Process]:
        """List the parent, the node, and its executors, in this order."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """Stop in order; what is left after that is killed, by pid."""
        tree = self.tree()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in tree:
            if process.is_running() and process.pid != self.process.pid:
                process.kill()


class Site:
    """One installation: a prefix, a data folder, and the nodes that were started on it."""

    def __init__(self, brokers: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.settings = Settings(brokers=brokers, data_dir=folder / "data", prefix=folder.name)
        left_out = ("STREAMSCHED_", "PYTHONDONTWRITEBYTECODE")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(left_out)},
            "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode"),  # what is installed is compiled once, too
            "STREAMSCHED_BROKERS": brokers,
            "STREAMSCHED_DATA_DIR": str(self.settings.data_dir),
            "STREAMSCHED_PREFIX": self.settings.prefix,
        }
        self.nodes: list[Node] = []

    def start(self, role: str, *arguments: str) -> Node:
        """Start a node, which is stopped with the site."""
        node = Node(self, role, *arguments)
        self.nodes.append(node)
        return node

    @property
    def alive(self) -> bool:
        """Whether all of its nodes run."""
        return all(node.process.poll() is None for node in self.nodes)

    def client(self) -> Client:
        """Connect."""
        return Client(settings=self.settings)

    def run(self, client: Client, template: str, **params: object) -> Done:
        """Run one task until this client sees its end."""
        begun = time.perf_counter()
        task = client.submit(TEMPLATES / template, params)
        status = client.wait(task.task_id, TASK_LIMIT)
        seconds = time.perf_counter() - begun
        if status.state != "succeeded":
            raise BenchError(f"the task is {status.state} ({status.children}) after {seconds:.0f} s: {status.reason}")
        return Done(task.task_id, seconds)

    def warm_up(self, client: Client, slots: int) -> None:
        """Have every executor of these slots run something: its first child takes several times as long."""
        self.run(client, "sleep.yaml", children=2 * slots, seconds=0.1)
        # Last: a worker sizes what it reads ahead by how long its latest children took.
        self.run(client, "noop.yaml", children=150 * slots)

    def stop(self) -> None:
        """Stop all nodes, workers first: they hand nothing over then."""
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.stop)


class Bench:
    """What a case is given: how much to measure, and where."""

    def __init__(self, folder: Path, *, quick: bool, repeats: int | None = None) -> None:
        self.folder = folder
        self.quick = quick
        self.repeats = repeats or (1 if quick else 3)
        self._sites = 0
        self._brokers = 0
        self._broker: Broker | None = None
        self._shared: Site | None = None
        self._stack = ExitStack()

    @property
    def broker(self) -> Broker:
        """The broker of this run, started when it is first needed: Kafka's own time-outs, Java's full compiler, warm.

        Java compiles while it works: the first hundreds of thousands of records cost it several times what later ones
        do, and brokers run for months.
        """
        if self._broker is None:
            self._broker = self._stack.enter_context(self.new_broker())
            limit.children_per_s(self._broker.address, WARM_UP)
            with self.site() as site, site.client() as client:
                site.run(client, "noop.yaml", children=OWN_WARM_UP // (8 if self.quick else 1))
        return self._broker

    def new_broker(self) -> Broker:
        """Make a broker that has seen nothing yet; it starts when it is entered as a context."""
        self._brokers += 1
        return Broker(self.folder / f"broker-{self._brokers}", full_jit=True, stock_timeouts=True)

    @contextmanager
    def site(self, *, workers: int = 1, slots: int = 2, options: tuple[str, ...] = ()) -> Iterator[Site]:
        """Give an installation with one scheduler and so many workers, all warmed up.

        It is a new one for each case, but for the quick run, whose cases share the plain one.
        """
        address = self.broker.address
        if not self.quick or (workers, slots, options) != (1, 2, ()):
            with self._fresh(address, workers, slots, options) as site:
                yield site
            return
        if self._shared is None or not self._shared.alive:
            self._shared = self._stack.enter_context(self._fresh(address, workers, slots, options))
        yield self._shared

    @contextmanager
    def _fresh(self, address: str, workers: int, slots: int, options: tuple[str, ...]) -> Iterator[Site]:
        with self.new_site(address, workers, slots, options) as site:
            with site.client() as client:
                site.warm_up(client, workers * slots)
            yield site

    @contextmanager
    def new_site(
        self, address: str, workers: int = 1, slots: int = 2, options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Site]:  # fmt: skip
        """Give a new installation on this broker; nothing has run there yet."""
        with self.empty_site(address) as site:
            site.environment.update(environment or {})
            site.start("scheduler")
            for _ in range(workers):
                site.start("worker", "--slots", str(slots), *ALLOW, *options)
            for node in site.nodes:
                node.await_ready()
            yield site

    @contextmanager
    def empty_site(self, address: str) -> Iterator[Site]:
        """Give a new installation on this broker, without nodes."""
        self._sites += 1
        site = Site(address, self.folder / f"bench-{self._sites}")
        with closing(Installation(site.settings)) as installation:
            installation.create_topics()
        try:
            yield site
        finally:
            site.stop()

    def close(self) -> None:
        """Stop what is shared, and the broker."""
        self._stack.close()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
