"""A process that dies, or freezes, inside a transaction: its successor continues at once and it never counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamsched.log.kafka import KafkaLog, eviction
from streamsched.log.port import Append, Committed, LogError, TopicPartition
from tests.kafka.harness import CLASSIC, ROOT, KafkaHarness
from tests.kafka.overtaken import WRITERS
from tests.support.log_node import Node, read, stable, values
from tools.broker import Broker

# Long enough that nothing here is owed to a time-out.
PATIENT = {**CLASSIC, "session.timeout.ms": 45_000, "transaction.timeout.ms": 60_000}


class Dangling:
    """The other process, inside its transaction."""

    def __init__(self, brokers: str, group: str, topic: str, transactional_id: str) -> None:
        self.group = group
        self.topic = topic
        self.transactional_id = transactional_id
        command = [sys.executable, "-m", "tests.kafka.dangling", brokers, json.dumps(PATIENT)]
        self.process = subprocess.Popen(
            [*command, group, topic, transactional_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.member_id = self.hear()
        assert self.hear() == "open"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def go_on(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def dangling(broker: Broker, harness: KafkaHarness, topic: str) -> Iterator[Dangling]:
    started = Dangling(broker.address, harness.name("group"), topic, harness.name("writer"))
    yield started
    started.end()


def take_over(harness: KafkaHarness, log: KafkaLog, old: Dangling) -> Node:
    """Do what a successor does: evict, fence, read what counts."""
    log.evict(old.group, old.member_id, old.transactional_id)
    new = Node(harness, old.group, old.topic)
    new.settle(4)
    assert stable(log, old.group, new.place(0)) == Committed(0, "claimed")
    new.write(0, b"new", position=5, metadata="new")
    return new


def test_a_killed_process_is_succeeded_without_any_timeout(
    harness: KafkaHarness, log: KafkaLog, dangling: Dangling
) -> None:
    dangling.process.kill()
    dangling.process.wait()
    log.append([Append(dangling.topic, 0, None, b"behind")])
    take_over(harness, log, dangling)
    place = TopicPartition(dangling.topic, 0)
    assert values(read(harness, log, {place: 0}, 2)) == [b"behind", b"new"]


def test_a_frozen_process_that_thaws_is_told_and_never_seen(
    harness: KafkaHarness, log: KafkaLog, dangling: Dangling
) -> None:
    dangling.process.send_signal(signal.SIGSTOP)
    new = take_over(harness, log, dangling)
    dangling.process.send_signal(signal.SIGCONT)
    assert dangling.go_on() in ("WriterFenced", "TransactionAborted")
    assert stable(log, dangling.group, new.place(0)) == Committed(5, "new")
    assert values(read(harness, log, {new.place(0): 0}, 1)) == [b"new"]


@pytest.mark.parametrize("other", [True, False])
def test_an_eviction_fences_in_the_middle_of_a_transaction_with_or_without_the_other_package(
    monkeypatch: pytest.MonkeyPatch, harness: KafkaHarness, log: KafkaLog, dangling: Dangling, other: bool
) -> None:
    def refuse(*_: object) -> None:
        raise LogError("made up")

    monkeypatch.setattr(log if other else eviction, "fence", refuse)
    log.append([Append(dangling.topic, 0, None, b"behind")])
    log.evict(dangling.group, "", dangling.transactional_id)
    assert values(read(harness, log, {TopicPartition(dangling.topic, 0): 0}, 1)) == [b"behind"]
    assert dangling.go_on() in ("WriterFenced", "TransactionAborted")


def test_a_process_outlives_writers_that_are_fenced_while_their_records_are_on_their_way(
    broker: Broker, harness: KafkaHarness, topic: str
) -> None:
    command = [sys.executable, "-m", "tests.kafka.overtaken", broker.address, json.dumps(PATIENT)]
    names = [harness.name("group"), topic, harness.name("writer")]
    told = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.split() == ["WriterFenced"] * WRITERS
