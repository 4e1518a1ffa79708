"""What the handlers of a task have printed, a line each; followed until the task has ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from starlette.responses import Response

from streamsched.domain.task import Task
from streamsched.http.call import Call, home, lines
from streamsched.http.inputs import LogQuery
from streamsched.http.session import FollowingSession
from streamsched.http.tasks import found_by, seen
from streamsched.installation.site import Installation
from streamsched.queries.logs import LogLine, Logs, check_child
from streamsched.queries.output import child_shown
from streamsched.queries.status import TaskStatus, status_of
from streamsched.worker.voices import is_unmistakable

LOOK_S: Final = 0.5
"""Between two passes over what is followed."""
READERS: Final = 50
"""Of logs at once: each reads the topic by itself."""


async def logs(call: Call) -> Response:
    """Answer with the lines that are there, the last ones with a limit; with ``follow`` those that come too."""
    query: LogQuery = call.query
    child = None if query.child is None else child_shown(query.child, "child")
    if not is_unmistakable(call.id):
        call.user.need_all()
    call.ending.enter_context(call.shared.streams.logs.one_more(READERS))

    def begin(session: FollowingSession) -> tuple[Task, str]:
        found = seen(session, call.id, call.user)
        check_child(found, child)
        return found, home(session, call.id)

    task, position = await found_by(call, begin)
    return lines(_limited(call, task, child, follow=query.follow), position)


async def _limited(call: Call, task: Task, child: str | None, *, follow: bool) -> AsyncIterator[LogLine | None]:
    """Yield all lines; with a limit the last ones of the first pass, and without ``follow`` of all passes."""
    query: LogQuery = call.query
    last: deque[LogLine] | None = None if query.limit is None else deque(maxlen=query.limit)
    async with _opened(call, task, child, follow=follow) as opened:
        async for line in _passes(call, opened):
            if line is None and not follow:
                continue
            if last is None:
                yield line
            elif line is not None:
                last.append(line)
            else:
                for each in last:
                    yield each
                last = None
                yield None
    for each in last or ():
        yield each
    call.ending.close()  # before the last line is sent: who has it may ask again


@asynccontextmanager
async def _opened(call: Call, task: Task, child: str | None, *, follow: bool) -> AsyncIterator[Logs]:
    opened = await call.desk.look(lambda site: Logs(site, task, child, follow=follow))
    try:
        yield opened
    finally:
        call.desk.later(opened.close)


async def _passes(call: Call, opened: Logs) -> AsyncIterator[LogLine | None]:
    """Yield lines, and None between two passes, until the last one, or until the server ends."""
    closing = call.shared.streams.closing

    def status_now(session: FollowingSession) -> TaskStatus:
        return status_of(seen(session, call.id, call.user))

    while True:
        status = await call.desk.read(status_now)
        async for line in call.desk.each(partial(_read, opened, status)):
            yield line
        if opened.over or closing.is_set() or not await call.holds():
            return
        yield None
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await closing.wait()


def _read(opened: Logs, status: TaskStatus, _: Installation) -> Iterator[LogLine]:
    return opened.read(status)
