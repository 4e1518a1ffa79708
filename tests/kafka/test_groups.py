"""Members under both group protocols: callbacks, transactions inside them, evictions, and every way to leave."""

from __future__ import annotations

import pytest

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import Committed, TopicMismatch, TransactionAborted
from tests.kafka.conftest import make_join
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tests.support.log_node import Node, read, stable, values
from tools.broker import Broker


def share(harness: KafkaHarness, *nodes: Node) -> None:
    """Serve the nodes until all have the same number of partitions."""

    def shared() -> bool:
        for node in nodes:
            node.serve()
        return all(len(node.partitions) * len(nodes) == 4 for node in nodes)

    until(harness, shared, what="a fair share")


def test_the_revoke_callback_holds_a_whole_transaction(either: KafkaHarness) -> None:
    join = make_join(either)
    old, new = join(), join()
    old.settle(4)

    def release(partitions: frozenset[int]) -> None:
        for partition in sorted(partitions):
            old.write(partition, b"bye", position=9, metadata="released")

    old.when_revoked = release
    share(either, old, new)
    old.member.leave()
    new.settle(4)
    for partition in range(4):
        assert stable(new.log, new.group, new.place(partition)) == Committed(9, "released")
        assert values(read(either, new.log, {new.place(partition): 0}, 1)) == [b"bye"]


def test_what_the_listener_raises_comes_out(either: KafkaHarness) -> None:
    node = make_join(either)()
    node.settle(4)

    def fail(partitions: frozenset[int]) -> None:
        raise ZeroDivisionError

    node.when_revoked = fail
    with pytest.raises(ZeroDivisionError):
        node.member.leave()
    assert node.member.member_id == ""
    node.member.leave()


def test_an_evicted_member_loses_all_and_comes_back(either: KafkaHarness) -> None:
    node = make_join(either)()
    node.settle(4)
    before = node.member.member_id
    node.log.evict(node.group, before)
    with pytest.raises(TransactionAborted):
        node.write(0, b"never")

    def back() -> bool:
        node.serve()
        return ("lost", frozenset(range(4))) in node.told and len(node.partitions) == 4

    until(either, back, limit=60)
    node.write(0, b"again")
    assert values(read(either, node.log, {node.place(0): 0}, 1)) == [b"again"]


def test_a_killed_process_is_evicted(either: KafkaHarness) -> None:
    node = make_join(either)()
    remote = either.remote_member(node.group, node.topic)

    def shared() -> bool:
        node.serve()
        return len(node.partitions) == len(remote.partitions) == 2

    until(either, shared)
    remote.kill()
    node.log.evict(node.group, remote.member_id)
    node.settle(4)


def test_one_that_dies_while_it_joins_is_evicted_by_the_name_that_the_group_gave_it(broker: Broker) -> None:
    """With the session of a real node nobody would wait for its end."""
    harness = KafkaHarness(broker.address, {"transaction.timeout.ms": 3000})
    node = make_join(harness)()
    node.settle(4)
    remote = harness.remote_member(node.group, node.topic)
    until(harness, lambda: bool(remote.member_id), what="a name")  # nobody serves the others: it cannot come further
    assert not remote.partitions
    remote.kill()
    node.log.evict(node.group, remote.member_id)
    node.settle(4)
    node.write(0, b"still here")
    another = Node(harness, node.group, node.topic)
    share(harness, node, another)
    harness.close()


@pytest.mark.parametrize("wait", [0.0, 0.6, 1.2])
def test_leaving_in_the_middle_of_a_rebalance(either: KafkaHarness, wait: float) -> None:
    join = make_join(either)
    node = join()
    node.settle(4)
    newcomer = join()
    newcomer.serve()
    either.pass_time(wait)  # the client goes on behind our back: callbacks pile up unserved
    node.member.leave()
    newcomer.member.leave()
    assert node.partitions == newcomer.partitions == set()


def test_leaving_before_joining(either: KafkaHarness) -> None:
    node = make_join(either)()
    node.member.leave()
    assert node.partitions == set()


def test_a_topic_that_does_not_exist_is_named(harness: KafkaHarness, log: KafkaLog) -> None:
    node = Node(harness, harness.name("group"), harness.name("nowhere"))

    def poll() -> bool:
        node.serve()
        return False

    with pytest.raises(TopicMismatch, match="nowhere"):
        until(harness, poll)
