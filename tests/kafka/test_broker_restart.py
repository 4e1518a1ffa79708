"""A broker that is killed and comes back, under a loop that writes by the rules of the port."""

from __future__ import annotations

import threading
import time

import pytest

from streamsched.log.port import (
    Append,
    Committed,
    LogUnreachable,
    OutcomeUnknown,
    TransactionAborted,
    WriterFenced,
)
from tests.contract.harness import until
from tests.contract.node import Node, read, stable, values
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tools.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
COUNT = 100
KILL_AT = 30


class Counter:
    """Writes the numbers from 0, each in a transaction with the position behind it."""

    def __init__(self, harness: KafkaHarness, node: Node) -> None:
        self._harness = harness
        self._node = node
        self.next = 0
        self.unsure = False

    def step(self) -> None:
        self._node.serve()
        try:
            if self.unsure:
                self._look()
            self._node.write(0, b"%d" % self.next, position=self.next + 1)
            self.next += 1
        except TransactionAborted:
            pass
        except (OutcomeUnknown, WriterFenced):
            self.unsure = True
        except LogUnreachable:
            time.sleep(0.1)

    def _look(self) -> None:
        log, place = self._node.log, self._node.place(0)
        fresh = log.writer(self._harness.name("writer"))
        log.fence(self._node.writer.transactional_id)
        witness = log.committed(self._node.group, [place], stable=True)[place]
        self._node.writer = fresh
        self.next = witness.position if witness else 0
        self.unsure = False


def test_nothing_is_lost_and_nothing_is_twice(doomed: Broker, doomed_harness: KafkaHarness) -> None:
    node = make_node(doomed_harness)
    place, counter = node.place(0), Counter(doomed_harness, node)

    def counted(count: int) -> bool:
        counter.step()
        return counter.next >= count

    until(doomed_harness, lambda: counted(KILL_AT), what=f"{KILL_AT} transactions")
    # A broker that is alone and dies before the markers of a commit are written never writes them: once back, it
    # is without a leader for a moment, and takes the partitions for deleted (Kafka 4.3.1).
    until(doomed_harness, lambda: node.log.end([place])[place] == 2 * KILL_AT, what="the last marker")
    assert stable(node.log, node.group, place).position == KILL_AT

    def kill_and_start() -> None:
        doomed.kill()
        doomed.start()

    restart = threading.Thread(target=kill_and_start)
    restart.start()
    until(doomed_harness, lambda: counted(COUNT), limit=60, what=f"{COUNT} transactions")
    restart.join()
    records = read(doomed_harness, node.log, {place: 0}, COUNT)
    assert values(records) == [b"%d" % number for number in range(COUNT)]


def test_a_transaction_left_open_is_aborted_after_the_restart(doomed: Broker, doomed_harness: KafkaHarness) -> None:
    node = make_node(doomed_harness)
    place, name = node.place(0), doomed_harness.name("hanging")
    node.write(0, b"first", position=1)
    appends = [Append(node.topic, 0, None, b"never")]
    hanging = doomed_harness.leave_open(node.log, name, appends, {place: Committed(2, "")}, node.member)
    doomed.stop()
    doomed.start()
    node.log.fence(name)
    assert stable(node.log, node.group, place) == Committed(1, "")
    assert values(read(doomed_harness, node.log, {place: 0}, 1)) == [b"first"]
    with pytest.raises(WriterFenced):
        hanging.commit()
