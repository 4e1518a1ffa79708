"""Records of topics in the transactions of a worker: with what covers them, apart from the rest, and never believed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamsched.domain import events as e
from streamsched.log.core.writer import CoreWriter
from streamsched.log.port import AppendRefused, TopicFacts, TopicMismatch, TopicPartition, TransactionAborted
from streamsched.worker import jobs
from streamsched.worker.emission import Emission
from streamsched.worker.jobs import Emitted
from streamsched.worker.node import Worker
from streamsched.worker.outlet import Outlet
from tests.support.worker_case import Shop, ToldPool
from tests.unit.worker.test_unsaved import checkpointed, completed, failed, stopped


def records(first: int, end: int, topic: str = "out") -> tuple[Emitted, ...]:
    return tuple(Emitted(topic, 0, None, b"%d" % number) for number in range(first, end))


def emitted(key: int, first: int, end: int, topic: str = "out") -> jobs.JobEmitted:
    return jobs.JobEmitted(key, records(first, end, topic))


def written(end: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


class Bench:
    """One worker whose handlers may write to two topics, with children that run."""

    def __init__(self, children: int = 1, outlet: Callable[[Shop], Outlet] | None = None) -> None:
        self.shop, self.pool = Shop(), ToldPool(slots=children)
        self.outlet = self.shop.outlet("out", "sick") if outlet is None else outlet(self.shop)
        self.worker: Worker = self.shop.worker("w", self.pool, outlet=self.outlet)
        self.shop.dispatch(0, children - 1)
        self.turn()

    def hear(self, *news: jobs.News) -> None:
        self.pool.news += news
        self.pool.slots = 0
        self.turn()

    def turn(self, times: int = 20) -> None:
        self.shop.turn(self.worker, times=times)

    def events(self) -> list[str]:
        return [type(event).__name__ for event in self.shop.journal()]


@pytest.mark.parametrize(
    ("news", "count", "events"),
    [
        ([checkpointed(1, 1, covered=2)], 2, ["ChildCheckpointed"]),
        ([completed(1)], 5, ["ChildCompleted"]),
        ([completed(1, "1")], 5, ["ChildCompleted"]),
        ([failed(1)], 0, ["ChildFailed"]),
        ([failed(1, "1", 3)], 3, ["ChildFailed"]),
        ([checkpointed(1, 1, covered=2), failed(1)], 2, ["ChildFailed"]),
        ([checkpointed(1, 1, covered=2), completed(1)], 5, ["ChildCompleted"]),
        ([checkpointed(1, 1, covered=2), failed(1, "2", 4)], 4, ["ChildFailed"]),
        ([checkpointed(1, 1, covered=2), jobs.JobReturned(key=1)], 2, ["ChildCheckpointed"]),
    ],
)
def test_what_is_written_of_a_child_that_has_emitted(news: list[jobs.News], count: int, events: list[str]) -> None:
    bench = Bench()
    bench.hear(emitted(1, 0, 5), *news)
    if not isinstance(news[-1], jobs.JobReturned):
        assert bench.shop.values("out") == written(count)
        assert bench.events() == events


def test_a_drained_child_returns_with_what_its_state_covers() -> None:
    bench = Bench()
    bench.worker.drain()
    bench.hear(emitted(1, 0, 5), stopped(1, "1", 3))
    assert bench.shop.values("out") == written(3)
    assert bench.events() == ["ChildCheckpointed", "ChildReturned"]


def test_a_worker_that_dies_leaves_what_no_state_covers_to_the_next_attempt() -> None:
    bench = Bench()
    bench.hear(emitted(1, 0, 3), checkpointed(1, 1, covered=2), emitted(1, 3, 5))
    assert bench.shop.values("out") == written(2)
    (standing,) = bench.shop.unsettled()
    assert isinstance(standing, e.ChildCheckpointed)
    assert standing.state == "1"
    bench.hear(checkpointed(1, 2, covered=5))
    assert bench.shop.values("out") == written(5)
    assert bench.pool.confirmed == [(1, 1), (1, 2)]


def test_an_attempt_that_starts_again_here_counts_behind_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(Emission, "holds", lambda emission, now: True)
    bench.pool.news += [emitted(1, 0, 3), checkpointed(1, 1, covered=2), jobs.JobReturned(key=1)]
    bench.turn()
    again = bench.pool.begun[1]
    assert again.state == "1"
    monkeypatch.undo()
    bench.hear(emitted(again.key, 2, 4), completed(again.key))
    assert bench.shop.values("out") == written(4)


def test_a_worker_that_is_lost_publishes_nothing_that_was_told() -> None:
    bench = Bench()
    child = bench.worker._children.running[1]
    bench.pool.news += [emitted(1, 0, 3), checkpointed(1, 1, covered=2)]
    bench.worker._children.on_news(emitted(1, 0, 3))
    bench.worker._children._lost(child)
    bench.worker._children.running.clear()
    bench.turn()
    assert bench.shop.values("out") == []


def aborts(monkeypatch: pytest.MonkeyPatch, topic: str, error: Callable[[int], Exception]) -> list[int]:
    """Let each transaction fail that writes to a topic; returns a list with the number of tries."""
    commit, tries = CoreWriter.commit, []

    def guarded(writer: CoreWriter, appends, positions, member):  # type: ignore[no-untyped-def]
        for index, append in enumerate(appends):
            if append.topic == topic:
                tries.append(index)
                raise error(index)
        return commit(writer, appends, positions, member)

    monkeypatch.setattr(CoreWriter, "commit", guarded)
    return tries


def test_a_sick_topic_costs_those_alone_that_emit(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(children=3)
    tries = aborts(monkeypatch, "sick", lambda index: TransactionAborted("few replicas"))
    bench.pool.news += [emitted(1, 0, 2, "sick"), checkpointed(1, 1, wait=True, covered=2), completed(2)]
    bench.turn(times=10)
    assert bench.events() == ["ChildCompleted"]
    assert len(tries) == 1, "the next try comes after a second"
    for _ in range(3):
        bench.turn(60)
    assert 3 <= len(tries) <= 5, "and then later and later"
    bench.hear(completed(3))
    assert bench.events() == ["ChildCompleted"] * 2
    monkeypatch.undo()
    bench.turn(400)
    assert bench.shop.values("sick") == written(2)
    assert bench.pool.confirmed == [(1, 1)]


def test_a_drain_does_not_wait_for_a_sick_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    aborts(monkeypatch, "sick", lambda index: TransactionAborted("few replicas"))
    bench.worker.drain()
    bench.hear(emitted(1, 0, 2, "sick"), completed(1))
    assert bench.worker.stopped
    bench.worker.stop()
    assert bench.shop.released()
    assert len(bench.shop.unsettled()) == 1


def test_a_sick_topic_does_not_hold_back_the_others_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of a child that emits is moved up with its durable state."""
    monkeypatch.setattr("streamsched.worker.settlement.SPREAD", 3)
    bench = Bench(children=8)
    aborts(monkeypatch, "sick", lambda index: TransactionAborted("few replicas"))
    bench.hear(emitted(1, 0, 2, "sick"), checkpointed(1, 1, covered=2), *(completed(key) for key in range(2, 9)))
    bench.turn()
    (standing,) = bench.shop.unsettled()
    assert isinstance(standing, e.ChildCheckpointed)
    assert (standing.sequence, standing.state) == (0, None)


