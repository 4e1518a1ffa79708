"""The events of a task, written once more to the journal of another installation, so many children a second.

A server sees there what it sees of nodes on other machines, and this machine need not run them. The writer is a process
of its own: ``python -m bench.again BROKERS SOURCE TARGET TASK CHILDREN CHILDREN_PER_S``, where SOURCE and TARGET are
prefixes. It says "ready" once it has read all, and begins at the first line of its input.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from bench.cluster import BenchError, Site
from bench.limit import Quiet
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append
from tools.broker import ROOT

EVERY_S: Final = 0.02
"""Between two transactions: about as many as the nodes make where much is done."""
READ: Final = 10_000


@contextmanager
def written_again(source: Site, target: Site, task_id: str, children: int, children_per_s: float) -> Iterator[None]:
    """Have the events of a task written to the target, from now to the end of the block or the task."""
    names = source.settings.brokers, source.settings.prefix, target.settings.prefix
    command = [sys.executable, "-m", "bench.again", *names, task_id, str(children), str(children_per_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        try:
            if writer.stdin is None or writer.stdout is None or not writer.stdout.readline():
                raise BenchError("the events could not be read")
            print(file=writer.stdin, flush=True)
            yield
        finally:
            writer.kill()


def main(brokers: str, source: str, target: str, task_id: str, children: int, children_per_s: float) -> None:
    """Read, wait for the word, write."""
    appends = _recorded(brokers, source, target, task_id)
    with closing(Installation(Settings(brokers=brokers, prefix=target)).discover()) as site:
        name = f"{target}.again"
        writer, nobody = site.log.writer(name), site.log.member(name, site.topics.events, Quiet())
        print("ready", flush=True)
        sys.stdin.readline()
        begun, done, per_s = time.monotonic(), 0, children_per_s * len(appends) / children
        while done < len(appends):
            time.sleep(EVERY_S)
            due = int((time.monotonic() - begun) * per_s)
            writer.commit(appends[done:due], {}, nobody)
            done = due


def _recorded(brokers: str, source: str, target: str, task_id: str) -> list[Append]:
    """Return the journal's records of a task, as they are to be written to the target."""
    with closing(Installation(Settings(brokers=brokers, prefix=source)).discover()) as site:
        place, key, topic = site.topics.journal_of(task_id), task_id.encode(), f"{target}.events"
        end, found = site.log.end([place])[place], []
        with closing(site.log.reader()) as reader:
            reader.assign({place: 0})
            while reader.position(place) < end:
                found += [
                    Append(topic, record.partition, key, record.value, record.headers)
                    for record in reader.poll(READ, 0.5)
                    if record.key == key
                ]
        return found


if __name__ == "__main__":
    _, brokers, source, target, task_id, children, children_per_s = sys.argv
    main(brokers, source, target, task_id, int(children), float(children_per_s))
