"""What is told of one task beside its status: why, failures, the grid of its children, results, history, times."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Final

from starlette.responses import Response

from streamsched.audit.document import entry
from streamsched.domain.errors import InputError, NoSuchTask
from streamsched.domain.events import Event, OfSchedule, OfTask
from streamsched.domain.task import Task
from streamsched.http import positions
from streamsched.http.access import User
from streamsched.http.call import BYTES, Call, EventResponse, answer, home, lines, mark, unchanged
from streamsched.http.inputs import EventQuery, GridQuery, HistoryQuery, ResultQuery, WhyQuery, offset_or_time
from streamsched.http.schedules import schedule_position
from streamsched.http.session import FollowingSession
from streamsched.http.tasks import TOGETHER, answer_of, asked_again, found_by, seen, settled, task_position
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.port import Record
from streamsched.queries.attempts import Sought, sought
from streamsched.queries.attempts import attempts as find_attempts
from streamsched.queries.certificate import check
from streamsched.queries.children_page import Part, part_of
from streamsched.queries.documents import Document
from streamsched.queries.durations import durations_of, stragglers_of
from streamsched.queries.failures import FailureStatus, failures_of
from streamsched.queries.grid import grid_of
from streamsched.queries.history import history, templates_of
from streamsched.queries.layers import TaskLayers, attempts_of
from streamsched.queries.past import PastReader
from streamsched.queries.presence import running_children
from streamsched.queries.report import report_of
from streamsched.queries.slices import folded_up_to
from streamsched.queries.status import Result
from streamsched.queries.tasks import Tasks, predicate_of
from streamsched.queries.why import Answer, child_named
from streamsched.queries.why_schedule import WhySchedule
from streamsched.queries.why_tick import WhyNoTask

READ_S: Final = 40.0
"""How long the journal is read for a report: clients wait for a minute."""
WHY_S: Final = 10.0
"""How long it is read for what became of a time of a schedule; then the answer says that it was not."""
READERS: Final = 8
"""Of attempts at once: each takes its turns of the one thread that reads."""
CHILDREN: Final = "Streamsched-Children"
INCOMPLETE: Final = "Streamsched-Incomplete"
"""Set where a layer is still being read: those that were not read are 0, and the next request goes on."""


class Failures(Document, frozen=True):
    """The failures of a task by their causes, those with the most attempts first.

    ``order`` is their fingerprints, the first that came first: the byte of a cause in the grid is its place there.
    """

    items: tuple[FailureStatus, ...]
    order: tuple[str, ...]


def failures_told(task: Task) -> Failures:
    """Return the failures of a task."""
    return Failures(tuple(failures_of(task)), tuple(task.failures))


async def why(call: Call) -> Response:
    """Answer why a task, or a child, does not run."""
    query: WhyQuery = call.query

    def look(session: FollowingSession) -> tuple[Answer | WhySchedule | WhyNoTask, str]:
        try:
            seen(session, call.id, call.user)
        except NoSuchTask:  # it may be a schedule, or a time of one for which no task was made
            if call.user.within:
                raise
        return Tasks(session).why_known(call.id, query.child, session.presence), home(session, call.id)

    async def ask() -> tuple[Answer, str]:
        found, position = await call.desk.read(look)
        if isinstance(found, Answer):
            return found, position
        await _read_for(call, found.read, WHY_S)
        return await call.desk.read(lambda session: Tasks(session).why_read(call.id, found, session.presence)), position

    found, position = await asked_again(call, ask)
    return answer(found, position=position)


async def _read_for(call: Call, read: Callable[[Installation], Iterator[None]], seconds: float) -> None:
    """Read from the log aside, for so long at most; others read in between."""
    deadline = time.monotonic() + seconds
    async with aclosing(call.desk.each(read)) as steps:
        async for _ in steps:
            if time.monotonic() > deadline:
                break


async def failures(call: Call) -> Response:
    """Answer with the groups of a task's failures."""

    def look(session: FollowingSession) -> tuple[Failures, str, str]:
        task = seen(session, call.id, call.user)
        return failures_told(task), home(session, call.id), session.tag(call.id)

    found, position, etag = await found_by(call, look)
    return unchanged(call, position, etag) or answer(found, position=position, etag=etag)


async def grid(call: Call) -> Response:
    """Answer with one byte for each child: its state, or what the layer says."""
    query: GridQuery = call.query
    if query.worker and query.layer != "worker":
        raise InputError("workers are named for their layer alone", "ask for layer=worker", source="worker")

    def look(session: FollowingSession) -> tuple[bytes, int, str, str]:
        task = seen(session, call.id, call.user)
        named = session.presence.named(task)
        told = ",".join(map(str, sorted(named))) if query.layer == "state" else "\n".join((query.layer, *query.worker))
        found = b""
        if query.layer == "state":
            found = grid_of(task, named, query.first, query.to)
        elif query.layer == "attempts":
            found = attempts_of(task, query.first, query.to)
        return found, task.work, home(session, call.id), session.tag(call.id, told.encode())

    found, children, position, etag = await found_by(call, look)
    complete = True
    response = unchanged(call, position, etag)
    if response is None:
        layer = query.layer
        if layer != "state" and layer != "attempts":

            def cut(layers: TaskLayers, task: Task) -> bytes:
                return layers.of(task, layer, query.first, query.to, query.worker)

            found, complete = await call.shared.layers.read(call.desk, call.id, cut)
        response = Response(found, media_type=BYTES)
    response.headers[CHILDREN] = str(children)
    if not complete:
        response.headers[INCOMPLETE] = "1"
    mark(response, position, etag if complete else "")
    return response


