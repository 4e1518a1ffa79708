"""One client of a pair, in a process of its own: reads ``CASE CHILDREN`` lines, and writes the seconds of each.

It imports nothing of ``bench``: it runs with the code of either checkout.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Final

from streamsched.client import Client
from streamsched.installation.settings import Settings

LIMIT_S: Final = 600.0


def serve(template: Path) -> None:
    """Run the case of each input line and print its seconds, until the input ends."""
    environment = os.environ
    settings = Settings(
        brokers=environment["STREAMSCHED_BROKERS"],
        data_dir=Path(environment["STREAMSCHED_DATA_DIR"]),
        prefix=environment["STREAMSCHED_PREFIX"],
    )
    with Client(settings=settings) as client:

        def one(children: int) -> float:
            begun = time.perf_counter()
            task = client.submit(template, {"children": children})
            status = client.wait(task.task_id, LIMIT_S)
            if status.state != "succeeded":
                raise SystemExit(f"a task is {status.state}: {status.reason}")
            return time.perf_counter() - begun

        def many(tasks: int) -> float:
            begun = time.perf_counter()
            ids = [client.submit(template, {"children": 1}).task_id for _ in range(tasks)]
            for task_id in ids:
                client.wait(task_id, LIMIT_S)
            return time.perf_counter() - begun

        cases = {
            "noop": one,
            "single": lambda count: statistics.median(one(1) for _ in range(count)),
            "tasks": many,
        }
        for line in sys.stdin:
            case, count = line.split()
            print(cases[case](int(count)), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
