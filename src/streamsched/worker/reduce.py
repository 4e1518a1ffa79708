"""The reduce in an executor: a log that is only read, and a store that lives as long as the reading.

Its imports are dear, so an executor makes them with its first reduce.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree

from streamsched.domain.options import ReduceInput
from streamsched.log.codec import Codec
from streamsched.log.topics import Topics
from streamsched.view.store import RocksStore
from streamsched.view.view import View
from streamsched.worker.logs import open_log
from streamsched.worker.results import Results, read_results
from streamsched.worker.wire import Journal


@contextmanager
def results_of(journal: Journal, task_id: str, wanted: ReduceInput, alive: Callable[[], None]) -> Iterator[Results]:
    """Read the results of a task; ``alive`` is called meanwhile. Raise ResultsUnreadable, LogError, StoreUnusable."""
    codec, topics = Codec(), Topics(journal.prefix, event_partitions=journal.partitions)
    with _scratch(Path(journal.scratch)) as folder, closing(RocksStore(folder)) as store:
        with closing(open_log(journal)) as log:
            view = View(store, codec)
            results = read_results(
                view, log=log, topics=topics, codec=codec, task_id=task_id, wanted=wanted, alive=alive
            )
        yield results


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
