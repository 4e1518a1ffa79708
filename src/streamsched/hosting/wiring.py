"""Builds schedulers, their services and workers around an open log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamsched.domain.routing import PLAIN, Place
from streamsched.installation.site import Installation

# A node imports only what it runs: imports are most of its memory.
if TYPE_CHECKING:
    from streamsched.scheduler.evictor import Evictor
    from streamsched.scheduler.node import Scheduler
    from streamsched.scheduler.reaper import HangingTransactionReaper
    from streamsched.view.view import View
    from streamsched.worker.jobs import Pool
    from streamsched.worker.node import Worker, WorkerTiming
    from streamsched.worker.outlet import Outlet
    from streamsched.worker.wire import Journal


def scheduler(site: Installation, name: str | None = None, view: View | None = None) -> Scheduler:
    """Build a scheduler node, around its view if that is open already."""
    from streamsched.scheduler.node import Scheduler

    return Scheduler(
        log=site.log, topics=site.topics, codec=site.codec, view=view or site.view("scheduler"),
        me=site.identity("scheduler", name), pause=site.pause,
    )  # fmt: skip


def evictor(site: Installation, me: str) -> Evictor:
    """Build the evictor of the scheduler that has this node id. Raise CannotEvict where it could evict no node."""
    from streamsched.scheduler.evictor import Evictor

    return Evictor(log=site.log, coordination=site.log, topics=site.topics, codec=site.codec, me=me, clock=site.clock)


def reaper(site: Installation) -> HangingTransactionReaper:
    """Build what ends hanging transactions."""
    from streamsched.scheduler.reaper import HangingTransactionReaper

    return HangingTransactionReaper(log=site.log, coordination=site.log, topics=site.topics, clock=site.clock)


def journal(site: Installation) -> Journal:
    """Say where the journal is, to executors that read it."""
    from streamsched.worker.wire import Journal

    settings = site.settings
    return Journal(
        settings.brokers or "", {**settings.kafka, **settings.executors},
        str((settings.data_dir / "log").absolute()), settings.prefix, site.topics.event_partitions,
        str(site.scratch().absolute()),
    )  # fmt: skip


def worker(
    site: Installation,
    pool: Pool,
    slots: int,
    name: str | None = None,
    timing: WorkerTiming | None = None,
    *,
    modules: Sequence[str] | None = None,
    own: frozenset[str] = frozenset(),
    outlet: Outlet | None = None,
    place: Place = PLAIN,
) -> Worker:
    """Build a worker node around a pool; what follows its name is as in ``Worker``, the outlet also the pool's."""
    from streamsched.worker.node import Worker, WorkerTiming
    from streamsched.worker.outlet import CLOSED

    return Worker(
        log=site.log, topics=site.topics, codec=site.codec, pool=pool, me=site.identity("worker", name), slots=slots,
        pause=site.pause, timing=timing or WorkerTiming(), modules=modules, own=own,
        outlet=outlet or CLOSED, place=place,
    )  # fmt: skip
