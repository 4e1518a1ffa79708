"""Live through one task over the log in memory, where every run is like the other, and count what it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from bench.cluster import TEMPLATES
from streamsched.commands.request import make_request, want
from streamsched.log.core.writer import CoreWriter
from streamsched.log.port import Append, Committed, Member, TopicPartition
from streamsched.log.topics import CHILD_PARTITIONS, EVENT_PARTITIONS
from tests.guard.calls import Calls
from tests.support.mini_cluster import MiniCluster

CHILDREN: Final = 10_000
IN_A_TURN: Final = 100
"""Children that run in each turn of 10 ms."""
NOOP: Final[Mapping[str, object]] = {"children": CHILDREN}
LIMIT: Final = 60.0
"""Seconds of the clock of the log after which a task does not come to its end any more."""


class Costs:
    """What is counted from the request of a task until its end, and until a client has folded it."""

    def __init__(
        self, template: Path = TEMPLATES / "noop.yaml", params: Mapping[str, object] = NOOP, emits: int = 0
    ) -> None:
        """Live through the task; each child emits so many records."""
        self._wanted = want(template, params, task_id="job")
        self.figures: dict[str, float] = {}
        self.calls = {who: Calls() for who in ("scheduler", "worker", "fold")}
        mini = MiniCluster(EVENT_PARTITIONS, CHILD_PARTITIONS, room=IN_A_TURN, emits=emits)
        mini.turn(100)  # until every partition is claimed, and the scheduler has heard so
        topics = [TopicPartition(spec.name, n) for spec in mini.topics.specs() for n in range(spec.partitions)]
        begun = mini.log.end(topics)
        with self._transactions_counted():
            self._live_through(mini)
        with self.calls["fold"]:
            mini.folded()
        self._count_records(mini, begun)
        for who, calls in self.calls.items():
            self.figures[f"calls a child: {who}"] = calls.made().total() / CHILDREN

    def callers(self, who: str) -> str:
        """Tell which functions make most of the calls, and how many for each child."""
        return "".join(f"\n{calls / CHILDREN:8.2f} by {name}" for name, calls in self.calls[who].made().most_common(15))

    def _live_through(self, mini: MiniCluster) -> None:
        mini.log.append([mini.records.journal(make_request(mini.me, self._wanted, "guard"), "job")])
        begun = mini.clock.monotonic()
        while mini.phase("job") != "succeeded":
            assert mini.clock.monotonic() < begun + LIMIT, f"the task is {mini.phase('job')}"
            with self.calls["scheduler"]:
                mini.scheduler.step(0.0)
            with self.calls["worker"]:
                mini.worker.step(0.0)
            mini.clock.advance(0.01)

    @contextmanager
    def _transactions_counted(self) -> Iterator[None]:
        transactions: Counter[str] = Counter()
        partitions: Counter[str] = Counter()
        commit = CoreWriter.commit

        def counted(
            writer: CoreWriter, appends: Sequence[Append], positions: Mapping[TopicPartition, Committed], member: Member
        ) -> Mapping[int, int]:
            group = writer.transactional_id.split(".")[1]
            transactions[group] += 1
            partitions[group] += len({(append.topic, append.partition) for append in appends}) + bool(positions)
            return commit(writer, appends, positions, member)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CoreWriter, "commit", counted)
            yield
        for group, number in transactions.items():
            self.figures[f"transactions of {group}"] = number
            self.figures[f"partitions a transaction of {group}"] = partitions[group] / number

    def _count_records(self, mini: MiniCluster, begun: Mapping[TopicPartition, int]) -> None:
        records = headers = size = 0
        reader = mini.log.reader()
        reader.assign(begun)
        while read := reader.poll(CHILDREN, 0.0):
            for record in read:
                records += 1
                headers += len(record.headers)
                size += len(record.key or b"") + len(record.value or b"")
                size += sum(len(name.encode()) + len(value) for name, value in record.headers)
        self.figures["records a child"] = records / CHILDREN
        self.figures["headers a child"] = headers / CHILDREN
        self.figures["bytes a child"] = size / CHILDREN
