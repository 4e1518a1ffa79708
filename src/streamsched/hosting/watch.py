"""A node that can be watched: its metrics and its health, on a port of its own.

``/livez`` is the age of the node's loop and never asks for the log: an outage of the broker must not restart the fleet.
``/readyz`` says whether the node works on all that is its own. ``/metrics`` are all metrics of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from streamsched.hosting.extra import check_extra
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.adapter import LogAdapter
from streamsched.log.port import LogError
from streamsched.log.topics import Topics
from streamsched.runtime import metrics
from streamsched.runtime.clock import Clock
from streamsched.runtime.held_back import HeldBack
from streamsched.runtime.service import Service

if TYPE_CHECKING:
    from streamsched.hosting.exposition import Source
    from streamsched.hosting.health import Health
    from streamsched.scheduler.node import Scheduler
    from streamsched.worker.node import Worker

MEASURE_EVERY_S: Final = 5.0
"""Between two looks at the ends of the journal, which cost a request each."""

logger = logging.getLogger(__name__)


class JournalMeter:
    """Measures how far the journal is ahead of a scheduler, and for how long transactions hold its readers back."""

    def __init__(self, log: LogAdapter, topics: Topics, scheduler: Scheduler, clock: Clock) -> None:
        self._log = log
        self._journal = topics.journal()
        self._scheduler = scheduler
        self._held = HeldBack(log, clock, [*self._journal, *topics.work_log()])

    def step(self) -> None:
        """Look once. Raise LogError."""
        metrics.LAG.set(self._scheduler.behind(self._log.end(self._journal)))
        self._held.look()
        metrics.STABLE_AGE.set(max(self._held.stuck.values(), default=0.0))


class Watch:
    """What the outside sees of this process. Without a port it does nothing, and costs nothing."""

    def __init__(self, health: Health | None = None, sources: list[Source] | None = None) -> None:
        self._health = health
        self._sources = [] if sources is None else sources
        self._meter: JournalMeter | None = None
        self._next = 0.0
        self.place = ""
        """Where to ask, as the end of a line for people."""

    @property
    def on(self) -> bool:
        """Whether anybody may ask."""
        return self._health is not None

    def worker(self, worker: Worker) -> None:
        """Show this worker."""
        if self._health is not None:
            from streamsched.hosting import gauges  # late, as all that only metrics need

            self._health.add(worker)
            self._sources.append(partial(gauges.of_worker, worker))

    def scheduler(self, scheduler: Scheduler, now: Callable[[], int]) -> None:
        """Show this scheduler."""
        if self._health is not None:
            from streamsched.hosting import gauges

            self._health.add(scheduler)
            self._sources.append(partial(gauges.of_scheduler, scheduler, gauges.Names(), now))

    def services(self, scheduler: Scheduler, settings: Settings) -> list[Service]:
        """Return what runs beside a scheduler's loop for it, over a log of its own."""
        return [Service("measuring the journal", partial(_measure, settings, scheduler))] if self.on else []

    def measure(self, site: Installation, scheduler: Scheduler) -> None:
        """Measure the journal once in a while, from the loop itself: of a log that this process has to itself."""
        if not self.on or site.clock.monotonic() < self._next:
            return
        self._next = site.clock.monotonic() + MEASURE_EVERY_S
        self._meter = self._meter or JournalMeter(site.log, site.topics, scheduler, site.clock)
        try:
            self._meter.step()
        except LogError as error:
            logger.warning("the journal is not measured: %s", error)


UNSEEN: Final = Watch()


@contextmanager
def watching(settings: Settings) -> Iterator[Watch]:
    """Serve health and metrics while this lasts, where there is a port for it. Raise InputError."""
    if settings.http_port is None:
        yield UNSEEN
        return
    check_extra(settings)
    from http import HTTPStatus  # late: most nodes have no port, and imports are most of their memory

    from streamsched.hosting import gauges
    from streamsched.hosting.exposition import Exposition
    from streamsched.hosting.health import Health
    from streamsched.hosting.http import Answer, Server
    from streamsched.runtime.totals import Totals

    totals, health = Totals(), Health()
    sources: list[Source] = [gauges.of_process]
    watch, exposition = Watch(health, sources), Exposition(totals, sources)
    routes = {
        "/livez": health.live,
        "/readyz": health.ready,
        "/metrics": lambda: Answer(HTTPStatus.OK, exposition.text(), metrics.MEDIA_TYPE),
    }
    server = Server(settings.http_host, settings.http_port, routes)
    metrics.use(totals)
    try:
        server.start()
        watch.place = f"; health and metrics at {server.where}"
        yield watch
    finally:
        metrics.use(None)
        server.close()


def _measure(settings: Settings, scheduler: Scheduler, stop: Event) -> None:
    with closing(Installation(settings)) as site:
        meter = JournalMeter(site.log, site.discover().topics, scheduler, site.clock)
        while not stop.is_set():
            meter.step()
            stop.wait(MEASURE_EVERY_S)