@pytest.mark.parametrize("missing", [True, False])
def test_a_refused_record_fails_its_child_from_the_durable_state(
    monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    bench = Bench(children=2)
    tries = aborts(monkeypatch, "sick", lambda index: AppendRefused("no such topic", index, missing=missing))
    bench.hear(
        emitted(2, 0, 3), emitted(1, 0, 2, "sick"), checkpointed(1, 1, covered=2), checkpointed(2, 1, covered=3),
    )  # fmt: skip
    assert len(tries) == 1
    assert bench.shop.values("out") == written(3), "of another child, in the next transaction"
    (failure,) = [event for event in bench.shop.journal() if isinstance(event, e.ChildFailed)]
    assert (failure.error_type, failure.retryable, failure.sequence, failure.state) == ("EmitRefused", missing, 0, None)
    assert list(bench.pool.held) == [2], "its job was killed"


def test_an_ending_that_cannot_be_written_becomes_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    aborts(monkeypatch, "sick", lambda index: AppendRefused("too large", index))
    bench.hear(emitted(1, 0, 2, "sick"), completed(1))
    (failure,) = bench.shop.journal()
    assert isinstance(failure, e.ChildFailed)
    assert not bench.shop.unsettled()


def test_a_topic_that_was_deleted_fails_the_child_that_writes_to_it() -> None:
    bench = Bench()
    del bench.shop.cluster.partitions_by_place[TopicPartition("sick", 0)]
    bench.hear(emitted(1, 0, 2, "sick"), completed(1))
    (failure,) = bench.shop.journal()
    assert isinstance(failure, e.ChildFailed)
    assert (failure.error_type, failure.retryable) == ("EmitRefused", True)


ROGUE: dict[str, jobs.News] = {
    "our own topic": emitted(1, 0, 1, "streamsched.events"),
    "a topic that is not allowed": emitted(1, 0, 1, "other"),
    "a partition that is not there": jobs.JobEmitted(1, (Emitted("out", 1, None, b""),)),
    "a record that is too large": jobs.JobEmitted(1, (Emitted("out", 0, b"k", bytes(2 * 1024 * 1024)),)),
    "entries of a plan": emitted(1, 0, 1, jobs.PLAN),
    "more than it may": jobs.JobEmitted(1, records(0, 1) * 50_000),
    "more covered than emitted": checkpointed(1, 1, covered=1),
}


@pytest.mark.parametrize("what", ROGUE)
def test_no_frame_of_an_executor_is_believed(what: str) -> None:
    bench = Bench()
    bench.hear(ROGUE[what])
    (failure,) = bench.shop.journal()
    assert isinstance(failure, e.ChildFailed)
    assert (failure.error_type, failure.retryable) == ("ProtocolError", True)
    assert not bench.pool.held
    assert bench.shop.values("out") == []


def test_an_ending_that_covers_too_much_is_not_believed() -> None:
    bench = Bench()
    bench.hear(emitted(1, 0, 2), failed(1, "1", 3))
    (failure,) = bench.shop.journal()
    assert isinstance(failure, e.ChildFailed)
    assert (failure.error_type, failure.state) == ("ProtocolError", None)


def test_a_transaction_takes_so_much_and_one_child_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.worker.emission.RECORDS", 5)
    bench = Bench(children=4)
    bench.hear(*(emitted(key, 0, 4) for key in range(1, 5)), *(completed(key) for key in range(1, 5)))
    assert bench.events() == ["ChildCompleted"] * 4
    assert sorted(bench.shop.values("out"), key=str) == sorted(written(4) * 4, key=str)


def test_headers_are_the_users_and_the_trace() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool, outlet=shop.outlet("out"))
    shop.dispatch(0, 0, traceparent="00-trace")
    shop.turn(worker)
    pool.news += [jobs.JobEmitted(1, (Emitted("out", 0, b"k", None, (("a", b"1"),)),)), completed(1)]
    shop.turn(worker)
    (record,) = shop._read([TopicPartition("out", 0)])
    assert (record.key, record.value, list(record.headers)) == (b"k", None, [("a", b"1"), ("traceparent", b"00-trace")])


