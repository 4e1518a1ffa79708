"""Transactions that were decided and never ended in a partition: found, told apart from open ones, and ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamsched.admin import check, hanging
from streamsched.installation.site import Installation
from streamsched.log.kafka.coordination import POSITIONS
from streamsched.log.port import Append, Committed, Hanging, LogUnreachable
from tests.kafka.conftest import make_node
from tests.kafka.forgetting import Forgotten, credulous
from tests.kafka.harness import KafkaHarness
from tests.support.log_node import Node, read, stable, values
from tools.broker import Broker

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def node(doomed: Broker, doomed_harness: KafkaHarness) -> Iterator[Node]:
    with credulous(doomed):
        yield make_node(doomed_harness)


def forget(harness: KafkaHarness, node: Node, *, committed: bool) -> Forgotten:
    log: Any = node.log
    member: Any = node.member
    settings = log.settings.writer(harness.name("forgotten"))
    return Forgotten(settings, node.place(0), member.group_metadata(), committed=committed)


def look(node: Node) -> list[Hanging]:
    return list(node.log.hanging(node.log.held([node.place(0)], [node.group])))


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "aborted"])
def test_it_ends_as_it_was_decided(doomed_harness: KafkaHarness, node: Node, committed: bool) -> None:
    place = node.place(0)
    forgotten = forget(doomed_harness, node, committed=committed)
    forgotten.write(b"again")
    node.log.append([Append(node.topic, 0, None, b"later")])
    assert values(read(doomed_harness, node.log, {place: 0}, 1 if committed else 0)) == [b"ended"] * committed

    found = look(node)
    assert [(each.place, each.transactional_id, each.committed) for each in found] == [
        (place, forgotten.transactional_id, committed)
    ]
    assert node.log.end_hanging(found[0])
    assert not node.log.end_hanging(found[0])
    assert look(node) == []
    expected = [b"ended", b"again", b"later"] if committed else [b"later"]
    assert values(read(doomed_harness, node.log, {place: 0}, len(expected))) == expected


def test_positions_can_be_read_again(doomed_harness: KafkaHarness, node: Node) -> None:
    place = node.place(0)
    forget(doomed_harness, node, committed=True).commit(7, node.group)
    with pytest.raises(LogUnreachable, match="a transaction is open"):
        node.log.committed(node.group, [place], stable=True, timeout=1.0)
    found = look(node)
    assert [(each.place.topic, each.committed) for each in found] == [(POSITIONS, True)]
    assert node.log.end_hanging(found[0])
    ended = stable(node.log, node.group, place)
    assert ended is not None
    assert ended.position == 7


def test_an_open_transaction_is_left_alone(doomed_harness: KafkaHarness, node: Node) -> None:
    place, name = node.place(0), doomed_harness.name("open")
    appends = [Append(node.topic, 0, None, b"open")]
    opened = doomed_harness.leave_open(node.log, name, appends, {place: Committed(1, "")}, node.member)
    assert place in node.log.held([place], [node.group])
    assert look(node) == []
    opened.commit()
    assert values(read(doomed_harness, node.log, {place: 0}, 1)) == [b"open"]


def test_check_names_it_and_repair_ends_it(doomed_harness: KafkaHarness, node: Node) -> None:
    forgotten = forget(doomed_harness, node, committed=True)
    forgotten.write(b"again")

    topics = SimpleNamespace(
        specs=list, journal=lambda: [node.place(0)], work_log=list, scheduler_group=node.group, worker_group=node.group
    )
    found = SimpleNamespace(check_sizes=lambda: None)
    site = cast(Installation, SimpleNamespace(log=node.log, topics=topics, discover=lambda: found, pause=time.sleep))
    assert check.differences(site) == [
        f"{node.topic}-0 at 2: the transaction of {forgotten.transactional_id} was committed, and never ended: "
        "a scheduler ends it, or: streamsched topics repair"
    ]
    assert len(hanging.end(site)) == 1
    assert list(hanging.find(site)) == []
