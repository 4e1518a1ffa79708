"""Members join, hand over, leave and die, and no partition is ever with two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import Append, Committed, LogError, TopicPartition, TransactionAborted, WriterFenced
from tests.support.log_harness import Harness, RemoteMember, until
from tests.support.log_node import Node, read, stable, values

Join = Callable[[], Node]


def share(harness: Harness, nodes: Sequence[Node], sizes: Sequence[int]) -> None:
    """Serve the nodes until they have so many partitions, looking at every step that none is with two."""

    def shared() -> bool:
        for node in nodes:
            node.serve()
            owned = [p for other in nodes for p in other.partitions]
            assert len(owned) == len(set(owned))
        return sorted(len(node.partitions) for node in nodes) == sorted(sizes)

    until(harness, shared, what=f"shares of {sizes}")


def test_one_member_has_all(node: Node) -> None:
    assert node.partitions == {0, 1, 2, 3}
    assert node.member.member_id


def test_a_member_has_no_id_before_it_joined_and_after_it_left(join: Join) -> None:
    node = join()
    assert node.member.member_id == ""
    node.settle(4)
    node.member.leave()
    assert node.member.member_id == ""
    assert node.partitions == set()
    assert not any(what == "lost" for what, _ in node.told)


def test_two_and_three_members_share_and_leave_in_order(harness: Harness, join: Join) -> None:
    nodes = [join(), join()]
    share(harness, nodes, [2, 2])
    nodes.append(join())
    share(harness, nodes, [1, 1, 2])
    ids = {node.member.member_id for node in nodes}
    assert len(ids) == 3
    nodes.pop(0).member.leave()
    share(harness, nodes, [2, 2])
    nodes.pop(0).member.leave()
    share(harness, nodes, [4])
    assert not any(what == "lost" for node in nodes for what, _ in node.told)


def test_partitions_stay_where_they_are_as_far_as_possible(harness: Harness, join: Join) -> None:
    first, second = join(), join()
    first.settle(4)
    share(harness, [first, second], [2, 2])
    kept = set(first.partitions)
    second.member.leave()
    share(harness, [first], [4])
    revoked = [partitions for what, partitions in first.told if what == "revoked"]
    assert kept.isdisjoint(*revoked)


def test_more_members_than_partitions(harness: Harness, join: Join) -> None:
    nodes = [join() for _ in range(5)]
    share(harness, nodes, [0, 1, 1, 1, 1])


def test_a_transaction_counts_until_the_hand_over_is_done(harness: Harness, log: LogAdapter, join: Join) -> None:
    old, new = join(), join()
    old.settle(4)

    def release(partitions: frozenset[int]) -> None:
        for partition in sorted(partitions):
            old.write(partition, b"bye", position=partition + 10, metadata=f"released by {old.member.member_id}")

    old.when_revoked = release
    old_id = old.member.member_id
    share(harness, [old, new], [2, 2])
    for partition in new.partitions:
        assert stable(new.log, new.group, new.place(partition)) == Committed(partition + 10, f"released by {old_id}")
        assert values(read(harness, log, {new.place(partition): 0}, 1)) == [b"bye"]
    old.member.leave()
    share(harness, [new], [4])
    for partition in range(4):
        assert stable(new.log, new.group, new.place(partition)).metadata == f"released by {old_id}"


def share_and_kill(harness: Harness, node: Node, doomed: RemoteMember) -> None:
    """Let two members share the partitions; then one dies."""

    def shared() -> bool:
        node.serve()
        doomed.serve()
        return len(node.partitions) == len(doomed.partitions) == 2

    until(harness, shared)
    doomed.kill()


def test_a_dead_member_is_given_up_by_the_group(harness: Harness, join: Join, group: str, topic: str) -> None:
    node, doomed = join(), harness.remote_member(group, topic)
    share_and_kill(harness, node, doomed)
    waited = harness.session_timeout + 30.0

    def inherited() -> bool:
        node.serve()
        return len(node.partitions) == 4

    until(harness, inherited, limit=waited)
    assert not any(what == "lost" for what, _ in node.told)


def test_a_dead_member_can_be_evicted(harness: Harness, log: LogAdapter, join: Join, group: str, topic: str) -> None:
    node, doomed = join(), harness.remote_member(group, topic)
    share_and_kill(harness, node, doomed)
    log.evict(group, doomed.member_id)
    node.settle(4)
    log.evict(group, doomed.member_id)


def test_an_eviction_fences_the_writer_and_aborts_what_it_has_open(harness: Harness, node: Node) -> None:
    place = node.place(0)
    node.write(0, b"kept", position=1)
    old = node.writer.transactional_id
    node.log.evict(node.group, node.member.member_id, old)
    with pytest.raises(WriterFenced):
        node.writer.commit([Append(node.topic, 0, None, b"never")], {}, node.member)
    assert values(read(harness, node.log, {place: 0}, 1)) == [b"kept"]
    node.log.evict("no-such-group", "", old)


def test_an_evicted_member_is_refused_loses_its_partitions_and_comes_back(
    harness: Harness, log: LogAdapter, node: Node
) -> None:
    before = node.member.member_id
    node.write(0, b"mine", position=1)
    log.evict(node.group, before)
    with pytest.raises(TransactionAborted):
        node.write(0, b"never", position=2)

    def back() -> bool:
        node.serve()
        return ("lost", frozenset(range(4))) in node.told and len(node.partitions) == 4

    until(harness, back)
    assert node.member.member_id not in ("", before)
    node.write(0, b"again", position=3)
    assert values(read(harness, log, {node.place(0): 0}, 2)) == [b"mine", b"again"]
    assert stable(log, node.group, node.place(0)).position == 3


def test_a_live_member_may_commit_for_a_partition_of_another(harness: Harness, log: LogAdapter, join: Join) -> None:
    one, two = join(), join()
    share(harness, [one, two], [2, 2])
    partition = min(two.partitions)
    one.write(partition, b"accepted", position=5)
    assert stable(log, one.group, one.place(partition)).position == 5


def test_initial_positions_are_set_once(log: LogAdapter, join: Join, group: str, topic: str) -> None:
    places = [TopicPartition(topic, p) for p in range(4)]
    log.commit_initial(group, places, "epoch 0")
    assert log.committed(group, places, stable=True) == dict.fromkeys(places, Committed(0, "epoch 0"))
    node = join()
    node.settle(4)
    node.write(2, position=4, metadata="epoch 1")
    with pytest.raises(LogError):
        log.commit_initial(node.group, places, "epoch 0")
    node.member.leave()
    log.commit_initial(node.group, places, "other")
    committed = log.committed(node.group, places, stable=True)
    assert committed.pop(places[2]) == Committed(4, "epoch 1")  # type: ignore[attr-defined]
    assert set(committed.values()) == {Committed(0, "epoch 0")}
