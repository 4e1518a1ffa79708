"""``/v1/schedules/{id}/backfills``: the tasks of past times. What the schedule was then is read from the log aside."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Final

from starlette.responses import Response

from streamsched.commands.backfills import BackfillStep, WantedBackfill, each_part
from streamsched.commands.schedules import Changed, Parts, ScheduleChanges
from streamsched.domain.events import BackfillPart
from streamsched.domain.schedule import ScheduleVersion
from streamsched.http.call import Call, answer, everywhere, lines, written_up_to
from streamsched.http.inputs import Backfill, Note, Stretch, time_of
from streamsched.http.problems import NotReady
from streamsched.http.schedules import change_schedule, seen_schedule
from streamsched.http.session import FollowingSession
from streamsched.http.tasks import TOGETHER, digest_of_key
from streamsched.installation.site import Installation
from streamsched.queries.schedules import Schedules
from streamsched.queries.slices import folded_up_to, slices_of

READ_S: Final = 40.0
"""How long the journal is read for what the schedule was: clients wait for a minute."""
Now = tuple[ScheduleVersion, int, int]
"""The version of a schedule that holds now, the time, and up to where its partition was folded."""


async def post(call: Call) -> Response:
    """Start a backfill, with ``Idempotency-Key`` once for each key."""
    body: Backfill = call.body
    wanted, digest = _wanted(call, body), digest_of_key(call, "backfill", call.id)
    key = None if digest is None else digest[:8]
    parts = await _parts(call, wanted, call.desk.fresh)

    def write(session: FollowingSession) -> tuple[Changed, str]:
        seen_schedule(call, session)
        done = ScheduleChanges(session).backfill(call.id, wanted, parts=parts, key=key)
        return done, written_up_to(session, call.id)

    done, position = await call.desk.write(write, call.user.name)
    return answer(done, 201 if done.changed else 200, position=position)


async def preview(call: Call) -> Response:
    """Answer with what a backfill would do about each time, one a line."""
    wanted = _wanted(call, call.query)
    await call.desk.catch_up({call.id})
    parts = await _parts(call, wanted, call.desk.read)

    def begin(session: FollowingSession) -> tuple[Iterator[BackfillStep], str]:
        seen_schedule(call, session)
        return ScheduleChanges(session).preview(call.id, wanted, parts=parts), everywhere(session)

    steps, position = await call.desk.read(begin)

    async def found() -> AsyncIterator[BackfillStep]:
        while some := await call.desk.read(lambda _: list(islice(steps, TOGETHER))):
            for step in some:
                yield step

    return lines(found(), position)


async def post_cancel(call: Call) -> Response:
    """Cancel the backfill of a schedule; its running tasks continue."""
    body: Note = call.body
    return await change_schedule(call, lambda changes: changes.cancel_backfill(call.id, body.note))


def _wanted(call: Call, asked: Stretch) -> WantedBackfill:
    """Return what is asked for. Raise InputError."""
    start, end = time_of(asked.start, "start"), time_of(asked.end, "end")
    assert start is not None, "a time was given"  # noqa: S101 - its type is that of a time that must be there
    return WantedBackfill(
        start=start, end=end, reprocess=asked.reprocess, newest_first=asked.newest_first,
        as_of_now=asked.as_of == "now", within=call.user.within, max_active=getattr(asked, "max_active", 1),
        note=getattr(asked, "note", ""),
    )  # fmt: skip


async def _parts(
    call: Call, wanted: WantedBackfill, ask: Callable[[Callable[[FollowingSession], Now]], Awaitable[Now]]
) -> Parts:
    """Return what held in the stretch, from what was folded. Raise NoSuchSchedule, InputError, NotReady."""

    def look(session: FollowingSession) -> Now:
        seen_schedule(call, session)
        version = Schedules(session).need(call.id, live=True).now
        return version, session.me.clock.now(), folded_up_to(session, call.id)

    version, now, end = await ask(look)

    def read(site: Installation) -> Iterator[BackfillPart | None]:
        return each_part(version, partial(slices_of, site, call.id, end), wanted, now)

    parts: list[BackfillPart] = []
    deadline = time.monotonic() + READ_S
    async with aclosing(call.desk.each(read)) as found:
        async for part in found:
            if part is not None:
                parts.append(part)
            elif time.monotonic() > deadline:
                reason = f"the history of schedule {call.id!r} was not read within {READ_S:g} s"
                raise NotReady(reason, "ask again when the server has less to do")
    return tuple(parts)
