"""Builds schedulers, their services and workers around an open log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamsched.installation.site import Installation

# A node imports only what it runs: imports are most of its memory.
if TYPE_CHECKING:
    from streamsched.scheduler.healing import Healing
    from streamsched.scheduler.lookout import Lookout
    from streamsched.scheduler.node import Scheduler
    from streamsched.view.view import View
    from streamsched.worker.jobs import Pool
    from streamsched.worker.node import Pace, Worker


def scheduler(site: Installation, name: str | None = None, view: View | None = None) -> Scheduler:
    """Build a scheduler node, around its view if that is open already."""
    from streamsched.scheduler.node import Scheduler

    return Scheduler(
        log=site.log, topics=site.topics, codec=site.codec, view=view or site.view("scheduler"),
        me=site.identity("scheduler", name), pause=site.pause,
    )  # fmt: skip


def lookout(site: Installation, me: str) -> Lookout:
    """Build the lookout of the scheduler that has this node id. Raise CannotEvict where it could evict no node."""
    from streamsched.scheduler.lookout import Lookout

    return Lookout(log=site.log, coordination=site.log, topics=site.topics, codec=site.codec, me=me, clock=site.clock)


def healing(site: Installation) -> Healing:
    """Build what ends transactions that the log has forgotten."""
    from streamsched.scheduler.healing import Healing

    return Healing(log=site.log, coordination=site.log, topics=site.topics, clock=site.clock)


def worker(
    site: Installation,
    pool: Pool,
    slots: int,
    name: str | None = None,
    pace: Pace | None = None,
    *,
    modules: Sequence[str] | None = None,
    own: frozenset[str] = frozenset(),
) -> Worker:
    """Build a worker node around a pool; ``modules`` and ``own`` are as in ``Worker``."""
    from streamsched.worker.node import Pace, Worker

    return Worker(
        log=site.log, topics=site.topics, codec=site.codec, pool=pool, me=site.identity("worker", name), slots=slots,
        pause=site.pause, pace=pace or Pace(), modules=modules, own=own,
    )  # fmt: skip
