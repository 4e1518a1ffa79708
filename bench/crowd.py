"""Many tasks at once: of one owner and one child each, and of many owners with some children each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from bench.cluster import TASK_LIMIT, TEMPLATES, Bench, BenchError, Site
from bench.figures import Figures, percentile
from streamsched.commands.request import make_request, record_of, want
from streamsched.domain.events import TaskSucceeded
from streamsched.installation.site import Installation
from streamsched.view.follow import Follower
from streamsched.view.view import open_view

OWNERS: Final = 20


def at_once(bench: Bench, tasks: int) -> Iterator[Figures]:
    """Request so many tasks of one child in one go; the time of each is until its end is seen."""
    with bench.site() as site:
        for _ in range(bench.repeats):
            took = _ends(site, ["bench"] * tasks, children=1)
            yield {
                "tasks_per_s": tasks / took[-1],
                "p50_ms": 1000 * percentile(took, 0.5),
                "p99_ms": 1000 * percentile(took, 0.99),
            }


def many_owners(bench: Bench) -> Iterator[Figures]:
    """Request tasks of many owners in turn, each with some children."""
    tasks, children = (5, 10) if bench.quick else (10, 50)
    with bench.site() as site:
        for _ in range(bench.repeats):
            took = _ends(site, [f"owner-{n % OWNERS}" for n in range(OWNERS * tasks)], children=children)
            yield {
                "children_per_s": len(took) * children / took[-1],
                "tasks_per_s": len(took) / took[-1],
                "p50_ms": 1000 * percentile(took, 0.5),
                "p99_ms": 1000 * percentile(took, 0.99),
            }


def _ends(site: Site, owners: Sequence[str], *, children: int) -> list[float]:
    """Request one task for each owner that is named; returns the seconds until each end was seen, in order."""
    with closing(Installation(site.settings).discover()) as here:
        view = open_view(None, here.journal_id, here.codec)
        with closing(Follower(log=here.log, topics=here.topics, codec=here.codec, view=view)) as follower:
            follower.catch_up(here.topics.journal())
            wanted = want(TEMPLATES / "noop.yaml", {"children": children})
            names = {name: here.identity("client", name) for name in owners}
            requests = [make_request(names[name], wanted, "submit") for name in owners]
            records = [record_of(here, request, request.task_id, None) for request in requests]
            open_tasks = {request.task_id for request in requests}
            took = []
            begun = time.perf_counter()
            here.log.append(records)
            while open_tasks:
                for _, event in follower.poll(0.1):
                    if isinstance(event, TaskSucceeded) and event.task_id in open_tasks:
                        open_tasks.remove(event.task_id)
                        took.append(time.perf_counter() - begun)
                if time.perf_counter() - begun > TASK_LIMIT:
                    raise BenchError(f"{len(open_tasks)} of {len(owners)} tasks did not end in {TASK_LIMIT:.0f} s")
            return took
