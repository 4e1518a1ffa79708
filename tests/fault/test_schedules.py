"""Schedules whose schedulers are killed, in short (``make chaos`` does it for minutes), and the checker that judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streamsched.domain import events as e
from tests.chaos.kinds import KINDS
from tests.chaos.round import play
from tests.chaos.schedules import Kills, kill_schedulers
from tests.support.brokers import broker
from tests.support.ticks import Secondly, tick_violations

SHORT = Kills(seconds=24, every=8, away=12)
SCHEDULE = Secondly("second", latest=2, away=(4_100, 8_100))
"""Made at 0.5 s, and paused at 9.2 s: 1 to 4 fired, 5 and 6 were missed, 7 to 9 fired, 10 was suppressed."""
FIRED = (1, 2, 3, 4, 7, 8, 9)


@pytest.mark.kafka
def test_every_second_has_one_fate_whoever_dies(tmp_path: Path) -> None:
    kind = replace(KINDS["schedule-schedulers-killed"], strike=kill_schedulers(SHORT))
    folder = tmp_path / tmp_path.name.replace("_", "-")  # the prefix of the topics
    result = play(kind, broker(), folder, protocol="classic", seed="short")
    assert result.violations == [], f"see {result.folder}"


def decided(*fates: str, first: int) -> e.TicksDecided:
    """Decide about so many seconds, one run for each."""
    ticks = [e.Ticks("tick", at * 1000, at * 1000, 1, fate) for at, fate in enumerate(fates, start=first)]
    return e.TicksDecided(b"", ticks[-1].last, "s", "second", ticks[-1].last, tuple(ticks), 0)


def task(second: int) -> list[e.Event]:
    """Tell all of the task of one second."""
    task_id = f"second@1970-01-01T00:00:{second:02}Z"
    return [
        e.TaskRequested(b"", 0, "s", task_id, "", "", "", "", 0, "schedule second", None),
        e.TaskPlanned(b"", 0, "s", task_id, 0, 1, "{}", "", 0),
        e.ChildCompleted(b"", 0, "w", task_id, 0, 1, 1, 1, 0, 1, None),
        e.TaskSucceeded(b"", 0, "s", task_id, 0, "", 0),
        e.TickEnded(b"", 0, "s", "second", task_id, "succeeded", 0),
    ]


def good(notes: Path) -> list[Any]:
    """Make a history without a fault."""
    for second in FIRED:
        note(notes, second)
    return [
        e.ScheduleSet(b"", 500, "c", "second", 0, "", "", "", "", "", "", 0),
        decided("fired", first=1), decided("fired", "fired", first=2), decided("fired", first=4),
        e.TicksDecided(b"", 8_200, "s", "second", 8_000, (
            e.Ticks("tick", 5_000, 6_000, 2, "missed"), *decided("fired", "fired", first=7).ticks,
        ), 0),
        decided("fired", first=9),
        e.SchedulePaused(b"", 9_200, "c", "second", True, ""),
        decided("suppressed", first=10),
        decided("suppressed", first=11),
        *(event for second in FIRED for event in task(second)),
    ]  # fmt: skip


def note(notes: Path, second: int) -> None:
    """Have the handler note once more that it ran for a second."""
    (notes / str(second)).mkdir(exist_ok=True)
    with (notes / str(second) / "1.txt").open("a") as file:
        file.write("0 0 1 1 1.000\n")


def found(history: list[Any], notes: Path) -> set[str]:
    return {violation.promise for violation in tick_violations(history, notes, SCHEDULE)}


def of_task(history: list[Any], kind: type[e.Event]) -> int:
    """Find such an event of some task."""
    return next(at for at, event in enumerate(history) if isinstance(event, kind))


@pytest.mark.unit
def test_a_good_history_of_a_schedule_has_no_violation(tmp_path: Path) -> None:
    assert list(tick_violations(good(tmp_path), tmp_path, SCHEDULE)) == []


TAMPER: dict[str, tuple[Callable[[list[Any], Path], object], str]] = {
    "it was never made": (lambda history, _: history.pop(0), "lost"),
    "it was made twice": (lambda history, _: history.insert(0, history[0]), "doubled"),
    "a time has no fate": (lambda history, _: history.pop(1), "lost"),
    "the last times have no fate": (lambda history, _: history.__setitem__(slice(5, 9), [history[6]]), "lost"),
    "a time has two fates": (lambda history, _: history.insert(2, history[1]), "doubled"),
    "a time that it does not have": (lambda history, _: history.insert(1, decided("fired", first=0)), "doubled"),
    "fired though it was missed": (
        lambda history, _: history.__setitem__(4, decided(*["fired"] * 4, first=5)), "policy",
    ),
    "fired one by one though they were missed": (
        lambda history, _: history.__setitem__(slice(4, 5), [decided("fired", first=at) for at in (5, 6, 7, 8)]),
        "policy",
    ),
    "missed though it was in time": (lambda history, _: history.__setitem__(1, decided("missed", first=1)), "policy"),
    "suppressed though it was not paused": (
        lambda history, _: history.__setitem__(5, decided("suppressed", first=9)), "policy",
    ),
    "fired though it was paused": (lambda history, _: history.__setitem__(8, decided("fired", first=11)), "policy"),
    "a fate that is not the last": (lambda history, _: history.__setitem__(1, decided("buffered", first=1)), "policy"),
    "a task was requested twice": (lambda history, _: history.append(task(3)[0]), "doubled"),
    "a task of a time that was missed": (lambda history, _: history.append(task(5)[0]), "doubled"),
    "a time that fired is not a task": (lambda history, _: history.pop(of_task(history, e.TaskRequested)), "lost"),
    "a task has no plan": (lambda history, _: history.pop(of_task(history, e.TaskPlanned)), "lost"),
    "a task has two plans": (lambda history, _: history.append(task(3)[1]), "doubled"),
    "a task has no end": (lambda history, _: history.pop(of_task(history, e.TaskSucceeded)), "lost"),
    "the schedule was not told": (lambda history, _: history.pop(of_task(history, e.TickEnded)), "lost"),
    "the schedule was told twice": (lambda history, _: history.append(task(3)[4]), "doubled"),
    "the schedule was told otherwise": (
        lambda history, _: history.__setitem__(-1, structs.replace(history[-1], outcome="failed")), "lost",
    ),
    "a child ran twice": (lambda _, notes: note(notes, 3), "repeated"),
    "a child never ran": (lambda _, notes: (notes / "3" / "1.txt").unlink(), "lost"),
    "a child ran for a time that was missed": (lambda _, notes: note(notes, 5), "doubled"),
}  # fmt: skip


@pytest.mark.unit
@pytest.mark.parametrize("name", TAMPER)
def test_each_broken_promise_of_a_schedule_is_named(name: str, tmp_path: Path) -> None:
    history = good(tmp_path)
    tamper, promise = TAMPER[name]
    tamper(history, tmp_path)
    assert promise in found(history, tmp_path)
