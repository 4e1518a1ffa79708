"""What is told of a task as it was, where ``as_of`` asks for that: of its own events alone, not of what nodes told."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from streamsched.domain.errors import InputError
from streamsched.domain.task import Task
from streamsched.http import reports, tasks
from streamsched.http.call import BYTES, Call, answer, mark
from streamsched.http.inputs import GridQuery, offset_or_time
from streamsched.http.reports import CHILDREN, failures_told
from streamsched.http.tasks import found_by, seen
from streamsched.queries.grid import grid_of
from streamsched.queries.layers import attempts_of
from streamsched.queries.status import status_of


async def status(call: Call) -> Response:
    """Answer with the status of a task."""
    if call.query.as_of is None:
        return await tasks.status(call)
    return await _past(call, lambda task: answer(status_of(task)))


async def failures(call: Call) -> Response:
    """Answer with the groups of a task's failures."""
    if call.query.as_of is None:
        return await reports.failures(call)
    return await _past(call, lambda task: answer(failures_told(task)))


async def grid(call: Call) -> Response:
    """Answer with one byte for each child."""
    query: GridQuery = call.query
    if query.as_of is None:
        return await reports.grid(call)
    if query.layer not in ("state", "attempts"):
        raise InputError(
            f"the layer {query.layer} is known as of now alone", "ask for the layer state or attempts", source="layer"
        )

    def look(task: Task) -> Response:
        state = query.layer == "state"
        found = grid_of(task, (), query.first, query.to) if state else attempts_of(task, query.first, query.to)
        return Response(found, media_type=BYTES, headers={CHILDREN: str(task.work)})

    return await _past(call, look)


async def _past(call: Call, look: Callable[[Task], Response]) -> Response:
    offset, moment = offset_or_time(call.query.as_of, "as_of")
    task = await found_by(call, lambda session: seen(session, call.id, call.user))
    response, position, time = await call.shared.pasts.read(call.desk, task, offset, moment, look)
    mark(response, position)
    response.headers["Last-Modified"] = time
    return response
