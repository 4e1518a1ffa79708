"""What the embedded log committed outlives the process, however that ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.embedded import EmbeddedLog
from streamsched.log.port import Append, Committed, Record, TopicPartition, TopicSpec

pytestmark = pytest.mark.slow

ONE, TWO = TopicPartition("topic", 0), TopicPartition("topic", 1)

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from streamsched.log.embedded import EmbeddedLog
from streamsched.log.port import Append, Committed, TopicPartition, TopicSpec

class Deaf:
    def on_assigned(self, partitions): pass
    on_revoked = on_lost = on_assigned

log = EmbeddedLog(Path(sys.argv[1]))
log.create_topics([TopicSpec("topic", 2, {})])
member = log.member("group", "topic", Deaf())
member.poll()
writer = log.writer("writer")
number = 0
while True:
    number += 1
    value = b"%d" % number
    writer.commit(
        [Append("topic", 0, None, value), Append("topic", 1, None, value * 100)],
        {TopicPartition("topic", 0): Committed(number, str(number))},
        member,
    )
    print(number, flush=True)
"""


class Deaf:
    """A listener that takes what it is given."""

    def on_assigned(self, partitions: Collection[int]) -> None: ...
    def on_revoked(self, partitions: Collection[int]) -> None: ...
    def on_lost(self, partitions: Collection[int]) -> None: ...


def read(log: LogAdapter, place: TopicPartition, position: int = 0) -> list[Record]:
    reader = log.reader()
    reader.assign({place: position})
    records: list[Record] = []
    while some := reader.poll(1000, 0):
        records.extend(some)
    reader.close()
    return records


def write(log: LogAdapter, number: int) -> None:
    member = log.member("group", "topic", Deaf())
    member.poll()
    writer = log.writer("writer")
    value = b"%d" % number
    writer.commit(
        [Append("topic", 0, None, value), Append("topic", 1, None, value * 100)],
        {ONE: Committed(number, str(number))},
        member,
    )
    member.leave()


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    last = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(300)]
            process.kill()
            told += [int(line) for line in process.stdout.read().splitlines() if line.strip()]
        log = EmbeddedLog(tmp_path)
        witness = log.committed("group", [ONE], stable=True)[ONE]
        assert witness is not None
        assert witness.position in (told[-1], told[-1] + 1)
        numbers = [int(record.value or b"") for record in read(log, ONE, last)]
        assert numbers == list(range(1, witness.position + 1))
        assert [record.value for record in read(log, TWO, last)] == [b"%d" % n * 100 for n in numbers]
        last = log.end([ONE])[ONE]
        log.close()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    spec = TopicSpec("topic", 2, {"cleanup.policy": "delete"})
    log = EmbeddedLog(tmp_path)
    name = log.cluster_id
    log.create_topics([spec])
    log.append([Append("topic", 1, b"key", b"plain", [("h", b"v")])])
    for number in (1, 2, 3):
        write(log, number)
    log.delete_before({ONE: 2})
    bounds = log.start([ONE, TWO]), log.end([ONE, TWO])
    log.close()

    log = EmbeddedLog(tmp_path)
    assert log.cluster_id == name
    assert log.create_topics([spec]) == []
    assert (log.start([ONE, TWO]), log.end([ONE, TWO])) == bounds
    assert log.committed("group", [ONE, TWO], stable=True) == {ONE: Committed(3, "3"), TWO: None}
    first = read(log, TWO)[0]
    assert (first.key, first.value, list(first.headers)) == (b"key", b"plain", [("h", b"v")])
    assert [r.value for r in read(log, ONE, 2)] == [b"2", b"3"]
    write(log, 4)
    assert [(r.offset, r.value) for r in read(log, ONE, 2)] == [(2, b"2"), (4, b"3"), (6, b"4")]
    log.close()


def test_offsets_of_an_aborted_transaction_are_not_given_out_again(tmp_path: Path) -> None:
    class Stop(BaseException): ...

    class Faults:
        armed = False

        def at(self, step: str, client: str) -> None:
            if self.armed and step == "commit.before_end":
                raise Stop

    faults = Faults()
    log = EmbeddedLog(tmp_path, faults=faults)
    log.create_topics([TopicSpec("topic", 2, {})])
    write(log, 1)
    faults.armed = True
    with pytest.raises(Stop):
        write(log, 2)
    log.fence("writer")
    log.close()
    log = EmbeddedLog(tmp_path)
    write(log, 3)
    assert [(r.offset, r.value) for r in read(log, ONE)] == [(0, b"1"), (4, b"3")]
    log.close()


def test_reading_is_the_same_from_memory_and_from_the_store(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, tail_bytes=5_000)
    log.create_topics([TopicSpec("topic", 2, {})])
    for number in range(200):
        write(log, number)
    whole = read(log, ONE)
    assert [int(r.value or b"") for r in whole] == list(range(200))
    for position in (0, 1, 150, 151, 301, 395, 399, 400):
        records = read(log, ONE, position)
        assert [r.offset for r in records] == [r.offset for r in whole if r.offset >= position]
        assert [int(r.value or b"") for r in records] == [r.offset // 2 for r in records]
    log.close()


def test_large_transactions_are_cut_into_chunks_that_read_as_one(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, tail_bytes=0)
    log.create_topics([TopicSpec("topic", 2, {})])
    values = [bytes([number]) * 100_000 for number in range(20)]
    log.append([Append("topic", 0, None, value) for value in values])
    reader = log.reader()
    reader.assign({ONE: 1})
    records: list[Record] = []
    while some := reader.poll(3, 0):
        records.extend(some)
    assert [r.value for r in records] == values[1:]
    assert log.position_at([ONE], 0) == {ONE: 0}
    log.close()


def test_a_machine_that_slept_does_not_cost_the_one_process_its_partitions(tmp_path: Path) -> None:
    now = [1_000_000]
    told: list[tuple[str, list[int]]] = []

    class Listener:
        def on_assigned(self, partitions: Collection[int]) -> None:
            told.append(("assigned", list(partitions)))

        def on_revoked(self, partitions: Collection[int]) -> None:
            told.append(("revoked", list(partitions)))

        def on_lost(self, partitions: Collection[int]) -> None:
            told.append(("lost", list(partitions)))

    log = EmbeddedLog(tmp_path, clock=lambda: now[0])
    log.create_topics([TopicSpec("topic", 1, {})])
    member = log.member("group", "topic", Listener())
    member.poll()
    now[0] += 3 * 24 * 3600 * 1000
    member.poll()
    assert told == [("assigned", [0])]
    log.close()