async def workers(call: Call) -> Response:
    """Answer with the workers that ran the children last."""
    position = await task_position(call)
    found, complete = await call.shared.layers.read(call.desk, call.id, TaskLayers.workers)
    response = answer(found, position=position)
    if not complete:
        response.headers[INCOMPLETE] = "1"
    return response


async def stragglers(call: Call) -> Response:
    """Answer with the children that have run longest."""

    def look(session: FollowingSession, task: Task) -> Document:
        now, view = session.site.clock.now(), session.follower.view
        return stragglers_of(view, task, running_children(task, session.presence.beats()), now)

    return await answer_of(call, look)


async def durations(call: Call) -> Response:
    """Answer with how long children took."""
    return await answer_of(call, lambda session, task: durations_of(session.follower.view, task))


async def lanes(call: Call) -> Response:
    """Answer with what each worker did lately."""
    return await answer_of(call, lambda session, task: call.shared.endings.lanes(task, session.site.clock.now()))


async def attempts(call: Call) -> Response:
    """Answer with the attempts at a child, the latest first, one a line; an empty line while it still looks."""

    def begin(session: FollowingSession) -> tuple[Sought, str]:
        task = seen(session, call.id, call.user)
        return sought(session, task, child_named(task, call.child)), home(session, call.id)

    call.ending.enter_context(call.shared.streams.attempts.one_more(READERS))
    child, position = await found_by(call, begin)

    async def found() -> AsyncIterator[object]:
        async with aclosing(call.desk.each(lambda site: find_attempts(site, child))) as read:
            async for attempt in read:
                yield attempt
        call.ending.close()  # before the last line is sent: who has it may ask again

    return lines(found(), position)


async def results(call: Call) -> Response:
    """Answer with the results of the children that succeeded, one a line."""
    query: ResultQuery = call.query
    where = None if query.where is None else predicate_of(query.where)

    def look(session: FollowingSession, first: int) -> Part:
        task = seen(session, call.id, call.user)
        return part_of(session.follower.view, task, first, TOGETHER, state="succeeded", where=where)

    async def found() -> AsyncIterator[Result]:
        following: int | None = 0
        while following is not None:
            part = await call.desk.read(partial(look, first=following))
            for child in part.found:
                yield Result(child.child, child.result)
            following = part.following

    return lines(found(), await task_position(call))


async def result(call: Call) -> Response:
    """Answer with what the reduce has returned."""

    def look(session: FollowingSession, _: Task) -> Result:
        found = Tasks(session).reduced(call.id)
        return Result(found.child, found.result)

    return await answer_of(call, look)


async def task_history(call: Call) -> Response:
    """Answer with the events of a task, one a line."""
    return await _history(call, await task_position(call), OfTask)


async def schedule_history(call: Call) -> Response:
    """Answer with the events of a schedule, one a line."""
    return await _history(call, await schedule_position(call), OfSchedule)


async def _history(call: Call, position: str, kind: type[Event]) -> Response:
    query: HistoryQuery = call.query
    offset, moment = offset_or_time(query.until, "until")

    def read(site: Installation) -> Iterator[tuple[Record, Event | Undecodable]]:
        found = history(site, call.id, position=offset, time=moment, since=lambda _: query.since)
        return (each for each in found if _is_shown(each[1], kind, call.user))

    found = call.desk.each(read)
    return lines((entry(record, event) async for record, event in found), position)


def _is_shown(event: Event | Undecodable, kind: type[Event], user: User) -> bool:
    """Return whether an event is of this kind, and of templates that the user may see, all of them.

    A task and a schedule may have the same id, and an id may have been tried with another's template. A backfill names
    the templates that its schedule had before.
    """
    if isinstance(event, Undecodable):
        return not user.within
    return isinstance(event, kind) and (not user.within or all(map(user.sees, templates_of(event))))


async def report(call: Call) -> Response:
    """Answer with all that a page of a task tells. Its past is read from the log first, a bit at a time."""

    def begin(session: FollowingSession) -> tuple[Task, int]:
        return seen(session, call.id, call.user), folded_up_to(session, call.id)

    task, end = await found_by(call, begin)
    reader = PastReader(task, lambda event: _is_shown(event, OfTask, call.user), end)
    await _read_for(call, reader.read, READ_S)

    def look(session: FollowingSession, _: Task) -> Document:
        return report_of(session, call.id, session.presence, reader.past())

    return await answer_of(call, look)


async def certificate(call: Call) -> Response:
    """Answer with the certificate of a task that has ended."""
    await settled(call)

    def look(session: FollowingSession) -> tuple[Task, int, int]:
        task = seen(session, call.id, call.user)
        check(task)
        partition, changed = session.changed(call.id)
        return task, changed, session.follower.view.positions.get(partition, 0)

    found = await call.shared.certificates.read(call.desk.settings, *await call.desk.read(look))
    return answer(found, position=f"{found.partition}:{found.position}")


async def events(call: Call) -> Response:
    """Answer with the stream of a task."""
    after = after_of(call)
    await task_position(call)
    return EventResponse(call, await call.shared.streams.of_task(call.desk, call.id, after))


def after_of(call: Call) -> dict[int, int] | None:
    """Return the position from which a reader of a stream goes on."""
    query: EventQuery = call.query
    last = call.header("last-event-id")
    if last:
        return positions.read(last, "Last-Event-ID")
    return None if query.after is None else positions.read(query.after, "after")
