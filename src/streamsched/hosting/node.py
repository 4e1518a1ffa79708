"""``worker`` and ``scheduler``: the node, in the child process of ``supervise``."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from streamsched.domain.routing import PLAIN, Place, label_text, queue_text
from streamsched.hosting import wiring
from streamsched.hosting.supervise import SIGNALS, Membership, ignore_signals
from streamsched.hosting.watch import watching
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation, node_name
from streamsched.log.port import CannotEvict
from streamsched.runtime.service import Service, collect_less, return_large_blocks, serve
from streamsched.worker import telemetry
from streamsched.worker.devices import Devices
from streamsched.worker.node import Worker, WorkerTiming
from streamsched.worker.pool import ExecutorPool

if TYPE_CHECKING:
    from streamsched.scheduler.node import Scheduler

TURN_WAIT_S: Final = 1.0
BEATS_WAIT_S: Final = 0.5
WORKER_FETCH_S: Final = 0.1
"""How long a worker's fetch may wait: a newly assigned partition is read only when the current fetch returns."""
SCHEDULER_FETCH_S: Final = 0.2
HEAL_EVERY_S: Final = 3.0
IDLE_S: Final = 10.0
"""Time without a partition after which a node logs why."""

logger = logging.getLogger(__name__)


def serve_scheduler(settings: Settings, *, name: str | None) -> None:
    """Run a scheduler node until SIGTERM or SIGINT."""
    line, signals = Membership(), _Signals()
    return_large_blocks()
    name = name or node_name("scheduler")
    with watching(settings) as watch, closing(Installation(settings.fetching(SCHEDULER_FETCH_S))) as site:
        site.log.check_broker()
        site.discover().check_sizes()
        scheduler = wiring.scheduler(site, name)
        signals.pass_to(scheduler.drain)
        patient = settings.fetching(BEATS_WAIT_S)
        services = [
            Service("looking out for silent nodes", partial(_evict_silent, patient, scheduler.node_id)),
            Service("looking for transactions that hang", partial(_heal, patient)),
            *watch.services(scheduler, patient),
        ]
        watch.scheduler(scheduler, site.clock.now)
        ready = f"scheduler {name} ready{watch.place}"
        _serve(scheduler, services, line=line, group=site.topics.scheduler_group, ready=ready)


def serve_worker(
    settings: Settings,
    *,
    name: str | None,
    slots: int,
    allow: Sequence[str],
    timing: WorkerTiming,
    reuse: int,
    devices: Devices | None = None,
    place: Place = PLAIN,
) -> None:
    """Run a worker node until it is drained."""
    line, signals = Membership(), _Signals()
    return_large_blocks()
    name = name or node_name("worker")
    with watching(settings) as watch, closing(Installation(settings.fetching(WORKER_FETCH_S))) as site:
        if "group.protocol" in settings.kafka:  # costs a worker 7 MB; a scheduler always checks
            site.log.check_broker()
        site.discover().check_sizes()
        from streamsched.hosting import lookup  # late: a scheduler has no use for it
        from streamsched.hosting.relaying import place_of_copy, relaying

        outlet, copy = lookup.outlet(site), place_of_copy(site)
        telemetry.check()
        pool = ExecutorPool(
            slots, allow=allow, output_fd=sys.stdout.fileno(), reuse=reuse, plan_limit=settings.plan_limit,
            journal=partial(wiring.journal, site), devices=devices, outlet=outlet, copy_path=copy,
        )  # fmt: skip
        worker = wiring.worker(site, pool, slots, name, timing, modules=allow, outlet=outlet, place=place)
        signals.pass_to(worker.drain)
        queues = f" of {', '.join(map(queue_text, place.queues))}" if place.queues else ""
        labels = f" at {', '.join(map(label_text, place.labels))}" if place.labels else ""
        ready = f"worker {name} ready: {slots} slots for {', '.join(allow) or 'nothing'}{queues}{labels}{watch.place}"
        watch.worker(worker)
        with relaying(settings, copy) as services:
            _serve(worker, services, line=line, group=site.topics.worker_group, ready=ready)


def _serve(node: Scheduler | Worker, services: Sequence[Service], *, line: Membership, group: str, ready: str) -> None:
    """Serve the node; a service repeats its beats while its loop waits for the log."""
    joined, idle = _Ready(ready), Idle()

    def look() -> None:
        line.report(node.node_id, group, node.heartbeats.membership)
        joined(joined=node.heartbeats.joined)
        idle.look(node.heartbeats.idle, time.monotonic())

    collect_less()
    serve(node, [*services, Service("beats", node.heartbeats.repeat)], on_turn=look, timeout=TURN_WAIT_S)
    line.left()
    ignore_signals()


def _evict_silent(settings: Settings, node_id: str, stop: Event) -> None:
    with closing(Installation(settings)) as site:
        try:
            evictor = wiring.evictor(site.discover(), node_id)
        except CannotEvict as error:
            logger.warning("this scheduler cannot evict nodes; a dead node's session has to time out: %s", error)
            stop.wait()
            return
        with closing(evictor):
            while not stop.is_set():
                evictor.step(BEATS_WAIT_S)


def _heal(settings: Settings, stop: Event) -> None:
    with closing(Installation(settings)) as site:
        reaper = wiring.reaper(site.discover())
        while not stop.wait(HEAL_EVERY_S):
            reaper.step()


class _Signals:
    """Counts SIGTERM and SIGINT and passes them to a listener."""

    def __init__(self) -> None:
        self.received = 0
        self._listener: Callable[[], None] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the parent blocked them until now

    def pass_to(self, listener: Callable[[], None]) -> None:
        """Call the listener once for each signal, earlier ones included."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may come in between
        self._listener = listener
        for _ in range(self.received):
            listener()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _on_signal(self, *_: object) -> None:
        self.received += 1
        self._listener()


class Idle:
    """Logs why a node owns nothing, after a while and again when the reason changes."""

    def __init__(self) -> None:
        self._why = self._logged = ""
        self._since = 0.0

    def look(self, why: str, now: float) -> None:
        """Note the reason at this time (monotonic seconds); empty: the node owns a partition."""
        if why != self._why:
            self._why, self._since = why, now
        if not why:
            self._logged = ""
        elif why != self._logged and now - self._since >= IDLE_S:
            self._logged = why
            logger.warning("this node has nothing to do: %s", why)


class _Ready:
    """Writes once that the node has joined its group."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __call__(self, *, joined: bool) -> None:
        if self._words and joined:
            with suppress(OSError):  # a log on a disk that is full
                sys.stderr.write(f"{self._words}\n")
                sys.stderr.flush()
            self._words = ""
