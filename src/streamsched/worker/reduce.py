"""The reduce in an executor: a log that is only read, and a store that lives as long as the reading.

Its imports are dear, so an executor makes them with its first reduce.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from streamsched.domain.options import ReduceInput, read_options
from streamsched.log.codec import Codec
from streamsched.log.topics import Topics
from streamsched.view.store import RocksStore
from streamsched.view.view import View
from streamsched.worker.context import ChildContext
from streamsched.worker.errors import NonRetryable, StopChild
from streamsched.worker.jobs import Job
from streamsched.worker.results import Results, read_results
from streamsched.worker.wire import Journal

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter


@contextmanager
def results_for(journal: Journal | None, job: Job, context: ChildContext) -> Iterator[tuple[Results]]:
    """Give the reduce of a job its results. Reading them counts as being alive, and is a safe point."""

    def alive() -> None:
        context.heartbeat()
        if context.should_stop:
            raise StopChild

    options = read_options(job.options or "")
    if options is None or options.reduce is None or journal is None:
        raise NonRetryable(f"this worker does not know how to run a child with {job.options}")
    with results_of(journal, job.task_id, options.reduce, alive) as results:
        yield (results,)


@contextmanager
def results_of(journal: Journal, task_id: str, wanted: ReduceInput, alive: Callable[[], None]) -> Iterator[Results]:
    """Read the results of a task; ``alive`` is called meanwhile. Raise ResultsUnreadable, LogError, StoreUnusable."""
    codec, topics = Codec(), Topics(journal.prefix, event_partitions=journal.partitions)
    with _scratch(Path(journal.scratch)) as folder, closing(RocksStore(folder)) as store:
        with closing(_open(journal)) as log:
            view = View(store, codec)
            results = read_results(
                view, log=log, topics=topics, codec=codec, task_id=task_id, wanted=wanted, alive=alive
            )
        yield results


def _open(journal: Journal) -> LogAdapter:
    if journal.brokers:
        from streamsched.log.kafka.log import KafkaLog

        return KafkaLog(journal.brokers, journal.kafka)
    from streamsched.log.embedded import EmbeddedLog

    return EmbeddedLog(Path(journal.folder), read_only=True)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Make a folder for this process; those of executors that were killed in the middle go."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        if not Path(f"/proc/{left.name}").exists():
            rmtree(left, ignore_errors=True)
    folder = parent / str(os.getpid())
    rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
