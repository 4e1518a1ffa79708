"""Backfills and redrives as users have them: asked for by a client, worked off by a scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsched.commands.backfills import WantedBackfill
from streamsched.commands.redrive import NotRedrivable
from streamsched.commands.schedules import ScheduleConflict
from streamsched.domain import events as e
from streamsched.domain.backfill import latest
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.errors import InputError
from streamsched.domain.schedule import evolve_schedule
from tests.unit.commands.schedule_case import ScheduleCase

EMPTY = "interval: 10s\noverlap: allow_all\ntemplate: job.yaml\nparams: {n: 0}\n"
"""Its tasks have no children: they succeed at once."""
ENDLESS = "interval: 10s\noverlap: allow_all\ntemplate: job.yaml\n"
"""Its tasks never end, for there is no worker."""


@pytest.fixture
def mini(tmp_path: Path) -> ScheduleCase:
    return ScheduleCase(tmp_path)


def past(mini: ScheduleCase, seconds: int, until: int = 0, **how: object) -> WantedBackfill:
    """Want a backfill of a stretch before now."""
    now = mini.clock.now()
    return WantedBackfill(start=now - seconds * 1_000, end=now - until * 1_000, **how)  # type: ignore[arg-type]


def test_a_backfill_makes_the_tasks_of_times_before_the_schedule_was_made(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(EMPTY))
    mini.run(scheduler, 1)
    client.backfill("nightly", past(mini, 100, note="the first days"))
    mini.run(scheduler, 5)
    found = client.schedule("nightly").backfill
    assert found is not None
    assert (found.number, found.state, found.note) == (1, "done", "the first days")
    assert found.counts == {"fired": 10, "succeeded": 10}
    told = [tick for tick in client.ticks("nightly") if tick.kind == "backfill"]
    assert len(told) == 10
    assert {(tick.outcome, tick.reason, tick.task_outcome) for tick in told} == {
        ("fired", "asked for by backfill 1", "succeeded")
    }
    statuses = {status.task_id: status for status in client.tasks()}
    assert {statuses[tick.task_id or ""].origin for tick in told} == {"schedule nightly, backfill 1"}


def test_it_leaves_what_has_a_task_and_never_runs_more_than_it_may(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS))
    mini.run(scheduler, 30)
    there = set(client.schedule("nightly").running)
    assert len(there) == 3
    client.backfill("nightly", past(mini, 60, max_active=2))
    mini.run(scheduler, 2)
    found = client.schedule("nightly")
    assert found.backfill is not None
    assert len(found.backfill.running) == 2
    assert not there & set(found.backfill.running)
    assert set(found.running) == there, "its tasks do not count for the overlap"
    for task_id in found.backfill.running:
        client.cancel(task_id)
    mini.run(scheduler, 2)
    found = client.schedule("nightly")
    assert found.backfill is not None
    assert found.backfill.counts["cancelled"] == 2
    assert len(found.backfill.running) == 2
    for task_id in found.backfill.running:
        client.cancel(task_id)
    mini.run(scheduler, 2)
    found = client.schedule("nightly")
    assert found.backfill is not None
    assert found.backfill.state == "done"
    assert found.backfill.counts == {"cancelled": 4, "fired": 4, "left": 2}


def test_it_redrives_what_did_not_succeed_and_all_of_it_where_that_is_asked(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS))
    mini.run(scheduler, 20)
    cancelled = list(client.schedule("nightly").running)
    for task_id in cancelled:
        client.cancel(task_id)
    client.update_schedule(mini.want(EMPTY))
    mini.run(scheduler, 20)
    actions = [found.action for found in client.preview_backfill("nightly", past(mini, 50, reprocess="failed"))]
    assert actions == ["fire", "fire", "redrive", "redrive", "leave"]
    client.backfill("nightly", past(mini, 50, reprocess="failed", max_active=5))
    mini.run(scheduler, 2)
    assert [client.status(task_id).redrive for task_id in cancelled] == [1, 1]
    assert [client.status(task_id).state for task_id in cancelled] == ["running", "running"]
    for task_id in client.schedule("nightly").backfill.running:  # type: ignore[union-attr]
        client.cancel(task_id)
    mini.run(scheduler, 2)
    client.backfill("nightly", past(mini, 50, until=5, reprocess="all", max_active=5))
    mini.run(scheduler, 2)
    found = client.schedule("nightly").backfill
    assert found is not None
    assert found.number == 2
    assert {client.status(task_id).redrive for task_id in cancelled} == {2}
    assert found.counts == {"redriven": 4, "succeeded": 1}, "one had nothing to do, and succeeded again at once"


def test_it_goes_by_what_held_then_or_by_what_holds_now(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(EMPTY))
    mini.run(scheduler, 20)
    client.update_schedule(mini.want("interval: 5s\noverlap: allow_all\ntemplate: job.yaml\nparams: {n: 0, day: x}\n"))
    mini.run(scheduler, 20)
    then = list(client.preview_backfill("nightly", past(mini, 40)))
    now = list(client.preview_backfill("nightly", past(mini, 40, as_of_now=True, newest_first=True)))
    assert len(then) == 6
    assert len(now) == 8
    assert [found.nominal for found in now] == sorted((found.nominal for found in now), reverse=True)
    client.backfill("nightly", past(mini, 40, as_of_now=True, newest_first=True))
    mini.run(scheduler, 2)
    made = [tick.task_id or "" for tick in client.ticks("nightly") if tick.kind == "backfill"]
    assert len(made) == 3
    assert {client.status(task_id).params["day"] for task_id in made} == {"x"}


def test_what_was_changed_in_the_same_moment_held_for_no_time(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS))
    client.update_schedule(mini.want("interval: 5s\noverlap: allow_all\ntemplate: job.yaml\nparams: {n: 0}\n"))
    client.update_schedule(mini.want(EMPTY))
    mini.run(scheduler, 20)
    client.backfill("nightly", past(mini, 60, max_active=9))
    mini.run(scheduler, 2)
    found = client.schedule("nightly").backfill
    assert found is not None
    assert (found.state, found.counts) == ("active", {"fired": 5, "left": 1}), "before it was made, as it was at first"


def test_what_a_backfill_fired_never_becomes_a_time_of_the_schedule(mini: ScheduleCase) -> None:
    """Whoever asks for the backfill has a clock that is ahead of the one of who changes the schedule."""
    slow, fast = mini.want(EMPTY).body(), mini.want(EMPTY.replace("10s", "5s")).body()
    part = e.BackfillPart(
        1_005_000, 1_005_000, fast["spec"], "job", "1", fast["template"], fast["params"], fast["priority"]
    )
    fired = e.Refill(1_005_000, 1_005_000, 1, "fired", 0)
    schedule = None
    for event in (
        e.ScheduleSet(b"1", 1_000_000, "me", "nightly", 0, **slow),
        e.BackfillRequested(b"2", 1_006_000, "me", "nightly", 1, "missing", 1, False, (part,), ""),
        e.BackfillDecided(b"3", 1_001_000, "s", "nightly", 1, 1_005_000, (fired,), 2),
        e.ScheduleSet(b"4", 1_002_000, "me", "nightly", 1, **fast),
    ):
        schedule = evolve_schedule(schedule, event)
    assert schedule is not None
    found = schedule.next_time()
    assert found is not None
    assert found[0] == 1_010_000


def test_one_goes_on_at_a_time_and_can_be_ended(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS))
    assert not client.cancel_backfill("nightly").changed
    client.backfill("nightly", past(mini, 100))
    mini.run(scheduler, 1)
    with pytest.raises(ScheduleConflict, match=r"backfill 1 .* is active; .*--cancel"):
        client.backfill("nightly", past(mini, 100))
    assert client.cancel_backfill("nightly", "wrong days").changed
    found = client.schedule("nightly").backfill
    assert found is not None
    assert (found.state, found.note, len(found.running)) == ("cancelling", "wrong days", 1)
    client.cancel(found.running[0])
    mini.run(scheduler, 1)
    found = client.schedule("nightly").backfill
    assert found is not None
    assert (found.state, found.counts) == ("cancelled", {"fired": 1, "cancelled": 1})
    assert client.backfill("nightly", past(mini, 100)).changed


def test_a_deleted_schedule_ends_its_backfill(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS))
    client.backfill("nightly", past(mini, 100))
    mini.run(scheduler, 1)
    client.delete_schedule("nightly")
    mini.run(scheduler, 1)
    found = client.schedule("nightly").backfill
    assert found is not None
    assert found.state == "cancelling"
    assert found.counts == {"fired": 1}


@pytest.mark.parametrize(
    ("start", "until", "how", "message"),
    [
        (10, 20, {}, "--end: .* is not after the start"),
        (10, 0, {"reprocess": "som"}, "--reprocess: unknown kind 'som'; choose one of missing, failed, all"),
        (10, 0, {"max_active": 0}, "--max-active: invalid number 0; give 1 to 1,000"),
        (10, -60, {}, "--end: .* is in the future"),
        (4, 3, {}, "has no time from .* to "),
    ],
)
def test_what_cannot_be_is_refused(
    mini: ScheduleCase, start: int, until: int, how: dict[str, object], message: str
) -> None:
    client = mini.client()
    client.create_schedule(mini.want(EMPTY))
    with pytest.raises(InputError, match=message):
        client.backfill("nightly", past(mini, start, until, **how))


def test_a_redrive_is_told_to_the_schedule_which_has_a_running_task_again(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want(ENDLESS.replace("allow_all", "skip")))
    mini.run(scheduler, 11)
    (task_id,) = client.schedule("nightly").running
    with pytest.raises(NotRedrivable, match="is running: only a task that has ended"):
        client.redrive(task_id)
    client.cancel(task_id)
    mini.run(scheduler, 1)
    assert client.schedule("nightly").running == ()
    assert client.redrive(task_id).status.redrive == 1
    mini.run(scheduler, 1)
    assert client.status(task_id).state == "running"
    client.cancel(task_id)
    mini.run(scheduler, 1)
    assert client.status(task_id).state == "cancelled"
    assert [tick.task_outcome for tick in client.ticks("nightly") if tick.task_id == task_id] == ["cancelled"]


def test_what_has_succeeded_is_redriven_only_as_a_whole(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.submit(mini.folder / "job.yaml", {"n": 0}, task_id="t")
    mini.run(scheduler, 1)
    with pytest.raises(NotRedrivable, match="has succeeded: nothing is left to do; do it all again with --all"):
        client.redrive("t")
    assert client.redrive("t", everything=True).status.redrive == 1
    mini.run(scheduler, 1)
    assert (client.status("t").state, client.status("t").redrive) == ("succeeded", 1)


def test_times_backwards_are_the_times() -> None:
    spec = ScheduleSpec.from_mapping({"cron": "*/7 3 * * MON", "interval": "90m", "zone": "Europe/Berlin"})
    first, last = 1_790_000_000_000, 1_800_000_000_000
    forward = list(spec.between(first, last + 1))
    assert list(latest(spec, first, last)) == forward[::-1], f"from {utc(first)}"
