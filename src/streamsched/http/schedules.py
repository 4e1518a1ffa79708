"""``/v1/schedules``: look at schedules, hold them, and make a task of one now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from starlette.responses import Response

from streamsched.commands.schedules import Changed, ScheduleChanges
from streamsched.domain.errors import InputError, NoSuchSchedule
from streamsched.domain.placeholders import kept
from streamsched.files.schedule_file import WantedSchedule, want_schedule
from streamsched.files.source import Document
from streamsched.http.call import Call, answer, everywhere, home, written_up_to
from streamsched.http.inputs import Note, ScheduleQuery, TickQuery, time_of
from streamsched.http.inputs import Schedule as Body
from streamsched.http.session import FollowingSession
from streamsched.http.tasks import found_by, template_of
from streamsched.installation.site import Installation
from streamsched.queries.documents import Document as Answer
from streamsched.queries.ledger import OUTCOMES, Book, Tick
from streamsched.queries.schedule_status import ScheduleStatus
from streamsched.queries.schedules import Schedules, span_of
from streamsched.queries.slices import fill, folded_up_to
from streamsched.runtime.clock import SystemClock


class ScheduleList(Answer, frozen=True):
    """Schedules by their ids."""

    items: tuple[ScheduleStatus, ...]


class TickList(Answer, frozen=True):
    """Decided times of a schedule in order. ``more``: there are some before them."""

    items: tuple[Tick, ...]
    more: bool


async def all_of_them(call: Call) -> Response:
    """Answer with the schedules."""
    query: ScheduleQuery = call.query

    def look(session: FollowingSession) -> tuple[ScheduleList, str]:
        found = tuple(
            each for each in Schedules(session).all()
            if (query.all or not each.deleted) and call.user.sees(each.template)
        )  # fmt: skip
        return ScheduleList(found), everywhere(session)

    found, position = await call.desk.read(look)
    return answer(found, position=position)


async def one(call: Call) -> Response:
    """Answer with a schedule."""

    def look(session: FollowingSession) -> tuple[ScheduleStatus, str]:
        return seen_schedule(call, session), home(session, call.id)

    found, position = await found_by(call, look)
    return answer(found, position=position)


async def ticks(call: Call) -> Response:
    """Answer with the last decided times of a schedule."""
    query: TickQuery = call.query
    if query.outcome is not None and query.outcome not in OUTCOMES:
        raise InputError(f"unknown outcome {query.outcome!r}", f"choose one of {', '.join(OUTCOMES)}", source="outcome")
    since, until = span_of(time_of(query.since, "since"), time_of(query.until, "until"))
    position = await schedule_position(call)
    end = await call.desk.read(lambda session: folded_up_to(session, call.id))
    items: list[Tick] = []

    def read(site: Installation) -> Iterator[None]:
        book = Book()
        yield from fill(book, site, call.id, end)
        items.extend(book.last(query.limit + 1, since, until, query.outcome))

    async for _ in call.desk.each(read):
        pass
    return answer(TickList(tuple(items[-query.limit :]), len(items) > query.limit), position=position)


async def put(call: Call) -> Response:
    """Make a schedule, or change it; the same content changes nothing. Headers can have it do only one of both."""
    body: Body = call.body
    wanted = _wanted(call.id, body)
    only_make, only_change = (_any(call, name) for name in ("If-None-Match", "If-Match"))
    call.user.need_template(wanted.prepared.template.name)

    def write(session: FollowingSession) -> tuple[Changed, bool, str]:
        changes = ScheduleChanges(session)
        there = Schedules(session).find(call.id)
        if there is not None and not there.deleted:
            seen_schedule(call, session)
        if not only_make and (only_change or (there is not None and not there.deleted)):
            with call.user.sight(f"schedule {call.id!r}"):
                done = changes.update(wanted)
            return done, False, written_up_to(session, call.id)
        return changes.create(wanted), True, written_up_to(session, call.id)

    done, is_new, position = await call.desk.write(write, call.user.name)
    return answer(done, 201 if is_new and done.changed else 200, position=position)


def _any(call: Call, name: str) -> bool:
    """Return whether a header of a condition is there, which can only be ``*``. Raise InputError."""
    given = call.header(name)
    if given not in (None, "*"):
        raise InputError(f"{given[:100]!r} is no condition for a schedule", "send *, or leave it out", source=name)
    return given is not None


async def delete(call: Call) -> Response:
    """Delete a schedule."""
    query: Note = call.query
    return await change_schedule(call, lambda changes: changes.delete(call.id, query.note))


def _wanted(schedule_id: str, body: Body) -> WantedSchedule:
    """Read a schedule that has its template in it: a server reads no files for its clients. Raise InputError."""
    value = kept(body.schedule)
    inner = value.get("schedule", value)
    if isinstance(inner, dict) and isinstance(inner.get("template"), str):
        raise InputError("a path", "give the template itself", source="schedule", field="template")
    if body.canonical and isinstance(inner, dict) and isinstance(inner.get("template"), dict):
        inner["template"] = template_of(inner["template"])
    document = Document("schedule", value, numbered=False)
    return want_schedule(document, body.params, now=SystemClock().now(), schedule_id=schedule_id)


async def post_pause(call: Call) -> Response:
    """Pause a schedule."""
    body: Note = call.body
    return await change_schedule(call, lambda changes: changes.pause(call.id, body.note, paused=True))


async def post_resume(call: Call) -> Response:
    """Resume a schedule."""
    body: Note = call.body
    return await change_schedule(call, lambda changes: changes.pause(call.id, body.note, paused=False))


async def post_trigger(call: Call) -> Response:
    """Request a task of a schedule now."""
    return await change_schedule(call, lambda changes: changes.trigger(call.id))


def seen_schedule(call: Call, session: FollowingSession) -> ScheduleStatus:
    """Return a schedule that the user may see. Raise NoSuchSchedule."""
    schedules = Schedules(session)
    with call.user.sight(f"schedule {call.id!r}"):
        found = schedules.status_of(schedules.need(call.id))
        if not call.user.sees(found.template):
            raise NoSuchSchedule("it is another's")
    return found


async def schedule_position(call: Call) -> str:
    """Return up to where the partition of a schedule was folded. Raise NoSuchSchedule where the user may not see it."""

    def look(session: FollowingSession) -> str:
        seen_schedule(call, session)
        return home(session, call.id)

    return await found_by(call, look)


async def change_schedule(call: Call, change: Callable[[ScheduleChanges], Changed]) -> Response:
    """Change a schedule that the user may see."""

    def write(session: FollowingSession) -> tuple[Changed, str]:
        seen_schedule(call, session)
        return change(ScheduleChanges(session)), written_up_to(session, call.id)

    done, position = await call.desk.write(write, call.user.name)
    return answer(done, position=position)
