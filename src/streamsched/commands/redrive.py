"""Redrive a task that has ended, or only the children that a selector means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from streamsched.commands.effect import overtaken, take_effect
from streamsched.domain.bounds import GRAMMAR
from streamsched.domain.errors import Conflict
from streamsched.domain.events import Selector, TaskRedriven
from streamsched.domain.phases import Phase
from streamsched.domain.redriving import is_redone
from streamsched.domain.selector import Predicate, parse
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.queries.documents import Document
from streamsched.queries.status import CHILD_STATES, TaskStatus, details_of, status_of
from streamsched.queries.tasks import Tasks


class NotRedrivable(Conflict):
    """The task still runs, has nothing to do again, or was changed by another command first. Nothing took effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """A redriven task."""

    status: TaskStatus


class RedrivePreview(Document, frozen=True):
    """What a redrive would do: how many work children would run again, and of which states they are."""

    task_id: str
    where: str | None
    children: int
    states: dict[str, int]


def redrive(
    session: Session, task_id: str, *, where: str | None, everything: bool, restart: bool, reason: str
) -> Redriven:
    """Redrive a task. Raise NoSuchTask, NotRedrivable, SelectorError."""
    selector = None if where is None else parse(where)
    task = Tasks(session).ended(task_id)
    _check(task, everything=everything)
    home = session.site.topics.journal_of(task_id)
    if selector is not None:
        if next(_meant(session, task, selector, everything=everything), None) is None:
            raise NotRedrivable(*_none_meant(task, everything=everything))
        selector = replace(selector, seen=session.follower.view.positions.get(home.partition, 0))
    number, scope = task.redrive + 1, "all" if everything else "failed"
    event = session.me.sign(
        TaskRedriven, task_id=task_id, redrive=number, scope=scope, restart=restart, origin="", reason=reason,
        selector=selector,
    )  # fmt: skip
    task, did = take_effect(session, task, event)
    if not did:
        raise NotRedrivable(*overtaken(task_id))
    return Redriven(status=status_of(task))


def preview(session: Session, task_id: str, *, where: str | None, everything: bool) -> RedrivePreview:
    """Count the children that a redrive would run again. Raise NoSuchTask, NotRedrivable, SelectorError."""
    selector = None if where is None else parse(where)
    task = Tasks(session).ended(task_id)
    _check(task, everything=everything)
    states = Counter(
        CHILD_STATES[task.state_of(child)] for child in _meant(session, task, selector, everything=everything)
    )
    return RedrivePreview(task_id=task_id, where=where, children=states.total(), states=dict(sorted(states.items())))


def _meant(session: Session, task: Task, selector: Selector | None, *, everything: bool) -> Iterator[int]:
    """Yield the work children of an ended task that would run again."""
    predicate = Predicate(selector or Selector(GRAMMAR, ()))
    for indexes in predicate.indexes(task.work):
        span = range(indexes.start + task.split, indexes.stop + task.split)
        children = (child for child in span if is_redone(task, child, everything=everything))
        for child, known in details_of(session.follower.view, task, children, span.start):
            if predicate.of(task, child, known):
                yield child


def _none_meant(task: Task, *, everything: bool) -> tuple[str, str]:
    kinds = "has ended" if everything else "did not succeed"
    return (
        f"no child of task {task.task_id!r} that {kinds} meets the selector",
        f"look with 'streamsched children {task.task_id} --where SELECTOR'"
        + ("" if everything else "; those that succeeded run again only with --all"),
    )


def _check(task: Task, *, everything: bool) -> None:
    if not task.terminal:
        raise NotRedrivable(
            f"task {task.task_id!r} is {task.phase}: only a task that has ended can be redriven",
            "wait for its end, or cancel it first; where all of its children have ended, a scheduler has to run",
        )
    if task.phase is Phase.REFUSED:
        raise NotRedrivable(
            f"task {task.task_id!r} was refused: {task.reason}", "correct it and submit it under another --task-id"
        )
    if not (everything or task.left_undone):
        raise NotRedrivable(f"task {task.task_id!r} has succeeded: nothing is left to do", "do it all again with --all")