def test_a_topic_that_is_gone_is_looked_up_before_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's client does not say that a topic was deleted: it waits for it until the transaction is given up."""
    bench = Bench(children=2)
    tries = aborts(monkeypatch, "sick", lambda index: TransactionAborted("no answer in time"))
    answers: list[Exception | None] = [None, None, TopicMismatch("there is no topic sick")]

    def look(topic: str) -> Callable[[], TopicFacts | None]:
        def get() -> TopicFacts | None:
            answer = answers.pop(0) if topic == "sick" else None
            if answer is not None:
                raise answer
            return TopicFacts(1, 2_000_000) if topic == "out" else None

        return get

    monkeypatch.setattr(bench.outlet, "_look", look)
    bench.hear(emitted(1, 0, 2, "sick"), completed(1), emitted(2, 0, 2), checkpointed(2, 1, covered=2))
    bench.turn(40)
    assert len(tries) == 1
    assert answers == []
    (failure,) = [event for event in bench.shop.journal() if isinstance(event, e.ChildFailed)]
    assert (failure.error_type, failure.retryable) == ("EmitRefused", True)
    assert failure.message == "there is no topic 'sick': streamsched topic create sick"
    assert bench.shop.values("out") == written(2), "what was written beside it, afterwards"


def test_whom_a_refusal_means_that_names_no_record_is_found_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(children=4)
    tries = aborts(monkeypatch, "sick", lambda index: AppendRefused("not authorized", -1, missing=True))
    told = [emitted(key, 0, 2, "sick" if key == 3 else "out") for key in range(1, 5)]
    bench.hear(*told, *(completed(key) for key in range(1, 5)))
    assert sorted(bench.events()) == ["ChildCompleted"] * 3 + ["ChildFailed"]
    assert len(tries) == 2
    (failure,) = [event for event in bench.shop.journal() if isinstance(event, e.ChildFailed)]
    assert failure.child == 2
