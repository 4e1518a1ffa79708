"""What people are told of a task that runs: which children run and which wait at a worker, and when it will end."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.task import MARK_MS, Task
from streamsched.domain.template import Template
from streamsched.log.codec import Codec
from streamsched.queries.eta import WEIGH_EVERY_MS, Eta, FollowedEta, eta_by_weight
from streamsched.queries.presence import named_children
from streamsched.queries.status import ChildCounts, children_of, status_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template
from tests.unit.domain.test_evolve import ONCE

WHO = (bytes(16), 1_000, "w", "task")


class Case:
    """A task of so many children, half of them dispatched to each of two partitions."""

    def __init__(self, children: int = 4, *, reduce: bool = False) -> None:
        self.store = MemoryStore()
        self.view = View(self.store, Codec())
        self.tell(request(template(reduce=ONCE if reduce else None)))
        self.tell(e.TaskPlanned(*WHO, 0, children, "{}", "", 0, int(reduce)))
        half = children // 2
        self.tell(e.ChildrenDispatched(*WHO, (e.Release(0, half - 1, 1, 0), e.Release(half, children - 1, 1, 1)), 0))

    def tell(self, event: e.Event) -> None:
        self.view.apply(event, 0)

    @property
    def task(self) -> Task:
        task = self.view.task("task")
        assert task is not None
        return task

    def started(self, child: int, ordinal: int = 1, attempt: int = 1) -> None:
        self.tell(e.ChildStarted(*WHO, child, ordinal, attempt, 1))

    def returned(self, child: int) -> None:
        self.tell(e.ChildReturned(*WHO, child, 1, 1, 1, 0, None, 0, "drain"))

    def failed(self, child: int) -> None:
        self.tell(e.ChildFailed(*WHO, child, 1, 1, 1, 900, 0, None, "error", "E", "", "", True, 0))

    def again(self, child: int, ordinal: int = 2) -> None:
        self.tell(e.ChildrenDispatched(*WHO, (e.Release(child, child, ordinal, 0),), 0))

    def completed(self, children: range, at: int) -> None:
        for child in children:
            self.tell(e.ChildCompleted(bytes(16), at, "w", "task", child, 1, 1, 1, at - 10, 0, None))

    def counts(self, *beats: e.NodeBeat) -> tuple[int, int, int]:
        counts = status_of(self.task, None, named_children(self.task, beats)).children
        return counts.waiting, counts.queued, counts.running


def beat(*running: tuple[str, int, int], partitions: tuple[int, ...] = (0, 1)) -> e.NodeBeat:
    told = tuple(e.RunningChild(task_id, child, attempt, 900, 0.0, 0.0) for task_id, child, attempt in running)
    node = ("w", "w", "worker", "1", "running", "m", "t", 4, 2, 1)
    return e.NodeBeat(bytes(16), 1_000, "w", *node, partitions, told, 0)


def test_running_are_those_whose_worker_said_so_and_queued_the_other_live_ones() -> None:
    case = Case()
    assert case.counts() == (0, 4, 0)
    case.started(1)
    assert case.counts() == (0, 3, 1)
    assert [child.state for child in children_of(case.view, case.task)] == ["queued", "running", "queued", "queued"]
    assert [child.child for child in children_of(case.view, case.task, "queued")] == [0, 2, 3]
    case.completed(range(1, 2), 2_000)
    assert case.counts() == (0, 3, 0)


def test_a_start_counts_for_its_own_dispatch_alone() -> None:
    case = Case()
    for child in (0, 1):
        case.started(child)
    case.returned(0)
    case.failed(1)
    assert case.counts() == (2, 2, 0)
    for child in (0, 1):
        case.again(child)
    assert case.counts() == (0, 4, 0)
    case.started(0, 2)
    case.started(1, 2, 2)
    assert case.counts() == (0, 2, 2)


def test_a_lost_partition_has_nothing_that_runs() -> None:
    case = Case()
    case.started(0)
    case.tell(e.PartitionReset(bytes(16), 2_000, "admin", 0))
    case.again(0)
    assert case.counts() == (1, 3, 0)


def test_a_view_that_was_stored_knows_who_runs() -> None:
    case = Case()
    case.started(1)
    case.view.flush()
    again = View(case.store, Codec()).active["task"]
    assert (again.has_begun(0), again.has_begun(1), again.marks) == (False, True, [[1_000, 0]])
    assert status_of(again).children == status_of(case.task).children


def test_a_beat_names_what_the_journal_does_not_know_yet() -> None:
    case = Case()
    case.started(1)
    assert case.counts(beat(("task", 0, 1), ("task", 1, 1), ("other", 2, 1))) == (0, 2, 2)


@pytest.mark.parametrize(
    "stale",
    [beat(("task", 0, 2)), beat(("task", 0, 1), partitions=(1,)), beat(("task", 9, 1)), beat(("other", 0, 1))],
)
def test_a_beat_of_another_dispatch_names_nothing(stale: e.NodeBeat) -> None:
    assert named_children(Case().task, [stale]) == set()


def test_for_each_that_has_ended_since_the_next_one_at_its_worker_runs() -> None:
    case = Case(children=8)
    case.completed(range(2), 2_000)
    told = beat(("task", 0, 1), ("task", 1, 1), partitions=(0,))
    assert named_children(case.task, [told]) == {2, 3}
    assert named_children(case.task, [beat(("task", 0, 1), ("task", 2, 1), partitions=(0,))]) == {2, 3}
    assert named_children(case.task, [beat(("task", 0, 1), partitions=(1,))]) == {4}
    case.completed(range(2, 4), 2_000)
    assert named_children(case.task, [told]) == set(), "no other one waits there"
    case.tell(e.TaskPaused(*WHO, 0, True, False, "held"))
    assert named_children(case.task, [beat(("task", 0, 1), partitions=(1,))]) == set(), "what waits comes back"


def splitting() -> View:
    """Make a view with a task whose split child is live and has found three children."""
    view = View(MemoryStore(), Codec())
    for event in (
        request(template()),
        e.TaskPlanned(*WHO, 0, 0, '{"by":{}}', "", 0, 0, True),
        e.ChildrenDispatched(*WHO, (e.Release(0, 0, 1, 0),), 0),
        e.TaskPlanProgressed(*WHO, 0, "{}", 0, 0, 1, 1, 1, 1, 1, 3, "1\n2\n3"),
    ):
        view.apply(event, 0)
    return view


def test_a_beat_that_may_mean_either_stage_names_neither() -> None:
    view = splitting()
    task = view.active["task"]
    assert named_children(task, [beat(("task", 0, 1))]) == {0}
    view.apply(e.ChildrenDispatched(*WHO, (e.Release(1, 2, 1, 0),), 0), 0)
    assert named_children(task, [beat(("task", 0, 1), ("task", 1, 1))]) == {2}


def test_the_counts_add_up_and_tell_of_work_children_alone() -> None:
    case = Case(reduce=True)
    case.completed(range(4), 2_000)
    case.tell(e.ChildrenDispatched(*WHO, (e.Release(4, 4, 1, 0),), 0))
    status = status_of(case.task)
    assert status.children == ChildCounts(4, 0, 0, 0, 4, 0, 0)
    assert status.reduce == "queued"


def eta(case: Case, now: int) -> Eta:
    found = status_of(case.task, now).eta
    assert found is not None
    return found


def test_the_rate_is_that_of_the_last_ten_minutes() -> None:
    case = Case(3_000)
    for minute in range(20):  # 10 a minute, then 100 a minute
        first, count = (10 * minute, 10) if minute < 10 else (100 + 100 * (minute - 10), 100)
        case.completed(range(first, first + count), 1_000 + MARK_MS * (minute + 1))
    now = 1_000 + MARK_MS * 20
    assert case.task.ended == 1_100
    assert len(case.task.marks) <= 11
    found = eta(case, now)
    assert found.by == "count"
    assert 60 * 1_900 / 110 <= found.seconds <= 60 * 1_900 / 90
    assert found.earliest < found.at < found.latest
    (earliest, latest) = ((each.timestamp() * 1000 - now) / 1000 for each in (found.earliest, found.latest))
    assert earliest > found.seconds / 3  # children end in bursts here
    assert latest < found.seconds * 2


def test_few_ends_make_a_wide_range_and_a_change_of_pace_too() -> None:
    few, many = Case(10_000), Case(10_000)
    few.completed(range(4), 30_000)
    many.completed(range(4_000), 30_000)
    narrow, wide = (
        (found.latest - found.earliest) / (found.at - found.earliest) for found in (eta(many, 31_000), eta(few, 31_000))
    )
    assert narrow < wide
    slower = Case(10_000)
    for minute in range(1, 10):
        count = 600 if minute < 8 else 60
        slower.completed(range(600 * minute, 600 * minute + count), 1_000 + MARK_MS * minute)
    found = eta(slower, 1_000 + MARK_MS * 9)
    assert (found.latest - found.at).total_seconds() > found.seconds


@pytest.fixture
def planned() -> Case:
    case = Case()
    case.completed(range(2), 2_000)
    return case


def test_there_is_no_eta_before_anything_has_ended_or_when_nothing_does() -> None:
    case = Case()
    assert status_of(case.task, 60_000).eta is None
    case.completed(range(1), 2_000)
    assert status_of(case.task, 60_000).eta is not None
    assert status_of(case.task, 2_000 + 660_000).eta is None
    assert status_of(case.task).eta is None


def test_there_is_no_eta_while_a_task_closes_or_has_ended_or_splits(planned: Case) -> None:
    assert status_of(planned.task, 9_000).eta is not None
    planned.tell(e.TaskCancelRequested(*WHO, 0, "enough"))
    assert status_of(planned.task, 9_000).eta is None


def test_a_redrive_is_measured_from_its_beginning(planned: Case) -> None:
    planned.tell(e.TaskCancelRequested(*WHO, 0, "enough"))
    for child in (2, 3):
        planned.tell(e.ChildCancelled(*WHO, child, 1, 1, 1, 900, 0, None, ""))
    planned.tell(e.TaskCancelled(*WHO, 0, "", 0))
    planned.tell(e.TaskRedriven(bytes(16), 500_000, "me", "task", 1, "failed", False, "", ""))
    assert planned.task.marks == [[500_000, 2]]
    assert status_of(planned.task, 510_000).eta is None


def weighed(*weights: int) -> Case:
    """A task of files whose split child found children of these weights."""
    files = SPLITTERS["files"](glob=["*"], bytes="1MB")  # type: ignore[call-arg]
    made = Template(name="f", split=files, child=template().child)
    case = Case.__new__(Case)
    case.store = MemoryStore()
    case.view = View(case.store, Codec())
    case.tell(e.TaskRequested(bytes(16), 1_000, "me", "task", "f", "1", made.to_json(), "{}", 0, "", None))
    case.tell(e.TaskPlanned(*WHO, 0, 0, '{"files":{}}', "", 0, 0, True))
    case.tell(e.ChildrenDispatched(*WHO, (e.Release(0, 0, 1, 0),), 0))
    entries = "\n".join(f'{{"inputs":[],"weight":{weight}}}' for weight in weights)
    case.tell(e.TaskPlanProgressed(*WHO, 0, "{}", 0, 0, 1, 1, 1, 1, 1, len(weights), entries))
    case.tell(e.ChildCompleted(*WHO, 0, 1, 1, 1, 900, 1, None))
    case.tell(e.ChildrenDispatched(*WHO, (e.Release(1, len(weights), 1, 0),), 0))
    return case


def test_parts_of_unequal_weight_are_weighed() -> None:
    case = weighed(900, 50, 50, 1_000)
    case.completed(range(1, 2), 11_000)
    found = eta_by_weight(case.view, case.task, 11_000)
    assert found is not None
    assert found.by == "weight"
    assert found.seconds == pytest.approx(10 * 1_100 / 900, abs=0.1)
    assert eta(case, 11_000).by == "count"


def test_parts_without_a_weight_are_counted() -> None:
    assert eta_by_weight(Case().view, Case().task, 9_000) is None
    rubbish = weighed(1, 2)
    rubbish.task.new_pages[1] = '{"inputs":[]}\n{"inputs":[]}'
    rubbish.completed(range(1, 2), 9_000)
    assert eta_by_weight(rubbish.view, rubbish.task, 10_000) is None


def test_a_task_that_is_followed_is_weighed_now_and_then() -> None:
    case, followed = weighed(900, 50, 50, 1_000), FollowedEta()
    case.completed(range(1, 2), 11_000)

    def look(now: int) -> Eta | None:
        return followed(case.view, case.task, status_of(case.task, now).eta, now)

    first = look(11_000)
    assert first == eta_by_weight(case.view, case.task, 11_000)
    case.completed(range(2, 3), 12_000)
    assert look(12_000) == first
    assert look(11_000 + WEIGH_EVERY_MS) == eta_by_weight(case.view, case.task, 11_000 + WEIGH_EVERY_MS) != first
    case.tell(e.TaskCancelRequested(*WHO, 0, "enough"))
    assert look(11_001 + WEIGH_EVERY_MS) is None
