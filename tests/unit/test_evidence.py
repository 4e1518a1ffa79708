"""The checker of the fault tests and of chaos: it names each promise that a history breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streamsched.domain import events as e
from streamsched.domain.ids import fencing_token
from tests.support.evidence import Job, Step, Violation, read_notes, violations

JOB = Job("job", children=2, steps=3)
FIRST, SECOND = fencing_token(1, 1), fencing_token(1, 2)
History = tuple[list[Any], list[Step]]


def checkpoint(child: int, token: int, sequence: int, step: int) -> e.ChildCheckpointed:
    return e.ChildCheckpointed(b"", 0, "w", "job", child, 1, 1, token, sequence, f'{{"step":{step}}}', 0, None)


def completed(child: int, token: int) -> e.ChildCompleted:
    return e.ChildCompleted(b"", 0, "w", "job", child, 1, 1, token, 0, 2, None)


def good() -> History:
    """Child 1 was taken over after its first step was durable; the second step of its first owner was not."""
    events = [
        e.TaskPlanned(b"", 0, "s", "job", 0, 2, "{}", "", 0),
        checkpoint(0, FIRST, 1, 1), checkpoint(1, FIRST, 1, 1), completed(0, FIRST),
        checkpoint(1, SECOND, 2, 2), completed(1, SECOND),
        e.TaskSucceeded(b"", 0, "s", "job", 0, "", 0),
    ]  # fmt: skip
    made = [(0, FIRST, 0), (0, FIRST, 1), (0, FIRST, 2), (1, FIRST, 0), (1, FIRST, 1), (1, SECOND, 1), (1, SECOND, 2)]
    return events, [Step(child, step, 1, token, 0.0) for child, token, step in made]


def found(history: History, job: Job = JOB) -> set[str]:
    return {violation.promise for violation in violations(*history, job)}


def failed(child: int) -> e.ChildFailed:
    return e.ChildFailed(
        b"", 0, "w", "job", child, 1, 1, FIRST, 0, 2, None, "error", "ExecutorDied", "killed", "", True, None
    )  # fmt: skip


def test_a_good_history_has_no_violation() -> None:
    assert found(good()) == set()


TAMPER: dict[str, tuple[Callable[[list[Any], list[Step]], object], str]] = {
    "no plan": (lambda events, _: events.pop(0), "lost"),
    "two plans": (lambda events, _: events.insert(1, events[0]), "doubled"),
    "no end": (lambda events, _: events.pop(), "lost"),
    "two ends": (lambda events, _: events.append(events[-1]), "doubled"),
    "an outcome is missing": (lambda events, _: events.pop(3), "lost"),
    "an outcome came twice": (lambda events, _: events.insert(4, events[3]), "doubled"),
    "a sequence came twice": (lambda events, _: events.insert(2, events[1]), "sequence"),
    "a zombie's checkpoint landed": (lambda events, _: events.insert(5, checkpoint(1, FIRST, 3, 2)), "late"),
    "a zombie's outcome landed": (lambda events, _: events.insert(6, completed(1, FIRST)), "late"),
    "an attempt was burnt": (lambda events, _: events.insert(3, failed(0)), "burnt"),
    "a later attempt": (lambda events, _: events.__setitem__(3, structs.replace(events[3], attempt=2)), "burnt"),
    "a step was never made": (lambda _, notes: notes.pop(2), "lost"),
    "a durable step was made again": (lambda _, notes: notes.insert(5, replace(notes[5], step=0)), "repeated"),
    "a step was passed over": (lambda _, notes: notes.pop(5), "repeated"),
    "a child never ran": (lambda _, notes: notes.__delitem__(slice(0, 3)), "lost"),
}


@pytest.mark.parametrize("name", TAMPER)
def test_each_broken_promise_is_named(name: str) -> None:
    events, notes = good()
    tamper, promise = TAMPER[name]
    tamper(events, notes)
    assert promise in found((events, notes))


def test_a_killed_executor_may_cost_one_attempt() -> None:
    events, notes = good()
    again = structs.replace(completed(0, fencing_token(2, 1)), ordinal=2, attempt=2)
    events[3:4] = [failed(0), again]
    assert found((events, notes)) == {"burnt"}
    assert found((events, notes), replace(JOB, killed=1)) == set()


def test_a_line_that_was_cut_short_is_no_note(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("0 0 1 7 1.500\n0 1 1")
    assert read_notes(tmp_path) == [Step(0, 0, 1, 7, 1.5)]


def test_a_violation_is_told_in_words() -> None:
    events, notes = good()
    events.pop(3)
    assert Violation("lost", "job child 0 completed 0 times: []") in violations(events, notes, JOB)
