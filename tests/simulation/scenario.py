"""What a history is to be: its tasks, its sizes, its limits, and which faults may strike. All of it from the seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from types import ModuleType
from typing import Any, Final

from streamsched.domain import backfill, ticking
from streamsched.domain.events import Rate
from streamsched.domain.failure_rules import FailureRule
from streamsched.domain.overlap import Overlap, SchedulePolicy
from streamsched.domain.param import Param
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.routing import PLAIN, Pair, Place
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Command, Template
from streamsched.runtime import tracker
from streamsched.scheduler import aggregator, entries, journal, schedules, selecting, tasks, turns
from streamsched.scheduler import node as scheduler_node
from streamsched.view import follow, view
from streamsched.worker import node as worker_node
from streamsched.worker import reading, settlement
from tests.simulation.faults import (
    BACKFILLS,
    EMITS,
    KINDS,
    LATER,
    LIMITED,
    OF_SCHEDULES,
    OF_TOPICS,
    PAGED,
    PLACED,
    REDRIVES,
    REDUCED,
    TORN,
)

QUEUE: Final = "gpu"
ZONE: Final = ("zone", "a")
DISK: Final = ("disk", "large")
FULL: Final = Place(("", QUEUE), (ZONE, DISK))
"""Where a worker stands that can run whatever templates ask for."""
LESSER: Final = (
    PLAIN, Place((QUEUE,)), Place(("", QUEUE)), Place((), (ZONE, DISK)), Place((QUEUE,), (ZONE,)),
    Place(("", QUEUE), (DISK, ("zone", "b"))),
)  # fmt: skip
"""Where others stand."""
BESIDE_BACKFILLS: Final = "read by schedulers beside backfills"
OF_PAGES: Final[Mapping[str, int]] = {"pages opened": 1, "pages in memory": 10}
"""Limits of pages; some histories with a split child have both."""
LIMITS: Final[Mapping[str, tuple[ModuleType, str, tuple[int, ...]]]] = {
    "runs": (tracker, "RANGES_LIMIT_BYTES", (16, 40)),
    "spread": (settlement, "SPREAD", (5, 20, 100)),
    "renewed": (settlement, "RENEWED", (1, 3)),
    "outcomes": (settlement, "BATCH", (1, 3)),
    "round": (turns, "ROUND", (2, 7)),
    "turn": (turns, "TURN", (1, 3)),
    "held": (turns, "HELD", (2, 5)),
    "ranges": (aggregator, "RANGES", (1, 2)),
    "selected": (selecting, "CHILDREN", (1, 3)),
    "read by workers": (reading, "READ", (1, 5)),
    "held by workers": (reading, "HELD", (3,)),
    "read by schedulers": (scheduler_node, "BATCH", (3, 20)),
    "decisions": (tasks, "DECISIONS", (1, 3)),
    "lag": (journal, "LAG", (1, 20)),
    "read by followers": (follow, "BATCH", (2, 10)),
    "times examined": (ticking, "EXAMINED", (1, 3)),
    "times fired": (ticking, "FIRES", (1, 2)),
    "times that wait": (ticking, "BUFFER_LIMIT", (2,)),
    "schedules in a round": (schedules, "ROUND", (1,)),
    "times of a backfill examined": (backfill, "EXAMINED", (1, 3)),
    BESIDE_BACKFILLS: (scheduler_node, "BATCH", (3,)),
    "pages opened": (entries, "OPENED", (1,)),
    "pages in memory": (view, "PAGES", (10,)),
    "fed": (reading, "FED", (1, 3)),
    "gathered": (worker_node, "GATHER_MS", (0,)),
}
"""Limits of the product that are small enough to be met in some histories."""
SCHEDULES: Final = (*[0] * 7, 1, 1, 2)
"""How many schedules histories have."""
FINAL: Final = ((), (), (), (), ("made.up.Base",), ("Base", "other.Trouble"))
"""What may name the errors of handlers that are not tried again."""
RULES: Final[tuple[tuple[Mapping[str, Any], ...], ...]] = (
    ({"error": "Base", "message": "number 1", "do": "skip"}, {"error": "made.up.Base", "do": "retry"}),
    ({"exit_code": 3, "do": "skip"}, {"error": "ExecutorDied", "do": "fail"}, {"error": "Base", "do": "retry"}),
    (
        {"reason": "timeout", "do": "skip"},
        {"reason": "worker_lost", "do": "retry"},
        {"message": "number 2", "do": "fail"},
    ),
    ({"message": "number 3", "do": "fail_task"}, {"error": "Exception", "do": "skip"}),
    ({"reason": "poison", "do": "retry"}, {"error": "Hopeless", "do": "skip"}, {"error": "Trouble", "do": "fail"}),
)
"""Failure rules of templates; in most the first that matches decides otherwise than the last."""
SELECTS_SLOWLY: Final = 0.4
"""How likely it is, where tasks are redriven, that a selection takes a decision for each child."""
READS_LITTLE: Final = 0.7
"""How likely it is, where there are backfills, that partitions are folded far apart: these look across them."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One history before it began: ``turns`` of trouble, then healing."""

    tasks: int
    children: int
    turns: int
    kinds: frozenset[str]
    factor: float
    journal_partitions: int
    work_partitions: int
    slots: int
    limits: Mapping[str, int]
    schedules: int = 0

    @property
    def placed(self) -> bool:
        """Whether templates name queues, and need labels."""
        return PLACED in self.kinds or not self.kinds


