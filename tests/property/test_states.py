"""``docs/states.md`` against the fold: it makes no step that is not a row, and each row is a step that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.evolve import evolve
from streamsched.domain.failure_rules import FailureRule
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import TERMINAL, TRANSITIONS, ChildState, Phase
from streamsched.domain.policy import FAIL_FAST, RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.redriving import is_selectable
from streamsched.domain.table import CHUNK
from streamsched.domain.task import Load, Task
from streamsched.domain.template import Template
from tests.support.journals import journals, request, template

DOC: Final = (Path(__file__).parents[2] / "docs" / "states.md").read_text()
Step = tuple[str, str, str]
FOREVER: Final = 1 << 60
HISTORIES: Final = 2_000
STEPS: Final = 60
END_OF: Final[dict[Phase, type[e.TaskEnded]]] = {
    Phase.SUCCEEDING: e.TaskSucceeded, Phase.FAILING: e.TaskFailed, Phase.CANCELLING: e.TaskCancelled,
}  # fmt: skip


def rows(title: str) -> list[list[str]]:
    """Return the rows of the table under a heading."""
    section = DOC.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:] if not line.startswith("|---")
    ]


def steps(title: str) -> set[Step]:
    """Return each step of a table."""
    return {
        (before, after, event)
        for befores, afters, events, *_ in rows(title)
        for before in befores.split(", ")
        for after in afters.split(", ")
        for event in events.split(", ")
    }


PHASES: Final = steps("Phases of a task")
CHILDREN: Final = steps("States of a child")
MODES: Final = {"RETURNING": "return", "YIELDING": "yield", "STOPPING": "cancel", "KILLING": "kill"}
RARE_OF_CHILDREN: Final[set[Step]] = {
    *((before, "CANCELLED", "ChildFailed") for before in ("RUNNING", "RETURNING", "YIELDING")),
    *((before, "FAILED", kind) for before in ("RETURNING", "YIELDING") for kind in ("ChildReturned", "PartitionReset")),
    *((before, "FAILED", "ChildCompleted") for before in ("RETURNING", "YIELDING", "STOPPING", "KILLING")),
    *((before, "DUE", "ChildCompleted") for before in ("RETURNING", "YIELDING")),
    *(("RETURNING", after, "ChildrenStopping") for after in ("YIELDING", "STOPPING", "KILLING")),
    ("RETURNING", "DUE", "PartitionReset"), ("YIELDING", "KILLING", "ChildrenStopping"),
    ("YIELDING", "STOPPING", "ChildrenStopping"), ("STOPPING", "KILLING", "ChildrenStopping"),
}  # fmt: skip
RARE: Final[set[Step]] = {
    *RARE_OF_CHILDREN, ("STOPPING", "CANCELLED", "ChildCompleted"),
    ("cancelled", "failing", "TaskRedriven"), ("succeeded", "failing", "TaskRedriven"),
}  # fmt: skip
"""Rows that a test of its own reaches."""


def moved(task: Task | None, event: e.Event, load: Load) -> tuple[Task, list[Step], list[Step]]:
    """Fold an event; return the task, and the steps that its phase and its children made."""
    kind = type(event).__name__
    before = "-" if task is None else str(task.phase)
    states = [] if task is None else [task.state_of(child).name for child in range(task.children)]
    task = evolve(task, event, load)
    assert task is not None
    after = str(task.phase)
    phases = [(before, after, kind)] if before != after else []
    states += ["-"] * (task.children - len(states))
    now = [task.state_of(child).name for child in range(task.children)]
    return task, phases, [(*both, kind) for both in zip(states, now, strict=True) if both[0] != both[1]]


def test_the_table_of_phases_is_that_of_the_code() -> None:
    told = {(before, after) for before, after, _ in PHASES if before != "-"}
    steps = {(str(before), str(after)) for before, afters in TRANSITIONS.items() for after in afters}
    assert steps <= told
    through = {(before, after) for before, to in steps if to == "running" for at, after in steps if at == "running"}
    assert told - steps <= through  # one event that passes two phases
    assert {name for before, after, _ in PHASES for name in (before, after)} - {"-"} == set(map(str, Phase))


def test_the_table_of_children_names_every_state_and_every_told_level_has_its_mode() -> None:
    levels = rows("Told levels")
    assert [row[0] for row in levels] == ["0", "1", "2", "3", "4"]
    assert tuple(row[1] for row in levels[1:]) == e.STOP_MODES
    named = {name for before, after, _ in CHILDREN for name in (before, after)} - {"-"}
    assert named | {row[2] for row in levels} == {state.name for state in ChildState}


def test_each_event_that_the_tables_name_is_one() -> None:
    kinds = {kind.__name__ for kind in e.EVENTS}
    named = {event for title in ("Phases of a task", "The hold", "States of a child") for _, _, event in steps(title)}
    assert named - {"-"} <= kinds
    assert set(re.findall(r"\b(?:Task|Child|Children|Partition)[A-Z]\w+", DOC)) <= kinds


@given(journals())
@settings(max_examples=150)
def test_no_journal_of_any_order_leaves_the_tables(journal: list[e.Event]) -> None:
    task: Task | None = None
    load = Load()
    for event in journal:
        task, phases, children = moved(task, event, load)
        assert set(phases) <= PHASES
        assert set(children) <= CHILDREN


def history(seed: int) -> Iterator[list[Step]]:
    """Fold a history of decisions that were owed, outcomes of what is live, people's facts and repetitions."""
    random, load = Random(seed), Load()
    first = request(_template(random))
    past: list[e.Event] = [first]
    task, phases, children = moved(None, first, load)
    yield phases
    for number in range(1, STEPS):
        event = random.choice(past) if random.random() < 0.05 else random.choice(_fitting(random, task, number))
        if not isinstance(event, e.ChildrenCancelled):  # a decision stands once, and this one would be a new one
            past.append(event)
        if random.random() < 0.05:
            _wear_out(task)
        task, phases, children = moved(task, event, load)
        assert set(phases) <= PHASES, (seed, number, event)
        assert set(children) <= CHILDREN, (seed, number, event)
        yield phases + children


