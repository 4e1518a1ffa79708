"""How a worker stops children in each mode of a stop marker, and who understands which mode."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.log.codec import UnknownSchema
from streamsched.log.event_reader import EventReader
from streamsched.worker import jobs
from streamsched.worker.intents import MODES
from streamsched.worker.timing import DEFAULT
from tests.support.samples import Sample
from tests.support.worker_case import Shop, ToldPool

BACK = ("return", "yield")
END = ("cancel", "kill")


class PatientPool(ToldPool):
    """Notes what it is asked to stop, and leaves the rest to the test."""

    def __init__(self, slots: int = 2) -> None:
        super().__init__(slots)
        self.graces: list[tuple[int, float]] = []

    def stop(self, key: int, grace: float) -> None:
        self.graces.append((key, grace))


class Case:
    """A worker with one slot, and so many children."""

    def __init__(self, children: int = 1) -> None:
        self.shop, self.pool = Shop(), PatientPool(slots=1)
        self.worker = self.shop.worker("w", self.pool)
        self.shop.dispatch(0, children - 1)
        self.shop.turn(self.worker)
        self.last = children - 1

    def mark(self, mode: str, reason: str = "because") -> None:
        self.shop.write(self.shop.records.work(self.marker(mode, reason), "task", 0))
        self.shop.turn(self.worker)

    def marker(self, mode: str, reason: str = "because") -> e.ChildrenStopping:
        releases = (e.Release(0, self.last, 1, 0),)
        return self.shop.me.sign(
            e.ChildrenStopping, task_id="task", releases=releases, reason=reason, basis=0, mode=mode
        )

    def tell(self, news: type[Any], **more: Any) -> None:
        (key,) = self.pool.held
        times = {} if news is jobs.JobReturned else {"started_at": 1, "finished_at": 2, "state": None}
        self.pool.news.append(news(key=key, **times | more))
        self.shop.turn(self.worker)

    def fail(self, **more: Any) -> None:
        self.tell(
            jobs.JobFailed, reason="error", error_type="E", message="m", traceback="", retryable=True, delay_ms=None,
            **more,
        )  # fmt: skip

    def outcomes(self) -> list[tuple[str, int]]:
        return [(type(event).__name__, event.child) for event in self.shop.journal()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mode", "event"), [("return", "Returned"), ("yield", "Returned"), *((m, "Cancelled") for m in END)]
)
def test_what_has_not_begun_comes_back_or_ends_at_once(mode: str, event: str) -> None:
    case = Case(children=3)
    case.mark(mode)
    assert case.outcomes() == [(f"Child{event}", 1), (f"Child{event}", 2)]
    assert {outcome.reason for outcome in case.shop.journal()} == {"because"}  # type: ignore[attr-defined]
    assert len(case.pool.held) == 1
    names = [type(record) for record in case.shop.unsettled()]
    assert names == [e.ChildCreated, e.ChildrenStopping], "the marker is settled with the last record that it names"


@pytest.mark.parametrize(
    ("mode", "grace"), [("return", None), ("yield", 0.9 * DEFAULT.drain), ("cancel", DEFAULT.cancel), ("kill", 0.0)]
)
def test_what_runs_has_the_time_of_its_mode(mode: str, grace: float | None) -> None:
    case = Case()
    (key,) = case.pool.held
    case.mark(mode)
    assert case.pool.graces == ([] if grace is None else [(key, grace)])
    assert case.outcomes() == []


@pytest.mark.parametrize(
    ("mode", "stopped", "failed"),
    [("return", "Returned", "Failed"), ("yield", "Returned", "Failed"), *((m, "Cancelled", "Cancelled") for m in END)],
)
def test_what_ran_ends_as_its_mode_says(mode: str, stopped: str, failed: str) -> None:
    for news, event in (("stopped", stopped), ("returned", stopped), ("failed", failed), ("completed", "Completed")):
        case = Case()
        case.mark(mode)
        if news == "failed":
            case.fail()
        elif news == "completed":
            case.tell(jobs.JobCompleted, result="1")
        else:
            case.tell(jobs.JobStopped if news == "stopped" else jobs.JobReturned)
        assert case.outcomes() == [(f"Child{event}", 0)], news
        assert not case.shop.unsettled()


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_begin_here_is_given_back_with_its_reason_unless_it_is_to_end(mode: str) -> None:
    case = Case()
    case.mark(mode)
    case.fail(lack="import")
    (event,) = case.shop.journal()
    if mode in BACK:
        assert isinstance(event, e.ChildReturned)
        assert event.why is not None
        assert event.why.code == "import"
    else:
        assert isinstance(event, e.ChildCancelled)


def test_a_child_keeps_the_highest_mode_that_it_was_told() -> None:
    case = Case()
    (key,) = case.pool.held
    for mode in ("return", "cancel", "yield", "kill", "return"):
        case.mark(mode, mode)
    assert [grace for _, grace in case.pool.graces] == [DEFAULT.cancel, 0.9 * DEFAULT.drain, 0.0]
    case.tell(jobs.JobStopped)
    (event,) = case.shop.journal()
    assert isinstance(event, e.ChildCancelled)
    assert event.reason == "kill"
    assert not case.shop.unsettled(), "all the markers go with it"
    assert key not in case.pool.held


def test_a_child_that_yields_comes_back_with_its_last_state() -> None:
    case = Case()
    case.mark("yield")
    case.tell(jobs.JobStopped, state='"half"')
    checkpointed, returned = case.shop.journal()
    assert isinstance(checkpointed, e.ChildCheckpointed)
    assert isinstance(returned, e.ChildReturned)
    assert (returned.sequence, returned.state, returned.attempt) == (1, '"half"', 1)


@pytest.mark.parametrize("news", [jobs.JobReturned, jobs.JobStopped])
def test_what_a_later_dispatch_has_replaced_is_settled_when_it_comes_back(news: type[Any]) -> None:
    case = Case()
    case.shop.dispatch(0, 0, ordinal=2)
    case.shop.turn(case.worker)
    case.tell(news)
    assert case.outcomes() == []
    assert [record.ordinal for record in case.shop.unsettled()] == [2]  # type: ignore[attr-defined]
    assert len(case.pool.begun) == 2


@pytest.mark.parametrize("mode", BACK)
def test_the_next_owner_of_a_partition_obeys_the_marker_before_it_starts_anything(mode: str) -> None:
    case = Case()
    case.mark(mode)
    assert len(case.shop.unsettled()) == 2
    case.shop.clock.advance(11)  # its worker has died
    pool = PatientPool()
    case.shop.turn(case.shop.worker("next", pool))
    assert case.outcomes() == [("ChildReturned", 0)]
    assert not case.shop.unsettled()
    assert not pool.begun


def test_a_mode_is_written_only_where_it_says_more_than_a_cancel() -> None:
    case = Case()
    marks = {mode: case.shop.codec.encode(case.marker(mode))[2:10].hex() for mode in MODES}
    assert marks.pop("cancel") == "4594fb755acbd811"
    assert set(marks.values()) == {"ab35d0a862e561f9"}


def test_who_cannot_tell_the_modes_apart_stops_at_one() -> None:
    case = Case()
    event_reader = EventReader(case.shop.codec, case.shop.topics)

    def record(mode: str) -> Sample:
        return Sample(case.shop.codec.encode(case.marker(mode)), partition=0, key=b"task")

    for mode in MODES:
        marker = record(mode)
        assert event_reader.work(marker) == event_reader.journal(marker)
    for read in (event_reader.work, event_reader.journal):
        with pytest.raises(UnknownSchema, match=r"in the mode 'freeze'.*upgrade"):
            read(record("freeze"))