def scenario(seed: int) -> Scenario:
    """Make up a history. One in twenty is without faults; the others have each kind with some likelihood."""
    rng = Random(f"{seed}/scenario")
    share = rng.choice((0.0, *[0.3] * 6, *[0.6] * 7, *[0.9] * 6))
    schedules = Random(f"{seed}/schedules").choice(SCHEDULES)
    emits = Random(f"{seed}/{EMITS}").random() < share
    plan = Scenario(
        tasks=rng.choice((1, 2, 2, 3)),
        children=20,
        turns=rng.choice((60, 150, 250, 400, 600)),
        kinds=frozenset(
            kind
            for kind in KINDS
            if (Random(f"{seed}/{kind}") if kind in LATER else rng).random() < share
            and (schedules or kind not in (*OF_SCHEDULES, *BACKFILLS))
            and (kind == EMITS or kind not in OF_TOPICS or emits)
        ),
        factor=rng.choice((1.0, 2.0, 4.0)),
        journal_partitions=rng.choice((1, 2, 2)),
        work_partitions=rng.choice((2, 4, 4, 6)),
        slots=rng.choice((1, 2, 2, 3)),
        limits={
            name: rng.choice(values)
            for name, (_, _, values) in LIMITS.items()
            if name not in (BESIDE_BACKFILLS, *OF_PAGES) and rng.random() < 0.2
        },
        schedules=schedules,
    )
    if "task redriven" in plan.kinds and Random(f"{seed}/selects").random() < SELECTS_SLOWLY:
        plan = replace(plan, limits={**plan.limits, "selected": 1})
    if PAGED in plan.kinds and seed % 2:
        plan = replace(plan, limits={**plan.limits, **OF_PAGES})
    if "backfill" in plan.kinds and Random(f"{seed}/reads little").random() < READS_LITTLE:
        return replace(plan, limits={**plan.limits, BESIDE_BACKFILLS: 3})
    return plan


def without_schedules(plan: Scenario) -> Scenario:
    """Make the history that this one would be if there were no schedules, and nothing went on after its end."""
    return replace(without_redrives(plan), schedules=0, kinds=plan.kinds - {*OF_SCHEDULES, *BACKFILLS, *REDRIVES})


def without_redrives(plan: Scenario) -> Scenario:
    """Make the history that this one would be if nobody redrove a task or asked for a backfill."""
    limits = {name: value for name, value in plan.limits.items() if name != BESIDE_BACKFILLS}
    return without_pages(replace(plan, kinds=plan.kinds - {*BACKFILLS, *REDRIVES}, limits=limits))


def without_pages(plan: Scenario) -> Scenario:
    """Make the history that this one would be if there were no split children."""
    limits = {name: value for name, value in plan.limits.items() if name not in OF_PAGES}
    return replace(plan, kinds=plan.kinds - {PAGED, TORN}, limits=limits)


