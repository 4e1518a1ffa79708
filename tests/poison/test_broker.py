"""Real nodes on a real broker, under a corpus of hostile records: alive, at work, and every record with its fate."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamsched.installation.settings import load_settings
from streamsched.installation.site import Installation
from streamsched.log.port import TopicPartition
from streamsched.queries.dead_letters import dead_letters
from tests.poison.corpus import Corpus, Place, Poison, check_fates, tally
from tests.support.brokers import NoText, broker
from tests.support.nodes import Nodes, until

pytestmark = [pytest.mark.fault, pytest.mark.kafka]
MEMORY: int = 400 * 1024 * 1024
"""Bytes that a node may have resident, whatever is thrown at it."""


class Siege:
    """One installation, its nodes, and what was thrown at it."""

    def __init__(self, folder: Path) -> None:
        self.nodes = Nodes(broker().address, folder)
        prefix = folder.name.replace("_", "-")
        self.nodes.env["STREAMSCHED_PREFIX"] = prefix
        made = self.nodes.run("topics", "create")
        assert made.returncode == 0, made.stderr
        self.site = Installation(load_settings(None, brokers=broker().address, prefix=prefix)).discover()
        self.thrown: dict[Place, Poison] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.processes.append(self.nodes.start(*arguments))
        return self.processes[-1]

    def throw(self, poisons: list[Poison]) -> None:
        appends = [poison.append(self.site.topics) for poison in poisons]
        for append, poison, offset in zip(appends, poisons, self.site.log.append(appends), strict=True):
            self.thrown[append.topic, append.partition, offset] = poison

    def throw_foreign(self) -> None:
        """Throw what no client of ours writes: records that are large once unpacked, header names that are not text.

        The broker refuses the former: a batch counts as what it is unpacked.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from kafka.errors import MessageSizeTooLargeError  # type: ignore[import-untyped]

            from kafka import KafkaProducer  # type: ignore[import-untyped]
        topics = self.site.topics
        for topic, role in ((topics.events, "events"), (topics.children, "children")):
            producer = KafkaProducer(
                bootstrap_servers=broker().address, compression_type="gzip", max_request_size=32_000_000, acks="all"
            )
            with closing(producer):
                for headers in ([(NoText("task"), b"x"), ("child", b"\xff")], [("task", bytes(1_900_000))]):
                    sent = producer.send(topic, value=b"rubbish", key=b"k", headers=headers, partition=0).get(30)
                    self.thrown[topic, 0, sent.offset] = Poison("foreign", role, 0, b"k", b"", (), "letter")  # type: ignore[arg-type]
                for value in (bytes(16_000_000), b"\xc3\x01" + bytes(16_000_000)):
                    with pytest.raises(MessageSizeTooLargeError):
                        producer.send(topic, value=value, key=b"k", partition=0).get(30)

    def submit(self, task_id: str) -> None:
        done = self.nodes.run(
            "submit", "examples/print-numbers.yaml", "-p", "n=20", "-p", "chunk=5", "--task-id", task_id
        )
        assert done.returncode == 0, done.stderr

    def wait_for(self, task_id: str) -> None:
        def succeeded() -> bool:
            answer = self.nodes.run("status", task_id, "--json")
            return answer.returncode == 0 and json.loads(answer.stdout)["state"] == "succeeded"

        until(succeeded, 90, self.nodes.said)

    def memory(self) -> int:
        """Return the most that one of the processes has resident."""
        sizes = []
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                sizes += [each.memory_info().rss for each in tree]
        return max(sizes)

    def journal_read(self) -> bool:
        """Tell whether the schedulers have committed positions beyond all that was thrown into the journal."""
        topics = self.site.topics
        committed = self.site.log.committed(topics.scheduler_group, topics.journal(), stable=True)
        return all(
            (commit := committed[TopicPartition(topic, partition)]) is not None and commit.position > offset
            for (topic, partition, offset), poison in self.thrown.items()
            if topic == topics.events and poison.fate == "letter"
        )

    def close(self) -> None:
        self.nodes.end()
        self.site.close()


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Siege]:
    opened = Siege(tmp_path)
    with closing(opened):
        yield opened


def test_nodes_live_and_tasks_run_under_a_corpus(siege: Siege) -> None:
    """Two schedulers, two workers: 700 records are thrown at them, and one scheduler is killed in the middle."""
    schedulers = [siege.start("scheduler") for _ in range(2)]
    workers = [siege.start("worker", "--slots", "1", "--allow", "streamsched.examples.*") for _ in range(2)]
    siege.submit("before")
    siege.wait_for("before")

    corpus = [
        poison
        for poison in Corpus(7, siege.site.topics, siege.site.codec, now=time.time_ns() // 1_000_000).records()
        if _is_taken(poison)
    ]
    selection = corpus[::2][:700]
    assert len(selection) >= 500
    siege.throw(selection[:250])
    siege.submit("among")
    siege.throw_foreign()
    siege.throw(selection[250:500])
    schedulers.pop().send_signal(signal.SIGKILL)
    siege.throw(selection[500:])
    siege.wait_for("among")
    siege.submit("after")
    siege.wait_for("after")

    until(siege.journal_read, 60, siege.nodes.said)
    most = siege.memory()
    assert all(process.poll() is None for process in [*schedulers, *workers]), siege.nodes.said()
    expected = {place for place, poison in siege.thrown.items() if poison.fate == "letter"}
    until(lambda: expected <= _told(siege).keys(), 60, siege.nodes.said)
    check_fates(siege.thrown, _told(siege))
    assert most < MEMORY, f"{most:,} bytes"

    # The next owners tell nothing again, and the commands bear what lies there.
    schedulers.pop().send_signal(signal.SIGTERM)
    siege.start("scheduler")
    siege.submit("later")
    siege.wait_for("later")
    check_fates(siege.thrown, _told(siege))
    counts = json.loads(siege.nodes.run("dead-letters", "--count", "--json").stdout)
    assert counts["total"] >= len(expected)
    for command in ("list", "nodes", "replay", "dead-letters"):
        shown = siege.nodes.run(command, "--json")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout


def _is_taken(poison: Poison) -> bool:
    """Tell whether a broker takes it: a compacted topic refuses what has no key."""
    return poison.key is not None or poison.topic not in ("workers", "templates")


def _told(siege: Siege) -> Any:
    return tally(entry.letter for entry in dead_letters(siege.site))
