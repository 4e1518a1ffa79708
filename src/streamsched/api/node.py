"""``worker`` and ``scheduler``: the node, in the child process of ``supervise``."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from streamsched.api.settings import Settings
from streamsched.api.supervise import SIGNALS, Membership
from streamsched.api.wiring import Installation, node_name
from streamsched.log.port import LogError
from streamsched.worker.node import Pace
from streamsched.worker.pool import ExecutorPool

STEP: Final = 1.0
"""Seconds that a turn of an idle node may wait."""

log = logging.getLogger(__name__)


def serve_scheduler(settings: Settings, *, name: str | None) -> None:
    """Run a scheduler node until SIGTERM or SIGINT."""
    line, signals = Membership(), _Signals()
    name = name or node_name("scheduler")
    with closing(Installation(settings).discover()) as site:
        scheduler = site.scheduler(name)
        group = site.topics.scheduler_group
        ready = _Ready(f"scheduler {name} ready")
        while not signals.received:
            scheduler.step(STEP)
            line.tell(group, scheduler.membership)
            ready(scheduler.membership)
        scheduler.stop()
        line.left()


def serve_worker(settings: Settings, *, name: str | None, slots: int, allow: Sequence[str], pace: Pace) -> None:
    """Run a worker node until it is drained."""
    line, signals = Membership(), _Signals()
    name = name or node_name("worker")
    with closing(Installation(settings).discover()) as site:
        pool = ExecutorPool(slots, allow=allow, output_fd=sys.stdout.fileno())
        worker = site.worker(pool, slots, name, pace)
        group = site.topics.worker_group
        ready = _Ready(f"worker {name} ready: {slots} slots, handlers of {', '.join(allow)}")
        obeyed = 0
        while not worker.stopped:
            worker.step(STEP)
            line.tell(group, worker.membership)
            ready(worker.membership)
            while obeyed < signals.received:
                obeyed += 1
                worker.drain()
        worker.stop()
        line.left()


def evict(settings: Settings, membership: dict[str, str]) -> None:
    """Remove a dead node from its group and fence its writer."""
    try:
        with closing(Installation(settings)) as site:
            site.log.evict(membership["group"], membership["member"])
            site.log.fence(membership["writer"])
    except LogError as error:
        log.warning("the dead node was not evicted, its session will run out: %s", error)


class _Signals:
    """Counts SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.received = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the parent blocked them until now

    def _on_signal(self, *_: object) -> None:
        self.received += 1


class _Ready:
    """Says once that the node has joined its group."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __call__(self, membership: tuple[str, str]) -> None:
        if self._words and membership[0]:
            sys.stderr.write(f"{self._words}\n")
            sys.stderr.flush()
            self._words = ""
