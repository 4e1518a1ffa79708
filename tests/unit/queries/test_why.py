"""``why``: each cause of a task and of a child, the first that applies, and what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.errors import InputError, NoSuchTask
from streamsched.log.codec import Codec
from streamsched.queries.presence import named_children
from streamsched.queries.status import status_of
from streamsched.queries.why import Answer, child_named, why
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template
from tests.unit.commands.schedule_case import ScheduleCase
from tests.unit.queries.test_presence import MiniCluster
from tests.unit.queries.test_progress import WHO, Case, beat


class Present:
    """What is seen of the nodes."""

    def __init__(self, beats: Sequence[e.NodeBeat] = (), missing: str = "", skewed: str = "") -> None:
        self._beats, self._missing, self._skewed = list(beats), missing, skewed

    def beats(self) -> list[e.NodeBeat]:
        return self._beats

    def missing(self, _: object) -> str:
        return self._missing

    def skewed(self) -> str:
        return self._skewed


WORKER = beat()
FULL = replace(WORKER, free=0)


def asked(case: Case, child: int | None = None, *, now: int = 5_000, halt: str = "", **present: Any) -> Answer:
    there = cast("Any", Present(**{"beats": [WORKER], **present}))
    detail = None if child is None else case.view.detail("task", child)
    named = named_children(case.task, there.beats())
    status = status_of(case.task, now, named)
    return why(case.task, there, status=status, named=named, halt=halt, now=now, child=child, detail=detail)


def unplanned() -> Case:
    case = Case.__new__(Case)
    case.store = MemoryStore()
    case.view = View(case.store, Codec())
    case.tell(request(template()))
    return case


def failed(child: int, *, retryable: bool = False, delay: int | None = None) -> e.ChildFailed:
    return e.ChildFailed(
        *WHO, child, 1, 1, 1, 900, 0, None, "error", "KeyError", "'x'", "", retryable, delay
    )  # fmt: skip


# --- tasks ----------------------------------------------------------------------------------------------------------


def test_every_answer_of_a_task_that_has_ended_says_how_to_continue() -> None:
    case = Case()
    case.tell(failed(0))
    answer = asked(case)
    assert (answer.cause, answer.state) == ("closing", "failing")
    assert "3 by now" in answer.change
    for child in (1, 2, 3):
        case.tell(e.ChildCancelled(*WHO, child, 1, 1, 1, 900, 0, None, ""))
    answer = asked(case)
    assert (answer.cause, answer.state) == ("failed", "failed")
    assert answer.sentence == ("it failed, child 0 failed: KeyError: 'x': mend that, then 'streamsched redrive task'")
    cancelled = Case()
    cancelled.tell(e.TaskCancelRequested(*WHO, 0, "enough"))
    assert asked(cancelled).why == "it is cancelling, enough"
    for child in range(4):
        cancelled.tell(e.ChildCancelled(*WHO, child, 1, 1, 1, 900, 0, None, ""))
    assert asked(cancelled).sentence == "it was cancelled, enough: continue it with 'streamsched redrive task'"


def test_what_succeeded_gets_on() -> None:
    case = Case()
    case.completed(range(4), 2_000)
    answer = asked(case)
    assert (answer.cause, answer.gets_on, answer.change) == ("succeeded", True, "")


def test_a_refused_task_says_why() -> None:
    case = unplanned()
    case.tell(e.TaskRefused(*WHO, case.task.request.event_id, "no file", 0))
    assert asked(case).sentence == "it was refused, no file: correct it and submit it under another --task-id"


@pytest.mark.parametrize(
    ("there", "cause", "sentence"),
    [
        ({}, "plan", "it waits for its plan: the scheduler of its partition makes it next"),
        ({"missing": "no worker allows module a: start one with 'streamsched worker --allow a'"}, "nodes",
         "no worker allows module a: start one with 'streamsched worker --allow a'"),
        ({"missing": "no scheduler was seen in the last 10 s: start 'streamsched scheduler'"}, "nodes",
         "no scheduler was seen in the last 10 s: start 'streamsched scheduler'"),
        ({"missing": "a child was given back, and is tried again: w: no m"}, "returned",
         "a child was given back, and is tried again: w: no m"),
        ({"skewed": "the clock of scheduler s is 90 s ahead"}, "clock",
         "the clock of scheduler s is 90 s ahead: set the clock, by NTP for example"),
        ({"halt": "partition 3 at offset 7"}, "halted",
         "its partition of the journal stands still, partition 3 at offset 7"),
    ],
)  # fmt: skip
def test_what_a_task_waits_for_before_its_plan(there: dict[str, Any], cause: str, sentence: str) -> None:
    answer = asked(unplanned(), **there)
    assert (answer.cause, answer.sentence, answer.state) == (cause, sentence, "requested")
    assert not answer.gets_on


def test_queued_running_and_room() -> None:
    case = Case()
    answer = asked(case, beats=[FULL])
    assert answer.cause == "queued"
    assert (
        answer.change
        == "all 4 slots of the workers that may run it are busy; add workers, or streamsched set task priority=N"
    )
    assert asked(case).change == "the next round of its scheduler or worker"
    case.started(1)
    answer = asked(case)
    assert (answer.cause, answer.why, answer.gets_on) == ("running", "1 child runs, 3 queued", True)
    case.started(2)
    assert asked(case).why == "2 children run, 2 queued"
    by_beat = asked(Case(), beats=[beat(("task", 3, 1))])
    assert (by_beat.cause, by_beat.why) == ("running", "1 child runs, 3 queued")
    short = Case()
    short.completed(range(1), 2_000)
    answer = asked(short)
    assert (answer.cause, answer.why, answer.gets_on) == ("running", "a child takes 10 ms, 3 queued, 0 waiting", True)
    assert asked(short, beats=[FULL]).cause == "queued", "the slots have other work"
    waiting = unplanned()
    waiting.tell(e.TaskPlanned(*WHO, 0, 2, "{}", "", 0))
    assert asked(waiting, beats=[FULL]).sentence == (
        "its children wait for room at a worker: "
        "all 4 slots of the workers that may run it are busy; add workers, or streamsched set task priority=N"
    )


def test_a_retry_says_when() -> None:
    case = Case(2)
    for child in range(2):
        case.tell(failed(child, retryable=True, delay=60_000))
    answer = asked(case)
    assert (answer.cause, answer.why) == (
        "retry", "its children wait for their next attempts, the first until 1970-01-01T00:01:01.000Z"
    )  # fmt: skip
    first = asked(case, 0)
    assert (first.cause, first.state, first.child) == ("retry", "waiting", "0")
    assert first.why == "it waits for attempt 2 until 1970-01-01T00:01:01.000Z, KeyError: 'x'"


def test_a_limit_that_is_used_up_says_what_would_change_it() -> None:
    case = unplanned()
    case.tell(e.TaskPlanned(*WHO, 0, 4, "{}", "", 0))
    case.tell(e.TaskLimitsChanged(*WHO, 0, 1, e.Rate(1, 60_000), None, None, None, None, ""))
    case.tell(e.ChildrenDispatched(*WHO, (e.Release(0, 0, 1, 0),), 0))
    assert asked(case, 2).sentence == "its parallelism of 1 is used up: streamsched set task parallelism=N"
    case.completed(range(1), 2_000)
    for answer in (asked(case), asked(case, 2)):
        assert answer.cause == "rate"
        assert answer.why == "its rate of 1/m is used up until 1970-01-01T00:01:01.000Z"
        assert answer.change == "that time, or streamsched set task rate=R"
    assert asked(case, now=61_000).cause == "room"


# --- children -------------------------------------------------------------------------------------------------------


def test_where_a_live_child_is() -> None:
    case = Case()
    assert asked(case, 0).sentence == "it is queued at worker w: the worker's next turn"
    assert asked(case, 0, beats=[FULL]).sentence == "it is queued at worker w: its 4 slots are busy; add workers"
    gone = asked(case, 0, beats=[])
    assert gone.why == "it waits in partition 0 of the work log, which no worker that was seen lately owns"
    case.started(0)
    assert asked(case, 0).why == "it runs at w since 1970-01-01T00:00:01.000Z, attempt 1"
    assert asked(case, 1, beats=[beat(("task", 1, 1))]).why == "it runs at w, attempt 1"
    case.tell(e.ChildrenStopping(*WHO, (e.Release(1, 1, 1, 0),), "enough", 0))
    assert asked(case, 1).cause == "stopping"


def test_how_a_child_ended() -> None:
    case = Case()
    case.completed(range(1), 2_000)
    case.tell(failed(1))
    case.tell(e.ChildCancelled(*WHO, 2, 1, 1, 1, 900, 0, None, "enough"))
    case.view.flush()
    assert asked(case, 0).cause == "succeeded"
    answer = asked(case, 1)
    assert (answer.cause, answer.why) == ("failed", "it failed in attempt 1, KeyError: 'x'")
    assert answer.change == "mend that, then when the task has ended, 'streamsched redrive task'"
    assert asked(case, 2).why == "it was cancelled, enough"


def test_what_an_idle_child_waits_for() -> None:
    case = Case(4, reduce=True)
    assert asked(case, 4).why == "it waits until the 4 children before it have ended"
    assert (asked(case, 4).child, asked(case, 4).cause) == ("reduce", "stage")
    later = unplanned()
    later.tell(e.TaskPlanned(*WHO, 0, 4, "{}", "", 0))
    later.tell(e.ChildrenDispatched(*WHO, (e.Release(0, 0, 1, 0),), 0))
    answer = asked(later, 3)
    assert (answer.cause, answer.why) == ("room", "it waits for room at a worker, and 2 children go before it")
    assert asked(later, 3, missing="no worker: start one").cause == "nodes"
    later.tell(e.TaskCancelRequested(*WHO, 0, "enough"))
    assert asked(later, 3).cause == "closing"
    back = e.ChildReturned(*WHO, 0, 1, 1, 1, 0, None, 0, "", e.Why("import", "no m", "node", 0, False))
    case.tell(back)
    assert asked(case, 0).sentence == "it came back, import: no m: its next dispatch is due"


def test_a_child_is_named_by_its_number_or_its_stage() -> None:
    task = Case(4, reduce=True).task
    assert [child_named(task, name) for name in ("0", "3", "reduce")] == [0, 3, 4]
    for name in ("4", "-1", "split", "x", "9" * 30, "²"):
        with pytest.raises(InputError, match="has no child") as caught:
            child_named(task, name)
        assert caught.value.remedy == "its children are 0 to 3, reduce"


# --- clocks and schedules -------------------------------------------------------------------------------------------


def test_a_scheduler_whose_clock_differs_is_named() -> None:
    mini = MiniCluster()
    mini.beat("worker")
    mini.beat("scheduler")  # its own time is 0, the log's is not
    mini.nodes_clock.advance(1)
    looks = mini.looks()
    looks.beats()
    assert "the clock of scheduler scheduler is" in looks.skewed()
    assert looks.skewed().endswith("behind the log's, and it decides nothing")
    assert "clock" not in looks.missing()


def test_a_time_of_a_schedule_without_a_task_says_what_became_of_it(tmp_path: Path) -> None:
    office = ScheduleCase(tmp_path)
    client, scheduler = office.client(), office.scheduler()
    client.create_schedule(office.want("interval: 10s\noverlap: skip\ntemplate: job.yaml\nparams: {n: 5}\n"))
    office.run(scheduler, 35)
    ticks = list(client.ticks("nightly"))
    fired, skipped = (next(tick for tick in ticks if tick.outcome == name) for name in ("fired", "skipped"))
    assert fired.task_id is not None
    at = fired.task_id.rpartition("@")[2]
    task_id = f"nightly@{skipped.document()['nominal']}"
    answer = client.why(task_id)
    assert (answer.state, answer.cause) == ("skipped", "schedule")
    assert answer.why == "its time was skipped, a task of the schedule was running (overlap skip)"
    for unknown in ("nightly@2000-01-01T00:00:00Z", f"other@{at}", "nightly@never", "t"):
        with pytest.raises(NoSuchTask):
            client.why(unknown)
    with pytest.raises(NoSuchTask):
        client.why(task_id, 0)


@pytest.mark.parametrize(
    ("overlap", "outcome", "change"),
    [
        ("skip", "skipped", ", for the times to come"),
        ("buffer_one", "waiting", ""),
        ("buffer_one", "dropped", ", for the times to come"),
    ],
)
def test_a_time_that_a_paused_task_holds_up_names_it(tmp_path: Path, overlap: str, outcome: str, change: str) -> None:
    office = ScheduleCase(tmp_path)
    client, scheduler = office.client(), office.scheduler()
    client.create_schedule(office.want(f"interval: 10s\noverlap: {overlap}\ntemplate: job.yaml\nparams: {{n: 5}}\n"))
    office.run(scheduler, 35)
    ticks = list(client.ticks("nightly"))
    running = next(tick.task_id for tick in ticks if tick.task_id)
    left = next(tick for tick in ticks if tick.outcome == outcome)
    task_id = f"nightly@{left.document()['nominal']}"
    assert client.why(task_id).cause == "schedule"
    client.pause(running)
    answer = client.why(task_id)
    assert (answer.state, answer.cause) == (outcome, "held")
    assert answer.why.endswith(f"; held up by task {running}, which is paused")
    assert answer.change == f"streamsched resume {running}{change}"
    client.resume(running)
    assert client.why(task_id).cause == "schedule"


def test_a_schedule_says_when_it_fires_what_it_waits_for_and_what_became_of_its_last_time(tmp_path: Path) -> None:
    office = ScheduleCase(tmp_path)
    client, scheduler = office.client(), office.scheduler()
    client.create_schedule(office.want("interval: 10s\noverlap: buffer_one\ntemplate: job.yaml\nparams: {n: 5}\n"))
    office.run(scheduler, 15)
    (fired,) = client.ticks("nightly")
    answer = client.why("nightly")
    assert (answer.task_id, answer.schedule_id) == ("nightly", "nightly")
    assert (answer.state, answer.cause) == ("active", "scheduled")
    assert answer.why.startswith("its next time is ")
    assert f"; {fired.task_id} still runs; its last time, " in answer.why
    assert answer.why.endswith(f" fired: task {fired.task_id} has not ended")
    office.run(scheduler, 10)
    client = office.client()  # another one: the first has just looked for nodes
    answer = client.why("nightly")
    assert (answer.cause, answer.change) == ("overlap", f"the end of {fired.task_id}")
    assert answer.why.startswith("1 time waits (overlap buffer_one); its last time, ")
    assert fired.task_id is not None
    client.pause(fired.task_id)
    answer = client.why("nightly")
    assert (answer.cause, answer.change) == ("held", f"streamsched resume {fired.task_id}")
    client.pause_schedule("nightly", "the store moves")
    answer = client.why("nightly")
    assert (answer.state, answer.cause, answer.change) == ("paused", "paused", "streamsched schedule resume nightly")
    assert answer.why.startswith("its times are suppressed (the store moves); its last time, ")
    with pytest.raises(NoSuchTask, match="it is a schedule: 'streamsched schedule show nightly'"):
        client.status("nightly")
    with pytest.raises(NoSuchTask, match="it is a schedule"):
        client.why("nightly", 0)
    client.delete_schedule("nightly")
    assert client.why("nightly").cause == "deleted"
    assert client.why("nightly").why.startswith("it has no time any more")


def test_a_schedule_whose_runs_were_made_and_one_that_nothing_works_on(tmp_path: Path) -> None:
    office = ScheduleCase(tmp_path)
    client, scheduler = office.client(), office.scheduler()
    client.create_schedule(office.want("interval: 10s\nlimited_runs: 1\ntemplate: job.yaml\nparams: {n: 5}\n"))
    assert client.why("nightly").cause == "nodes"
    office.run(scheduler, 25)
    answer = client.why("nightly")
    assert (answer.state, answer.cause) == ("finished", "finished")
    assert answer.why.startswith("all of its runs were made (limited_runs); its last time, ")
