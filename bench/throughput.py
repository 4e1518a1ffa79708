"""Children that do nothing, by the thousand: on Kafka, on the embedded log, and the bare protocol as the limit."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import limit
from bench.cluster import TEMPLATES, Bench, BenchError
from bench.figures import Figures
from bench.sampling import sampled
from streamsched.client import Client
from streamsched.commands.request import want
from streamsched.hosting.run import Run
from streamsched.installation.settings import Settings
from streamsched.queries.status import TaskStatus


def bare_protocol(bench: Bench) -> Iterator[Figures]:
    """Measure what the protocol alone can do on this machine, now."""
    total = 50_000 if bench.quick else 200_000
    for _ in range(bench.repeats):
        yield {"children_per_s": limit.children_per_s(bench.broker.address, total)}


def noop(bench: Bench, children: int) -> Iterator[Figures]:
    """Run one task of so many children, with the memory and processor time of every process."""
    with bench.site() as site, site.client() as client:
        for _ in range(bench.repeats):
            with sampled(bench, site) as samples:
                seconds = site.run(client, "noop.yaml", children=children).seconds
            yield {
                "children_per_s": children / seconds,
                "seconds": seconds,
                **samples.memory(),
                **(samples.growth() if children >= 1_000_000 else {}),
                **samples.load(),
            }


def embedded_noop(bench: Bench, children: int) -> Iterator[Figures]:
    """Do the same without a broker, as ``streamsched run`` does it: executors are started within the measured time."""
    for repetition in range(bench.repeats):
        folder = bench.folder / f"embedded-{children}-{repetition}"
        run = Run(Settings(data_dir=folder), slots=2)
        ends: list[float] = []

        def ended(status: TaskStatus, ends: list[float] = ends) -> None:
            if status.done:
                ends.append(time.perf_counter())

        try:
            wanted = want(TEMPLATES / "noop.yaml", {"children": children})
            begun = time.perf_counter()
            task = run.submit(wanted)
            status = run.until_done(task.task_id, ended)
        finally:
            run.close()
        if status.state != "succeeded":
            raise BenchError(f"the task is {status.state}: {status.reason}")
        seconds = ends[0] - begun
        with Client(settings=Settings(data_dir=folder)) as client:
            begun = time.perf_counter()
            events = client.rebuild(folder / "rebuilt", None)
            fold = events / (time.perf_counter() - begun)
        yield {"children_per_s": children / seconds, "seconds": seconds, "fold_events_per_s": fold}