def _template(random: Random) -> Template:
    retry = RetryPolicy(max_attempts=random.choice((1, 2, 0)), initial_interval_ms=0)
    failure = FailurePolicy(
        count=random.choice((None, 1, 2)),
        percent=random.choice((None, None, 50)),
        on=random.choice((FAIL_FAST, RUN_ALL)),
    )
    return template(retry=retry, failure=failure, reduce=random.choice((None, retry)))


def _wear_out(task: Task) -> None:
    """Have a child that waits come to its last ordinal, as after 4,094 dispatches."""
    for child in task.due_children(FOREVER, 1):
        cell = task.table[child]
        task.table[child] = cell & ~(LAST_ORDINAL << 4) | (LAST_ORDINAL - 1) << 4
        task.changed.add(child // CHUNK)


def _fitting(random: Random, task: Task, number: int) -> list[e.Event]:
    head = (number.to_bytes(16), 1_000 + 10 * number, "me", task.task_id)
    action = owed(task, FOREVER)
    fitting: list[e.Event] = []
    if action is Action.PLAN:
        split = random.random() < 0.3
        count, fan_in = 0 if split else random.choice((0, 1, 2, 3)), int(task.template.reduce is not None)
        planned = e.TaskPlanned(*head, task.redrive, count, "{}", "", 0, fan_in, split)
        fitting += [planned, planned, planned, e.TaskRefused(*head, task.request.event_id, "no", 0)]
    elif action is Action.DISPATCH:
        fitting += [e.ChildrenDispatched(*head, (_release(random, task),), 0)] * 3
    elif action is Action.STOP:
        live = [child for child in task.live_children() if task.told_of(child) < task.wanted]
        releases = tuple(e.Release(child, child, task.ordinal_of(child), 0) for child in live)
        fitting += [e.ChildrenStopping(*head, releases, "stop", 0, e.STOP_MODES[task.wanted - 1])] * 4
    elif action is Action.SELECT:
        upto = random.randint(task.cursor + 1, task.select_end)
        chosen = [child for child in range(task.cursor, upto) if is_selectable(task, child) and random.random() < 0.7]
        spans = tuple(e.Span(child, child) for child in chosen)
        fitting += [e.ChildrenSelected(*head, task.redrive, upto, spans, 0)] * 4
    elif action is Action.CANCEL:
        fitting += [e.ChildrenCancelled(*head, tuple(task.idle_spans()), "over", 0)] * 4
    elif action is Action.END:
        fitting += [END_OF[task.phase](*head, task.redrive, "", 0)] * 4
    for child in task.live_children():
        fitting += _outcomes(random, task, child, head)
    if task.phase in TERMINAL and task.phase is not Phase.REFUSED:
        scope, restart = random.choice(("failed", "all")), random.random() < 0.5
        selector = random.choice((None, e.Selector(1, ())))
        fitting += [e.TaskRedriven(*head, task.redrive + 1, scope, restart, "", "", selector)] * 2
    if random.random() < 0.2 or not fitting:
        fitting.append(e.TaskCancelRequested(*head, task.redrive, "enough", random.random() < 0.5))
    return fitting + list(_others(random, task, head))


def _others(random: Random, task: Task, head: tuple[bytes, int, str, str]) -> Iterator[e.Event]:
    """Yield what may come beside what is owed: facts of people and time, and a partition that was reset."""
    if random.random() < 0.2:
        yield e.TaskPaused(*head, task.redrive, random.random() < 0.7, random.random() < 0.5, "wait")
    if random.random() < 0.05:
        tolerate = random.choice((None, e.Tolerance(random.choice((None, 0, 1)), random.choice((None, 0, 50)))))
        deadline = random.choice((None, 0, 1_000))
        yield e.TaskLimitsChanged(*head, task.redrive, None, None, None, None, tolerate, deadline, "")
        yield e.TimerFired(*head, head[1])
    if random.random() < 0.2:
        yield e.PartitionReset(*head[:3], 0)


def _release(random: Random, task: Task) -> e.Release:
    due = task.due_children(FOREVER, 1)
    if due:
        return e.Release(due[0], due[0], task.ordinal_of(due[0]) + 1, 0)
    last = random.randrange(task.first_undispatched, task.bound)
    return e.Release(task.first_undispatched, last, 1, 0)


def _outcomes(random: Random, task: Task, child: int, head: tuple[bytes, int, str, str]) -> Iterator[e.Event]:
    detail, ordinal = task.detail_of(child), task.ordinal_of(child)
    dispatch = (*head, child, ordinal, detail.attempt, 1)
    sequence = detail.sequence + int(random.random() < 0.4)
    yield from [e.ChildCompleted(*dispatch, 900, sequence, None)] * 3
    retryable = random.random() < 0.6
    yield e.ChildFailed(*dispatch, 900, sequence, None, "error", "E", "", "", retryable, None)
    yield e.ChildReturned(*dispatch, sequence, None, 0, "drain")
    yield e.ChildStarted(*dispatch)
    if task.state_of(child) is ChildState.STOPPING or random.random() < 0.2:
        yield e.ChildCancelled(*dispatch, 900, sequence, None, "stop")
    if task.split and not child:
        live = (ordinal, detail.attempt, 1, detail.sequence + 1)
        yield from [e.TaskPlanProgressed(*head, task.redrive, "{}", 0, 0, *live, task.work_end, 1, "1")] * 3
    else:
        yield e.ChildCheckpointed(*dispatch, detail.sequence + 1, "1", 0, None)


def test_histories_that_fit_never_leave_the_tables_and_reach_each_row() -> None:
    seen: set[Step] = set()
    for seed in range(HISTORIES):
        for made in history(seed):
            seen.update(made)
    unreached = (PHASES | CHILDREN) - seen - RARE
    assert {step for step in unreached if "planning" not in step[:2]} == set()


def told(retry: RetryPolicy, failure: FailurePolicy, *events: e.Event) -> tuple[Task, list[Step]]:
    """Fold a task from its request on; return it with its last steps."""
    load = Load()
    task, phases, children = moved(None, request(template(retry=retry, failure=failure)), load)
    for event in events:
        task, phases, children = moved(task, event, load)
    return task, phases + children


HEAD: Final = (bytes(16), 2_000, "me", "task")


def test_a_stopped_split_child_whose_page_is_missing_is_cancelled() -> None:
    _, made = told(
        RetryPolicy(max_attempts=0),
        FailurePolicy(),
        e.TaskPlanned(*HEAD, 0, 0, "{}", "", 0, 0, True),
        e.ChildrenDispatched(*HEAD, (e.Release(0, 0, 1, 0),), 0),
        e.TaskCancelRequested(*HEAD, 0, "enough"),
        e.ChildrenStopping(*HEAD, (e.Release(0, 0, 1, 0),), "enough", 0),
        e.ChildCompleted(*HEAD, 0, 1, 1, 1, 900, 3, None),
    )
    assert made == [("STOPPING", "CANCELLED", "ChildCompleted")]
    assert set(made) <= RARE & CHILDREN


def test_a_redrive_of_children_that_were_dispatched_too_often_fails() -> None:
    task, _ = told(
        RetryPolicy(max_attempts=1),
        FailurePolicy(on=RUN_ALL),
        e.TaskPlanned(*HEAD, 0, 2, "{}", "", 0),
        e.ChildrenDispatched(*HEAD, (e.Release(0, 1, 1, 0),), 0),
        e.ChildFailed(*HEAD, 0, 1, 1, 1, 900, 0, None, "error", "E", "", "", False, None),
        e.TaskCancelRequested(*HEAD, 0, "enough"),
        e.ChildCancelled(*HEAD, 1, 1, 1, 1, 900, 0, None, ""),
        e.TaskCancelled(*HEAD, 0, "", 0),
    )
    for child in range(2):
        task.table[child] |= LAST_ORDINAL << 4
    _, phases, _ = moved(task, e.TaskRedriven(*HEAD, 1, "failed", False, "", ""), Load())
    assert phases == [("cancelled", "failing", "TaskRedriven")]
    assert set(phases) <= RARE & PHASES


@pytest.mark.parametrize("step", sorted(RARE_OF_CHILDREN), ids=" ".join)
def test_a_child_makes_each_rare_step(step: Step) -> None:
    before, after, kind = step
    split = kind == "ChildCompleted"
    release = e.Release(0, 0, 1, 0)
    skip = (FailureRule(reason="error", do="skip"),) if kind == "ChildFailed" else ()
    task, _ = told(
        RetryPolicy(max_attempts=1 if after == "FAILED" else 2),
        FailurePolicy(rules=skip),
        e.TaskPlanned(*HEAD, 0, 0 if split else 1, "{}", "", 0, 0, split),
        e.ChildrenDispatched(*HEAD, (release,), 0),
        *([e.ChildrenStopping(*HEAD, (release,), "stop", 0, MODES[before])] if before in MODES else []),
    )
    if after == "FAILED" and not split:
        task.table[0] |= LAST_ORDINAL << 4
    dispatch = (*HEAD, 0, task.ordinal_of(0), 1, 1)
    event: e.Event = {
        "ChildFailed": e.ChildFailed(*dispatch, 900, 0, None, "error", "E", "", "", False, None),
        "ChildReturned": e.ChildReturned(*dispatch, 0, None, 0, "drain"),
        "PartitionReset": e.PartitionReset(*HEAD[:3], 0),
        "ChildCompleted": e.ChildCompleted(*dispatch, 900, 3, None),
        "ChildrenStopping": e.ChildrenStopping(*HEAD, (release,), "stop", 0, MODES.get(after, "kill")),
    }[kind]
    _, _, children = moved(task, event, task.load)
    assert children == [step]