@contextmanager
def limited(limits: Mapping[str, int]) -> Iterator[None]:
    """Let the product have these limits for a while."""
    before = [(module, name, getattr(module, name)) for module, name, _ in LIMITS.values()]
    for key, value in limits.items():
        module, name, _ = LIMITS[key]
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def template(rng: Random, plan: Scenario) -> Template:
    """Make up a template: how often children are tried again, how many may fail, perhaps a split child, a reduce."""
    attempts, interval = rng.choice((1, 2, 4, 0)), rng.choice((0, 50, 500))
    reset, final = rng.random() < 0.5, rng.random()
    failure = rng.choice(
        (FailurePolicy(), FailurePolicy(count=2), FailurePolicy(percent=30), FailurePolicy(percent=100))
    )
    args: dict[str, object] = {"first": "${child.first}"}
    splits = PAGED in plan.kinds and int(final * 100_000) % 3 > 0
    if splits:
        args = {"first": "${child.item}"}
    if splits and int(final * 1_000_000) % 3 > 0:  # a quarter of the children fail, most before the seal
        failure, args = FailurePolicy(percent=20), {**args, "fails": 4}
    code, ruled = _code(int(final * 100_000)), int(final * 10_000_000) % 10
    if ruled < len(RULES):
        rules = [FailureRule(**rule) for rule in RULES[ruled] if "command" in code or "exit_code" not in rule]
        failure, attempts = replace(failure, rules=tuple(rules)), 3 if attempts in (0, 1) else attempts
    lot = int(final * 10_000_000) if plan.placed else 0
    return Template(
        name="history",
        queue=("", QUEUE)[lot % 2],
        params={"n": Param(type="integer", minimum=0)},
        split=BySplit(function="made.up:pieces", args={"n": "${n}"})
        if splits
        else RangeSplit(first=1, last="${n}", size=1),
        split_retry=RetryPolicy(max_attempts=(2, 5, 0)[int(final * 1_000) % 3], initial_interval_ms=50)
        if splits
        else None,
        child=ChildSpec(
            **code,
            needs=((), (ZONE,), (DISK, ZONE))[lot // 2 % 3],
            args=args,
            timeout_ms=60_000 if ruled < len(RULES) else 0,
            retry=RetryPolicy(
                max_attempts=attempts,
                initial_interval_ms=interval,
                reset_on_progress=reset,
                non_retryable=_final(final) if ruled >= len(RULES) else (),
            ),
        ),
        failure=replace(failure, on=RUN_ALL) if int(final * 1_000) % 3 == 0 else failure,
        reduce=_reduce(int(final * 10_000), ((), (DISK,))[lot // 6 % 2]) if REDUCED in plan.kinds else None,
        **(_limits(int(final * 100_000_000)) if LIMITED in plan.kinds else {}),
    )


def _limits(lot: int) -> dict[str, Any]:
    """Give some templates limits; most deadlines come while there is trouble."""
    return {
        "deadline_ms": (0, 0, 2_000, 5_000, 20_000)[lot % 5],
        "parallelism": (0, 0, 1, 3)[lot // 5 % 4],
        "rate": (None, None, Rate(2, 1_000), Rate(20, 1_000))[lot // 20 % 4],
    }


def _final(lot: float) -> tuple[str, ...]:
    """Name errors that are not tried again."""
    return ("ExecutorDied",) if lot < 0.2 else FINAL[int(lot * 100) % len(FINAL)]


def _code(lot: int) -> dict[str, Any]:
    """Give one of three templates a program in place of the handler, and others a use of executors."""
    program = Command(words=["made-up", "${child.index}"], exit_codes={"3": "fail"})
    if lot % 3 == 0:
        return {"command": program}
    uses = {"concurrency": 3, "setup": "made.up:warm", "reuse": lot % 5} if lot % 4 == 0 else {}
    return {"handler": "made.up:handler", **uses}


def _reduce(lot: int, needs: tuple[Pair, ...]) -> ChildSpec | None:
    """Give two of three templates a reduce, which is tried again in its own way."""
    if lot % 3 == 0:
        return None
    retry = RetryPolicy(max_attempts=(1, 3, 0)[lot // 3 % 3], initial_interval_ms=50, reset_on_progress=lot % 4 == 0)
    return ChildSpec(handler="made.up:total", retry=retry, needs=needs)


def times(rng: Random) -> tuple[str, str]:
    """Make up when a schedule fires, and what becomes of times that meet a task or come late."""
    every = rng.choice((1, 1, 2, 3, 5))
    interval = {"every": f"{every}s", "phase": f"{rng.randrange(every)}s"}
    spec = {"interval": [interval]} | ({"jitter": "800ms"} if rng.random() < 0.3 else {})
    policy = SchedulePolicy(
        overlap=rng.choice(list(Overlap)),
        catchup_window_ms=rng.choice((10_000, 3_600_000)),
        max_catchup_runs=rng.choice((0, 1, 2, 5)),
        limited_runs=rng.choice((0, 0, 0, 2, 5)),
        pause_on_failure=rng.random() < 0.3,
    )
    return json.dumps(spec), policy.to_json()
