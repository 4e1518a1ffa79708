"""``/v1/history``: the events of all tasks and schedules; a client that was cut off reads on from where it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response

from streamsched.audit.document import entry
from streamsched.http import positions
from streamsched.http.call import Call, everywhere, lines
from streamsched.http.inputs import WholeHistoryQuery, offset_or_time
from streamsched.queries.history import history

READERS: Final = 2
"""Of the whole history at once: one may hold thousands of records of each partition, to merge them by time."""


async def whole(call: Call) -> Response:
    """Answer with the events of everything, merged by time, one a line."""
    call.user.need_all()
    query: WholeHistoryQuery = call.query
    offset, moment = offset_or_time(query.until, "until")
    since = {} if query.since is None else positions.read(query.since, "since")
    call.ending.enter_context(call.shared.streams.histories.one_more(READERS))
    position = await call.desk.read(everywhere)

    async def found() -> AsyncIterator[dict[str, Any]]:
        read = call.desk.each(
            lambda site: history(site, None, position=offset, time=moment, since=lambda part: since.get(part, 0))
        )
        async with aclosing(read):
            async for record, event in read:
                yield entry(record, event)
        call.ending.close()  # before the last line is sent: who has it may ask again

    return lines(found(), position)
