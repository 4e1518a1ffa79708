"""What an executor reported and the log does not hold: reports are merged, and one function writes them."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.options import Options
from streamsched.worker import jobs
from streamsched.worker.jobs import PLAN, Emitted
from streamsched.worker.progress import NOTHING, Unsaved, merged
from tests.support.worker_case import Shop, ToldPool


def checkpointed(key: int, number: int, *, wait: bool = False, covered: int = 0) -> jobs.JobCheckpointed:
    return jobs.JobCheckpointed(key=key, state=str(number), number=number, wait=wait, covered=covered)


def failed(key: int, state: str | None = None, covered: int = 0) -> jobs.JobFailed:
    return jobs.JobFailed(
        key=key, started_at=1, finished_at=1, reason="error", error_type="E", message="", traceback="", retryable=True,
        delay_ms=0, state=state, covered=covered,
    )  # fmt: skip


def stopped(key: int, state: str | None = None, covered: int = 0) -> jobs.JobStopped:
    return jobs.JobStopped(key=key, started_at=1, finished_at=1, state=state, covered=covered)


def completed(key: int, state: str | None = None) -> jobs.JobCompleted:
    return jobs.JobCompleted(key=key, started_at=1, finished_at=1, result="1", state=state)


def entries(first: int, end: int) -> tuple[Emitted, ...]:
    return tuple(Emitted(PLAN, number, None, b"%d" % number) for number in range(first, end))


FIVE = entries(0, 5)
EACH = FIVE[0].size


def test_a_later_state_stands_for_all_before_it() -> None:
    first = NOTHING.told("1", 1, waits=True, covered=0)
    assert first == Unsaved("1", 1, True)
    assert first.told("2", 2, waits=False, covered=0) == Unsaved("2", 2)


def test_a_state_covers_so_many_of_the_records_before_it() -> None:
    told = NOTHING.emitted(FIVE).told("1", 1, waits=False, covered=2)
    assert told == Unsaved("1", 1, False, FIVE, 0, 2, 5 * EACH)
    assert told.saved() == Unsaved(records=FIVE[2:], base=-2, size=3 * EACH)
    later = told.saved().emitted(entries(5, 6)).told("2", 2, waits=False, covered=6)
    assert (later.records, later.covered) == (entries(2, 6), 4)
    assert later.saved() == Unsaved(base=-6), "what the attempt counts from is kept"


@pytest.mark.parametrize(
    ("ending", "state", "covered"),
    [
        (completed(1), "1", 5),
        (completed(1, "2"), "2", 5),
        (failed(1), "1", 2),
        (failed(1, "2", 3), "2", 3),
        (stopped(1), "1", 2),
        (stopped(1, "2", 4), "2", 4),
        (jobs.JobReturned(key=1), "1", 2),
    ],
)
def test_what_an_ending_covers(ending: jobs.Ending, state: str, covered: int) -> None:
    told = NOTHING.emitted(FIVE).told("1", 1, waits=True, covered=2)
    ended = told.ended(ending)
    assert (ended.state, ended.covered, ended.records) == (state, covered, FIVE)


def test_another_attempt_here_keeps_what_was_covered_and_counts_from_there() -> None:
    told = NOTHING.emitted(FIVE).told("1", 1, waits=True, covered=2)
    again = told.again()
    assert again == Unsaved("1", 0, False, FIVE[:2], 2, 2, 2 * EACH)
    more = again.emitted(entries(2, 4)).told("2", 1, waits=False, covered=1)
    assert (more.records, more.covered) == (entries(0, 4), 3)
    assert NOTHING.emitted(FIVE).again() == NOTHING, "without a state all is emitted again"
    assert again.saved().emitted(entries(2, 4)).told("2", 1, waits=False, covered=1).covered == 1


def test_the_checkpoints_of_each_job_become_its_last_one_and_endings_stay_in_order() -> None:
    ended = completed(1)
    back = jobs.JobReturned(key=3)
    news: list[jobs.News] = [
        checkpointed(1, 1), checkpointed(2, 1, wait=True), back, checkpointed(1, 2), ended, checkpointed(2, 2),
    ]  # fmt: skip
    assert merged(news) == [back, checkpointed(1, 2), ended, checkpointed(2, 2)]
    assert merged(news[2:3]) == [back]


def test_what_is_reported_while_the_log_is_away_is_merged_too() -> None:
    """Twenty states a second of each child, 256 KiB each, would fill the memory within an outage."""
    shop, pool = Shop(), ToldPool(slots=2)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 1)
    shop.turn(worker)
    first, second = pool.held
    for number in range(1, 500):
        pool.news += [checkpointed(first, number), checkpointed(second, number, wait=True)]
        worker.waiting()
    assert len(worker._late) == 2
    shop.turn(worker)
    states = [event.state for event in shop.journal() if isinstance(event, e.ChildCheckpointed)]
    assert set(states) == {"499"}
    assert pool.confirmed == [(second, 499)]


@pytest.mark.parametrize("reported", [True, False])
def test_a_returned_child_has_its_checkpoint_written_first_where_it_reported_one(reported: bool) -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0)
    shop.turn(worker)
    (key,) = pool.held
    worker.drain()
    pool.news += [checkpointed(key, 7)] if reported else []
    shop.turn(worker)
    *before, returned = shop.journal()
    assert isinstance(returned, e.ChildReturned)
    assert [type(event) for event in before] == [e.ChildCheckpointed] * reported
    assert (returned.sequence, returned.state) == ((1, "7") if reported else (0, None))
    assert not shop.unsettled()


def test_what_is_emitted_is_never_merged() -> None:
    news: list[jobs.News] = [
        jobs.JobEmitted(1, FIVE[:2]), checkpointed(1, 1, covered=2), jobs.JobEmitted(1, FIVE[2:]),
        checkpointed(1, 2, covered=4),
    ]  # fmt: skip
    assert merged(news) == [news[0], news[2], news[3]]


SPLIT = '{"stage":"split"}'


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker run split children with any options."""
    for module in ("fitness", "pending"):
        monkeypatch.setattr(f"streamsched.worker.{module}.read_options", lambda text: Options(stage="split"))


