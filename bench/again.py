"""Copy the events of a task into the journal of another installation, at a fixed number of children a second.

A server of that installation reads what it would read if nodes on other machines ran the task. The copy is made by a
process: ``python -m bench.again BROKERS SOURCE TARGET TASK CHILDREN CHILDREN_PER_S``; SOURCE and TARGET are prefixes.
It reads all events, prints "ready", and starts to write when it gets a line of input.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from bench.cluster import BenchError, Site
from bench.limit import Assigned
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append
from tools.broker import ROOT

EVERY_S: Final = 0.02
"""Between two transactions; busy nodes make about as many."""
READ: Final = 10_000


@contextmanager
def written_again(source: Site, target: Site, task_id: str, children: int, children_per_s: float) -> Iterator[None]:
    """Copy the events of a task to the target while the block runs."""
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
    """Read all events, wait for a line of input, write them at this pace."""
    with closing(Installation(Settings(brokers=brokers, prefix=target)).discover()) as site:
        topic, name = site.topics.events, f"{target}.again"
        appends = _recorded(brokers, source, task_id, topic)
        writer = site.log.writer(name)
        member = site.log.member(name, topic, Assigned())  # commits no positions, but a commit takes one
        print("ready", flush=True)
        sys.stdin.readline()
        begun, done, per_s = time.monotonic(), 0, children_per_s * len(appends) / children
        while done < len(appends):
            time.sleep(EVERY_S)
            due = int((time.monotonic() - begun) * per_s)
            writer.commit(appends[done:due], {}, member)
            done = due


def _recorded(brokers: str, source: str, task_id: str, topic: str) -> list[Append]:
    """Return the journal's records of a task, to be appended to the same partition of another topic."""
    with closing(Installation(Settings(brokers=brokers, prefix=source)).discover()) as site:
        place, key = site.topics.journal_of(task_id), task_id.encode()
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
