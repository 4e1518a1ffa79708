"""One installation with a task that runs on it: its nodes, its evidence, and what its schedulers say of evictions."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
from confluent_kafka import Consumer, TopicPartition

from streamsched.domain.events import Event, NodeBeat
from streamsched.log.codec import Codec
from streamsched.log.port import Record
from tests.support.brokers import broker
from tests.support.evidence import Job, check, read_notes, read_topic
from tests.support.nodes import Nodes, until

WORKER = ("worker", "--slots", "4", "--allow", "tests.support.handlers", "--checkpoint-interval", "0.1")
TEMPLATE = """
name: {handler}
params:
  children: {{type: integer}}
  steps: {{type: integer}}
  folder: {{type: string}}
split:
  range: {{first: 1, last: "${{children}}", size: 1}}
child:
  handler: tests.support.handlers:{handler}
  args: {{count: "${{steps}}", seconds: {seconds}, folder: "${{folder}}"}}
"""
EVICTED = re.compile(r"evicted (worker|scheduler) (\S+) ")


class Site:
    """One installation, with one task, on the broker of all tests or at an address of its own."""

    def __init__(self, folder: Path, brokers: str = "") -> None:
        self.brokers = brokers or broker().address
        self.nodes = Nodes(self.brokers, folder)
        self.folder = folder
        self.prefix = self.nodes.env["STREAMSCHED_PREFIX"] = folder.name.replace("_", "-")
        made = self.nodes.run("topics", "create")
        assert made.returncode == 0, made.stderr
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.children = self.steps = 0
        self._codec = Codec()
        self._beats: list[NodeBeat] = []
        self._beats_consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "beats", "log_level": 2})
        self._beats_partition = TopicPartition(f"{self.prefix}.workers", 0, 0)
        self._beats_read = 0
        self._beats_consumer.assign([self._beats_partition])

    def end(self) -> None:
        """Kill what still runs."""
        self.nodes.end()
        self._beats_consumer.close()

    def start(self, *arguments: str, name: str) -> psutil.Process:
        """Start a node and return its parent process, once it is in its group."""
        parent = self.nodes.start(*arguments, "--name", name)
        until(lambda: f"{name} ready" in self.nodes.said_by(parent), 60, self.nodes.said)
        return psutil.Process(parent.pid)

    def submit(self, children: int, *, steps: int = 10, handler: str = "steps", seconds: float = 0.1) -> None:
        """Submit the task: so many children of so many steps of so many seconds."""
        self.children, self.steps = children, steps
        template = self.folder / "task.yaml"
        template.write_text(TEMPLATE.format(handler=handler, seconds=seconds))
        given = {"children": children, "steps": steps, "folder": self.notes}
        options = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
        done = self.nodes.run("submit", str(template), *options, "--task-id", "job")
        assert done.returncode == 0, done.stderr

    def noted(self) -> int:
        """Count the steps that the handlers have noted so far."""
        return len(read_notes(self.notes))

    def until_noted(self, more: int) -> None:
        """Wait until so many more steps are noted."""
        enough = self.noted() + more
        until(lambda: self.noted() >= enough, 90, self.nodes.said)

    def journal(self) -> list[Event]:
        """Read the whole journal."""
        return read_topic(self.brokers, f"{self.prefix}.events")

    def evicted(self) -> list[str]:
        """List who was evicted, by role and name: once for each scheduler that did it."""
        return [f"{role} {name}" for role, name in EVICTED.findall(self.nodes.said())]

    def beats(self, name: str) -> list[NodeBeat]:
        """Read to the end as it is now, and return all beats of a node so far: new ones never stop coming."""
        end = self._beats_consumer.get_watermark_offsets(self._beats_partition, 10)[1]
        while self._beats_read < end and (message := self._beats_consumer.poll(1.0)) is not None:
            self._beats_read = (message.offset() or 0) + 1
            record = cast(Record, SimpleNamespace(topic="", partition=0, offset=0, value=message.value()))
            event = self._codec.decode(record) if message.error() is None and message.value() is not None else None
            if isinstance(event, NodeBeat):
                self._beats.append(event)
        return [beat for beat in self._beats if beat.name == name]

    def members(self, name: str) -> set[str]:
        """Return all member ids that a node has had in its group."""
        return {beat.member_id for beat in self.beats(name)} - {""}

    def until_back(self, name: str) -> None:
        """Wait for a beat of a node, made from now on, that says that it owns partitions."""
        thawed = time.time() * 1000
        until(lambda: any(b.at > thawed and b.partitions for b in self.beats(name)[-1:]), 60, self.nodes.said)

    def finish(self) -> None:
        """Wait for the end of the task and judge it by what is left behind."""

        def state() -> object:
            return json.loads(self.nodes.run("status", "job", "--json").stdout)["state"]

        until(lambda: state() == "succeeded", 150, self.nodes.said)
        journal = self.journal()
        check(journal, read_notes(self.notes), Job("job", self.children, self.steps))
