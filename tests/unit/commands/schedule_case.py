"""A client, a scheduler and files, over one log in memory, with a clock that is moved by hand."""

from __future__ import annotations

from pathlib import Path

from streamsched.domain.ids import EventIds
from streamsched.files.schedule_file import WantedSchedule, want_schedule
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.topics import Topics
from streamsched.runtime.commit_metadata import INITIAL
from streamsched.runtime.identity import Identity
from streamsched.scheduler.node import Scheduler
from streamsched.testing.site import MemoryClient
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.clients import Disk, Site
from tests.support.worker_case import TestClock

TEMPLATE = """\
name: job
params:
  n: {type: integer, default: 3}
  day: {type: string, default: none}
split:
  range: {first: 1, last: "${n}", size: 1}
child:
  handler: streamsched.examples.numbers:print_numbers
  args: {first: "${child.first}", last: "${child.last}"}
"""


class ScheduleCase:
    """What users and a scheduler share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = TestClock()
        self.topics = Topics(event_partitions=2, child_partitions=1)
        self.codec = Codec()
        self.cluster = MemoryCluster(clock=self.clock.now)
        log = self.cluster.connect()
        log.create_topics(self.topics.specs())
        log.commit_initial(self.topics.scheduler_group, self.topics.journal(), INITIAL.encode())
        (folder / "job.yaml").write_text(TEMPLATE)

    def client(self, name: str = "me") -> MemoryClient:
        me = Identity(name, name, self.clock, EventIds())
        return MemoryClient(Site(self.cluster.connect(), self.topics, self.codec, me, Disk()))

    def scheduler(self) -> Scheduler:
        return Scheduler(
            log=self.cluster.connect(), topics=self.topics, codec=self.codec,
            view=View(MemoryStore(), self.codec), me=Identity("s", "s", self.clock), pause=lambda seconds: None,
        )  # fmt: skip

    def file(self, text: str = "", name: str = "nightly.yaml") -> Path:
        path = self.folder / name
        path.write_text(text or "interval: 1s\ntemplate: job.yaml\n")
        return path

    def want(self, text: str = "", *, pairs: tuple[str, ...] = (), schedule_id: str | None = None) -> WantedSchedule:
        return want_schedule(self.file(text), now=self.clock.now(), pairs=pairs, schedule_id=schedule_id)

    def run(self, scheduler: Scheduler, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            scheduler.step(0.0)
