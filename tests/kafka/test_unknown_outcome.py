"""A commit that nobody answers: the group's position, written with it, tells what became of it."""

from __future__ import annotations

import pytest

from streamsched.log.port import Committed, LogUnreachable, OutcomeUnknown, WriterFenced
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tests.support.log_node import read, values
from tools.broker import Broker

pytestmark = pytest.mark.timeout(120)


def test_the_witness_speaks_after_the_freeze(doomed: Broker, doomed_harness: KafkaHarness) -> None:
    node = make_node(doomed_harness)
    place, old = node.place(0), node.writer
    node.write(0, b"first", position=1, metadata="1")
    doomed.pause()
    try:
        with pytest.raises(OutcomeUnknown, match=old.transactional_id):
            node.write(0, b"second", position=2, metadata="2")
    finally:
        doomed.resume()
    with pytest.raises(WriterFenced):
        node.write(0, b"third", position=3, metadata="3")
    found: list[Committed | None] = []

    def witnessed() -> bool:
        node.serve()
        try:
            node.log.fence(old.transactional_id)
            found.append(node.log.committed(node.group, [place], stable=True)[place])
        except LogUnreachable:
            return False
        return True

    until(doomed_harness, witnessed, what="a witness")
    assert found[0] in (Committed(1, "1"), Committed(2, "2"))
    expected = [b"first", b"second"] if found[0] == Committed(2, "2") else [b"first"]
    assert values(read(doomed_harness, node.log, {place: 0}, len(expected))) == expected
