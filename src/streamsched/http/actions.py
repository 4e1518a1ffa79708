"""What operators do to a task: cancel, pause, redrive it, change its limits. Each goes through ``commands``."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from streamsched.commands.cancel import cancel
from streamsched.commands.hold import check, pause, resume
from streamsched.commands.limits import set_limits
from streamsched.commands.redrive import preview, redrive
from streamsched.domain.errors import InputError
from streamsched.domain.task import Task
from streamsched.http import positions
from streamsched.http.call import Call, answer, home, written_up_to
from streamsched.http.inputs import Action, LimitsPatch, Pause, Redrive
from streamsched.http.problems import StalePosition
from streamsched.http.session import FollowingSession, lasting
from streamsched.http.tasks import seen, settled
from streamsched.queries.documents import Document
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks

Change = Callable[[FollowingSession], TaskStatus]


class ActionPreview(Document, frozen=True):
    """The children that an action would concern: those that have not ended, by their states."""

    task_id: str
    children: int
    states: dict[str, int]


async def post_cancel(call: Call) -> Response:
    """Request the cancellation of a task; 200 where it has ended already."""
    return await _cancelled(call, kill=False)


async def post_terminate(call: Call) -> Response:
    """Request the cancellation of a task without a moment for its children."""
    return await _cancelled(call, kill=True)


async def post_pause(call: Call) -> Response:
    """Hold a task."""
    body: Pause = call.body
    if body.dry_run:
        return await _previewed(call, lambda session: check(session, call.id, pausing=True))
    return await _changed(call, lambda session: pause(session, call.id, now=body.now, reason=body.reason))


async def post_resume(call: Call) -> Response:
    """End the hold of a task."""
    body: Action = call.body
    if body.dry_run:
        return await _previewed(call, lambda session: check(session, call.id, pausing=False))
    return await _changed(call, lambda session: resume(session, call.id, reason=body.reason))


async def patch(call: Call) -> Response:
    """Replace limits of a task, with If-Match where it has not changed since."""
    body: LimitsPatch = call.body
    limits, match = body.named(), call.header("if-match")
    known = None if match is None else positions.of_tag(match)

    def change(session: FollowingSession) -> TaskStatus:
        if known is not None:
            _check_unchanged(session, call.id, *known)
        return set_limits(session, call.id, limits, body.reason)

    return await _changed(call, change)


def _check_unchanged(session: FollowingSession, task_id: str, since: positions.Positions, digest: str) -> None:
    """Raise StalePosition where a task has changed since a position, or may have, unless its status is as it was."""
    status = Tasks(session).status(task_id, session.presence)
    partition, position = session.changed(task_id)
    if position > since.get(partition, 0) and positions.digest(lasting(status)) != digest:
        reason = f"task {task_id!r} has changed, or may have, up to position {partition}:{position}"
        raise StalePosition(reason, "look at it again, then decide")


async def post_redrive(call: Call) -> Response:
    """Run children of a task again that has ended, or count them."""
    body: Redrive = call.body
    if body.dry_run and body.restart:
        raise InputError("nothing runs in a dry run", "leave restart out", field="restart")
    await settled(call)
    if body.dry_run:

        def look(session: FollowingSession) -> tuple[Document, str]:
            seen(session, call.id, call.user)
            return preview(session, call.id, where=body.where, everything=body.all), home(session, call.id)

        found, position = await call.desk.fresh(look)
        return answer(found, position=position)

    def run(session: FollowingSession) -> TaskStatus:
        done = redrive(
            session, call.id, where=body.where, everything=body.all, restart=body.restart, reason=body.reason
        )
        return done.status

    return await _changed(call, run)


async def _cancelled(call: Call, *, kill: bool) -> Response:
    body: Action = call.body
    if body.dry_run:
        return await _previewed(call, lambda session: Tasks(session).find(call.id))

    def change(session: FollowingSession) -> TaskStatus:
        return cancel(session, call.id, body.reason, kill=kill)

    return await _changed(call, change, accepted=True)


async def _previewed(call: Call, find: Callable[[FollowingSession], Task]) -> Response:
    """Count the children of a task that the user may see, and that may be acted on."""

    def look(session: FollowingSession) -> tuple[ActionPreview, str]:
        seen(session, call.id, call.user)
        counts = status_of(find(session)).children
        states = {name: getattr(counts, name) for name in ("waiting", "queued", "running") if getattr(counts, name)}
        return ActionPreview(call.id, sum(states.values()), states), home(session, call.id)

    found, position = await call.desk.fresh(look)
    return answer(found, position=position)


async def _changed(call: Call, change: Change, *, accepted: bool = False) -> Response:
    """Change a task that the user may see; ``accepted``: it takes effect later, unless the task has ended."""

    def write(session: FollowingSession) -> tuple[TaskStatus, str]:
        seen(session, call.id, call.user)
        return change(session), written_up_to(session, call.id)

    status, position = await call.desk.write(write, call.user.name)
    return answer(status, 202 if accepted and not status.done else 200, position=position)
