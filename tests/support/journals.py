"""Journals of one task made up by hypothesis: events that fit, and events that come too late or never fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hypothesis import strategies as st

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.failure_rules import FailureRule
from streamsched.domain.owed import Action, owed
from streamsched.domain.param import Param
from streamsched.domain.phases import Told
from streamsched.domain.policy import FAIL_FAST, RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.selector import parse
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.task import Load, Task
from streamsched.domain.template import ChildSpec, Template

WAITS = st.sampled_from((0, 5, 1_000))
CHILDREN: Final = 4

RULES: Final = (
    (),
    (FailureRule(error="m.Hopeless", do="retry"), FailureRule(error="Hopeless", do="fail_task")),
    (FailureRule(error="m.Error", do="skip"), FailureRule(reason="error", do="fail")),
)


def template(
    *, retry: RetryPolicy | None = None, failure: FailurePolicy | None = None, reduce: RetryPolicy | None = None
) -> Template:
    """Make a template of a range split; ``reduce`` is how its reduce is retried, if it has one."""
    return Template(
        name="made-up",
        params={"n": Param(type="integer")},
        split=RangeSplit(first=1, last="${n}", size=1),
        child=ChildSpec(handler="some.module:handler", retry=retry or RetryPolicy()),
        failure=failure or FailurePolicy(),
        reduce=None if reduce is None else ChildSpec(handler="some.module:total", retry=reduce),
    )


def request(made: Template, task_id: str = "task", number: int = 0) -> e.TaskRequested:
    """Make the request of a task."""
    return e.TaskRequested(number.to_bytes(16), 1_000, "me", task_id, "made-up", "1", made.to_json(), "{}", 0, "", None)


retries = st.builds(
    RetryPolicy,
    max_attempts=st.integers(0, 3),
    initial_interval_ms=st.sampled_from((0, 100)),
    non_retryable=st.sampled_from(((), ("Hopeless",))),
    reset_on_progress=st.booleans(),
)
policies = st.builds(
    template,
    retry=retries,
    reduce=st.none() | retries,
    failure=st.builds(
        FailurePolicy,
        count=st.none() | st.integers(0, 2),
        percent=st.none() | st.sampled_from((0, 50, 100)),
        on=st.sampled_from((FAIL_FAST, RUN_ALL)),
        rules=st.sampled_from(RULES),
    ),
)


@st.composite
def journals(draw: st.DrawFn, task_id: str = "task", size: int = 40) -> list[e.Event]:
    """Draw the events of one task, the request first. Most fit the state at their place; any may come twice."""
    first = request(draw(policies), task_id)
    journal: list[e.Event] = [first]
    task = evolve(None, first, Load())
    assert task is not None
    for number in range(1, draw(st.integers(1, size))):
        event = draw(st.sampled_from(journal)) if draw(st.integers(0, 9)) == 0 else draw(_next(task, number))
        journal.append(event)
        evolve(task, event, task.load)
    return journal


@st.composite
def _next(draw: st.DrawFn, task: Task, number: int) -> e.Event:
    head = (number.to_bytes(16), 1_000 + number // 3, "me", task.task_id)
    child = draw(st.integers(0, max(0, task.children - 1)))
    ordinal = task.ordinal_of(child) if child < task.children else 1
    ordinal = max(0, ordinal + draw(st.sampled_from((0, 0, 0, 0, 0, 0, -1, 1))))
    sequence = draw(st.integers(0, 3))
    running = (*head, child, ordinal, draw(st.integers(1, 3)), 1)
    state = draw(st.sampled_from((None, "1")))
    last = draw(st.integers(child, min(child + 2, CHILDREN)))
    fresh = child >= task.first_undispatched
    release = e.Release(child, last if fresh else child, 1 if fresh else ordinal + 1, draw(st.integers(0, 2)))
    kinds: list[e.Event] = [
        e.ChildrenDispatched(*head, (release,), 0),
        e.ChildCompleted(*running, 1_000, sequence, "1"),
        e.ChildFailed(
            *running, 1_000, sequence, state, "error", draw(st.sampled_from(("Hopeless", "Error"))), "", "",
            draw(st.booleans()), draw(st.sampled_from((None, 0, 5))),
            draw(st.sampled_from((None, e.Cause(("m.Error", "m.Hopeless"), 3, "ab", ("m.py:1 in f",))))),
        ),
        e.ChildReturned(*running, sequence, state, 0, "drain"),
        e.ChildReturned(*running, sequence, state, 0, "", e.Why("import", "no m", "node", draw(WAITS), False)),
        e.ChildCheckpointed(*running, sequence, state, 0, None),
        e.ChildStarted(*running),
        e.ChildrenStopping(*head, (e.Release(child, child, ordinal, 0),), "stop", 0, _mode(task)),
        e.ChildCancelled(*running, 1_000, sequence, state, "stop"),
        draw(_plans(head)),
        draw(_pages(task, head)),
        e.ChildrenCancelled(*head, (e.Span(child, last),), "over", 0),
        e.TaskCancelRequested(*head, task.redrive + draw(st.sampled_from((0, 0, 1))), "enough", draw(st.booleans())),
        e.TaskPaused(
            *head, task.redrive + draw(st.sampled_from((0, 0, 0, 1))), draw(st.booleans()), draw(st.booleans()), "wait"
        ),
        draw(_limits(task, head)),
        e.TimerFired(*head, draw(st.sampled_from((0, head[1], 1 << 40)))),
        e.TaskRedriven(
            *head, task.redrive + draw(st.sampled_from((1, 1, 1, 0, 2))), draw(st.sampled_from(("failed", "all"))),
            draw(st.booleans()), "", "", draw(st.sampled_from((None, parse("index>=1")))),
        ),
        e.ChildrenSelected(
            *head, task.redrive, task.cursor + draw(st.sampled_from((1, 1, 2, 0))), (e.Span(child, last),), 0
        ),
        e.PartitionReset(*head[:3], draw(st.integers(0, 2))),
        e.TaskSucceeded(*head, task.redrive, "", 0), e.TaskFailed(*head, task.redrive, "", 0),
        e.TaskCancelled(*head, task.redrive, "", 0),
        e.TaskRefused(*head, task.request.event_id, "no", 0),
    ]  # fmt: skip
    if not task.plan and draw(st.booleans()):
        return kinds[8]
    # Deciders are careful: they end a task, or cancel its rest, only where that is owed.
    careful = (e.ChildrenCancelled, e.TaskSucceeded, e.TaskFailed, e.TaskCancelled, e.TaskRefused, e.ChildrenStopping)
    wild = [event for event in kinds if not isinstance(event, careful)]
    return draw(st.sampled_from(wild + list(_owed_now(task, kinds))))


@st.composite
def _limits(draw: st.DrawFn, task: Task, head: tuple[bytes, int, str, str]) -> e.TaskLimitsChanged:
    small, rates = st.none() | st.integers(0, 3), st.sampled_from((None, e.Rate(0, 1), e.Rate(3, 10)))
    tolerate = draw(st.none() | st.builds(e.Tolerance, st.none() | st.integers(0, 2), st.sampled_from((None, 50.0))))
    return e.TaskLimitsChanged(
        *head, task.redrive + draw(st.sampled_from((0, 0, 0, 1))), draw(small), draw(rates), draw(small),
        draw(st.none() | st.integers(1, 3)), tolerate, draw(st.sampled_from((None, 0, 1_005))), "",
    )  # fmt: skip


@st.composite
def _plans(draw: st.DrawFn, head: tuple[bytes, int, str, str]) -> e.TaskPlanned:
    split = draw(st.booleans())
    children = 0 if split else draw(st.integers(0, CHILDREN))
    deadline = draw(st.sampled_from((None, None, 1_010)))
    return e.TaskPlanned(*head, 0, children, "{}", "", 0, draw(st.integers(0, 1)), split, deadline)


@st.composite
def _pages(draw: st.DrawFn, task: Task, head: tuple[bytes, int, str, str]) -> e.TaskPlanProgressed:
    """Draw a page, which mostly follows the last one."""
    ahead, count = draw(st.sampled_from((1, 1, 1, 0, 2))), draw(st.integers(1, 2))
    first = max(0, task.work_end + draw(st.sampled_from((0, 0, 0, -1, 1))))
    live = (max(1, task.ordinal_of(0)), 1, 1, task.detail_of(0).sequence + ahead)
    return e.TaskPlanProgressed(*head, 0, f'"{first}"', 0, 0, *live, first, count, "\n".join(["1"] * count))


def _mode(task: Task) -> str:
    return (task.wanted or Told.CANCEL).name.lower()


def _owed_now(task: Task, kinds: list[e.Event]) -> Iterator[e.Event]:
    action = owed(task, 1 << 60)
    head = (kinds[0].event_id, kinds[0].at, "me", task.task_id)
    if action is Action.STOP:
        yield from (event for event in kinds if isinstance(event, e.ChildrenStopping))
    elif action is Action.CANCEL:
        yield e.ChildrenCancelled(*head, tuple(task.idle_spans()), "over", 0)
    elif action is Action.END:
        yield from kinds[-4:-1]
    elif action is Action.PLAN:
        yield kinds[-1]