def split_child(*told: jobs.News) -> tuple[Shop, ToldPool, list[e.Event]]:
    """Run a split child that has found five entries, and covered three of them; return what the journal has."""
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0, options=SPLIT)
    shop.turn(worker)
    (key,) = pool.held
    assert key == 1
    pool.news += [jobs.JobEmitted(1, FIVE), checkpointed(1, 7, covered=3), *told]
    shop.turn(worker)
    return shop, pool, shop.journal()


@pytest.mark.usefixtures("splits")
def test_a_page_takes_the_place_of_the_checkpoint() -> None:
    shop, pool, journal = split_child()
    (page,) = journal
    assert isinstance(page, e.TaskPlanProgressed)
    assert (page.child, page.ordinal, page.sequence, page.cursor) == (0, 1, 1, "7")
    assert (page.first, page.count, page.entries) == (1, 3, "0\n1\n2")
    (standing,) = shop.unsettled()
    assert isinstance(standing, e.ChildCheckpointed)
    assert (standing.sequence, standing.state) == (1, "7")
    assert pool.confirmed == [(1, 7)], "there is room for more"


@pytest.mark.usefixtures("splits")
@pytest.mark.parametrize(
    ("ending", "count", "outcome"),
    [
        (completed(1), 5, e.ChildCompleted),
        (failed(1), 3, e.ChildFailed),
        (failed(1, "8", 4), 4, e.ChildFailed),
    ],
)
def test_a_page_stands_before_the_outcome_which_carries_its_sequence(
    ending: jobs.Ending, count: int, outcome: type[e.Event]
) -> None:
    _, _, journal = split_child(ending)
    page, ended = journal
    assert isinstance(page, e.TaskPlanProgressed)
    assert isinstance(ended, e.ChildCompleted | e.ChildFailed)
    assert type(ended) is outcome
    assert (page.count, page.sequence, ended.sequence) == (count, 1, 1)


@pytest.mark.usefixtures("splits")
def test_a_split_child_that_fails_tells_its_state_before_it() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0, options=SPLIT)
    shop.turn(worker)
    pool.news += [failed(1, "7")]
    pool.slots = 0
    shop.turn(worker)
    before, ended = shop.journal()
    assert isinstance(before, e.ChildCheckpointed)
    assert isinstance(ended, e.ChildFailed)
    assert (before.sequence, before.state, ended.sequence) == (1, "7", 1)


@pytest.mark.usefixtures("splits")
def test_a_split_child_that_starts_again_here_goes_on_behind_what_it_covered() -> None:
    shop, pool, _ = split_child(jobs.JobReturned(key=1))
    again = pool.begun[1]
    assert again.state == "7"
    pages = [event for event in shop.journal() if isinstance(event, e.TaskPlanProgressed)]
    assert [page.count for page in pages] == [3]
