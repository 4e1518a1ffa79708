"""Claiming a partition, in the five steps of the design, against a predecessor that is dead, frozen or late."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import (
    Append,
    Committed,
    LogUnreachable,
    OutcomeUnknown,
    TransactionAborted,
    WriterFenced,
)
from tests.support.log_harness import Hanging, Harness, until
from tests.support.log_node import Node, read, stable, values

Join = Callable[[], Node]


class Mark(NamedTuple):
    """What these tests keep in the metadata: whom to fence, and the witness."""

    writer: str = ""
    epoch: int = 0
    counter: int = 0
    released: bool = True

    def text(self) -> str:
        return json.dumps(self._asdict())


class Claim(NamedTuple):
    """What a claim found and wrote."""

    position: int
    mark: Mark
    end: int


def mark_of(committed: Committed | None) -> Mark:
    return Mark(**json.loads(committed.metadata)) if committed else Mark()


def look(node: Node, partition: int, *, patience: float) -> Committed | None:
    """Read what was committed: without waiting, or stable, and then only for so long."""
    place = node.place(partition)
    return node.log.committed(node.group, [place], stable=patience > 0, timeout=patience)[place]


def find_predecessor(node: Node, partition: int) -> Mark:
    """Step 1: learn whom to fence, from a read that may be stale, then from one that may be blocked."""
    found = mark_of(look(node, partition, patience=0))
    if not found.released:
        try:
            found = mark_of(look(node, partition, patience=0.3))
        except LogUnreachable:
            return found
    return found


def claim(harness: Harness, node: Node, partition: int) -> Claim:
    predecessor = find_predecessor(node, partition)  # 1
    if not predecessor.released:
        node.log.fence(predecessor.writer)  # 2
    place = node.place(partition)
    found: list[Committed | None] = []

    def read_stable() -> bool:
        node.serve()
        try:
            found.append(look(node, partition, patience=2.0))
        except LogUnreachable:
            return False
        return True

    until(harness, read_stable, limit=60, what="a stable read")  # 3
    last = mark_of(found[0])
    position = found[0].position if found[0] else 0
    mark = Mark(node.writer.transactional_id, last.epoch + 1, last.counter + 1, released=False)
    node.write(partition, position=position, metadata=mark.text())  # 4
    return Claim(position, mark, node.log.end([place])[place])  # 5


def hang(harness: Harness, node: Node, claimed: Claim, partition: int) -> Hanging:
    """Let the owner freeze inside its next transaction, under the id that its claim names."""
    mark = claimed.mark._replace(counter=claimed.mark.counter + 1)
    return harness.leave_open(
        node.log,
        mark.writer,
        [Append(node.topic, partition, None, b"late")],
        {node.place(partition): Committed(1, mark.text())},
        node.member,
    )


def replace(harness: Harness, log: LogAdapter, old: Node, new: Node) -> None:
    """Evict the old member without telling it, and let the new one take over."""
    log.evict(old.group, old.member.member_id)
    new.settle(4)


def test_the_first_claim_finds_nothing(harness: Harness, node: Node) -> None:
    claimed = claim(harness, node, 0)
    assert (claimed.position, claimed.mark.epoch, claimed.mark.counter, claimed.end) == (0, 1, 1, 0)


def test_a_released_partition_is_claimed_without_a_fence(harness: Harness, join: Join) -> None:
    old, new = join(), join()
    old.settle(4)
    claimed = claim(harness, old, 1)
    released = claimed.mark._replace(counter=2, released=True)

    def release(partitions: frozenset[int]) -> None:
        if 1 in partitions:
            old.write(1, b"done", position=1, metadata=released.text())

    old.when_revoked = release
    old.member.leave()
    new.settle(4)
    until(harness, lambda: find_predecessor(new, 1).released)
    again = claim(harness, new, 1)
    assert (again.position, again.mark.epoch, again.mark.counter, again.end) == (1, 2, 3, 2)
    with pytest.raises(TransactionAborted):  # it has left, but nobody fenced it
        old.write(1, b"never")


def test_a_zombie_that_commits_after_the_claim_is_fenced_and_never_seen(
    harness: Harness, log: LogAdapter, join: Join
) -> None:
    old, new = join(), join()
    old.settle(4)
    hanging = hang(harness, old, claim(harness, old, 0), 0)
    replace(harness, log, old, new)
    claimed = claim(harness, new, 0)
    assert (claimed.position, claimed.mark.epoch, claimed.mark.counter) == (0, 2, 2)
    with pytest.raises(WriterFenced):
        hanging.commit()
    assert mark_of(stable(log, new.group, new.place(0))) == claimed.mark
    new.write(0, b"new", position=0, metadata=claimed.mark._replace(counter=3).text())
    assert values(read(harness, log, {new.place(0): 0}, 1)) == [b"new"]


def test_a_zombie_that_commits_before_it_is_fenced_hands_its_work_on(
    harness: Harness, log: LogAdapter, join: Join
) -> None:
    old, new = join(), join()
    old.settle(4)
    hanging = hang(harness, old, claim(harness, old, 0), 0)
    replace(harness, log, old, new)
    assert find_predecessor(new, 0).epoch == 1
    hanging.commit()  # the group is not asked when a transaction ends
    claimed = claim(harness, new, 0)
    assert (claimed.position, claimed.mark.epoch, claimed.mark.counter) == (1, 2, 3)
    assert claimed.end >= 2
    assert values(read(harness, log, {new.place(0): 0}, 1)) == [b"late"]


def test_an_evicted_owner_that_goes_on_is_refused_before_and_after_the_claim(
    harness: Harness, log: LogAdapter, join: Join
) -> None:
    old, new = join(), join()
    old.settle(4)
    mark = claim(harness, old, 0).mark._replace(counter=2)
    replace(harness, log, old, new)
    with pytest.raises(TransactionAborted):
        old.write(0, b"never", position=1, metadata=mark.text())
    claimed = claim(harness, new, 0)
    with pytest.raises((WriterFenced, TransactionAborted, OutcomeUnknown)):
        old.write(0, b"never", position=1, metadata=mark.text())
    assert mark_of(stable(log, new.group, new.place(0))) == claimed.mark
    assert log.end([new.place(0)])[new.place(0)] >= claimed.end
    new.write(0, b"new", metadata=claimed.mark.text())
    assert values(read(harness, log, {new.place(0): 0}, 1)) == [b"new"]


def test_a_claim_waits_for_the_transaction_timeout_where_nobody_is_fenced(
    harness: Harness, log: LogAdapter, join: Join
) -> None:
    old, new = join(), join()
    old.settle(4)
    claim(harness, old, 0)
    stranger = harness.leave_open(
        old.log,
        harness.name("stranger"),
        [Append(old.topic, 0, None, b"never")],
        {old.place(0): Committed(9, Mark().text())},
        old.member,
    )
    replace(harness, log, old, new)
    claimed = claim(harness, new, 0)
    assert (claimed.position, claimed.mark.epoch) == (0, 2)
    with pytest.raises(WriterFenced):
        stranger.commit()


def test_many_partitions_are_claimed_by_one_transaction(harness: Harness, log: LogAdapter, node: Node) -> None:
    places = [node.place(p) for p in sorted(node.partitions)]
    mark = Mark(node.writer.transactional_id, 1, 1, released=False)
    node.writer.commit([], dict.fromkeys(places, Committed(0, mark.text())), node.member)
    committed = log.committed(node.group, places, stable=True)
    assert {mark_of(found) for found in committed.values()} == {mark}
