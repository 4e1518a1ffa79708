"""A broker that is killed and comes back, under a loop that writes by the rules of the port."""

from __future__ import annotations

import pytest

from streamsched.log.port import (
    Append,
    Committed,
    WriterFenced,
)
from tests.contract.node import read, stable, values
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tools.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


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
