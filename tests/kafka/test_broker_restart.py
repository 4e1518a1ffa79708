"""A broker that is killed and comes back, under a loop that writes by the rules of the port."""

from __future__ import annotations

import time
from contextlib import closing, suppress

import pytest

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import (
    Append,
    Committed,
    LogUnreachable,
    WriterFenced,
)
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tests.support.log_node import read, stable, values
from tools.broker import Broker

pytestmark = pytest.mark.timeout(120)


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


@pytest.mark.parametrize("limit", [1.0, 10.0])
def test_positions_can_be_read_again(limit: float, doomed: Broker, doomed_harness: KafkaHarness) -> None:
    """The client forgets a broker that a starting cluster does not name: who asks meanwhile must not wait for ever."""
    node = make_node(doomed_harness)
    node.write(0, b"first", position=1)
    place = node.place(0)
    with closing(KafkaLog(doomed.address)) as log:

        def answered() -> bool:
            with suppress(LogUnreachable):
                return log.committed(node.group, [place], stable=True, timeout=limit) == {place: Committed(1, "")}
            return False

        assert answered()  # from now on the client knows whom to ask
        doomed.stop()
        doomed.launch()
        until(doomed_harness, answered, limit=60)
    doomed.await_answer()


def test_offsets_can_be_looked_up_again(doomed: Broker, doomed_harness: KafkaHarness) -> None:
    """The restarted broker leads each partition anew: the client that asks as before is told so, and has to learn."""
    node = make_node(doomed_harness)
    place = node.place(0)
    assert node.log.start([place]) == {place: 0}
    doomed.stop()
    doomed.start()
    assert node.log.start([place]) == {place: 0}
    time.sleep(1.0)  # the broker leads it only now
    assert node.log.start([place]) == {place: 0}
