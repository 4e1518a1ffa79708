"""``/v1/tasks``: look at tasks and submit them."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace as replace_filter
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

from starlette.responses import Response

from streamsched.commands.plan import outline
from streamsched.commands.request import Submitted, TaskConflict, submit, want
from streamsched.domain.errors import InputError, NoSuchTask
from streamsched.domain.labels import read_labels
from streamsched.domain.placeholders import encode as write_json
from streamsched.domain.placeholders import kept
from streamsched.domain.task import Task
from streamsched.domain.template import Template
from streamsched.domain.tick import schedule_of
from streamsched.http import cursors, positions
from streamsched.http.access import User
from streamsched.http.call import Call, answer, everywhere, home, unchanged, written, written_up_to
from streamsched.http.encoding import encode
from streamsched.http.inputs import ChildQuery, CountQuery, Submission, TaskQuery, time_of
from streamsched.http.session import FollowingSession, Told
from streamsched.queries.arguments import Arguments, arguments_of
from streamsched.queries.children_page import ChildCount, ChildPage, Part, count_of, part_of
from streamsched.queries.grid import STATES as CHILD_STATES
from streamsched.queries.listing import Filter, TaskPage
from streamsched.queries.status import ChildStatus, TaskStatus, child_of, status_of
from streamsched.queries.tasks import END_S, Tasks, predicate_of
from streamsched.queries.why import child_named

LONGEST_WAIT_S: Final = 60.0
"""How long ``Prefer: wait`` may wait."""
SEARCH_S: Final = 2.0
"""How long children are searched for a page; then it has those that were found, and a next."""
KEY_LIMIT: Final = 200
"""Characters of an ``Idempotency-Key``."""
TOGETHER: Final = 100
"""Entries of a page that are read at once: each may have a quarter of a megabyte."""
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page with so much in it ends, and has a next."""
T = TypeVar("T")


async def page(call: Call) -> Response:
    """Answer with a page of tasks, the newest first."""
    query: TaskQuery = call.query
    filters = {"state": query.state, "template": query.template, "label": sorted(query.label), "since": query.since}
    after = cursors.read(query.cursor, "tasks", filters)
    wanted = Filter(
        state=query.state, template=query.template, labels=read_labels(query.label, "label="), after=after,
        since=time_of(query.since, "since"), within=call.user.within,
    )  # fmt: skip
    found: list[TaskStatus] = []
    size, position, deadline = 0, "", time.monotonic() + SEARCH_S
    while True:
        part = replace_filter(wanted, limit=min(TOGETHER, query.limit - len(found)), after=after)
        told, position = await call.desk.read(partial(_part, wanted=part))
        found += told.items
        size += sum(len(encode(each.params)) for each in told.items)
        after = told.next
        if after is None or len(found) == query.limit or size >= PAGE_BYTES or time.monotonic() >= deadline:
            break
    page_of_them = TaskPage(tuple(found), cursors.write(after, "tasks", filters))
    return answer(page_of_them, position=position)


def _part(session: FollowingSession, wanted: Filter) -> tuple[TaskPage, str]:
    order, now = session.order, session.site.clock.now()
    assert order is not None, "the server is ready"  # noqa: S101 - else the desk has refused the call
    return order.page(wanted, lambda task: status_of(task, now)), everywhere(session)


async def status(call: Call) -> Response:
    """Answer with the status of a task; with ``Prefer: wait=30`` once it has changed, or has ended."""
    seconds, seen = _wait(call.header("prefer")), call.header("if-none-match")
    deadline = time.monotonic() + (seconds or 0)
    at_least = {} if call.query.at_least is None else positions.read(call.query.at_least, "at_least")
    while True:
        told = await _told(call, at_least, is_waiting=bool(seconds))
        is_news = told.status.done if seen is None else not positions.matches(seen, told.etag)
        left = deadline - time.monotonic()
        if is_news or left <= 0 or call.shared.draining():
            break
        await call.desk.moved(min(left, 1.0))
        at_least = call.desk.positions
    response = unchanged(call, told.position, told.etag)
    response = response or written(told.data, position=told.position, etag=told.etag)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
    return response


async def _told(call: Call, at_least: positions.Positions, *, is_waiting: bool) -> Told:
    """Return the status of a task that the user may see: as others were told just now, or worked out.

    Who waits for news is not told a late one: it may lack what was folded, and nothing wakes him for that.
    """
    told = call.desk.known(call.id, at_least, late=not is_waiting)
    with call.user.sight(f"task {call.id!r}"):
        if told is None:
            told = await found_by(call, lambda session: session.status(call.id, at_least))
        call.user.need_sight(told.status.template)
    return told


async def found_by(call: Call, look: Callable[[FollowingSession], T]) -> T:
    """Ask the view, and where it has no such task, once more when what the log has now was folded, if it answers."""
    return await asked_again(call, lambda: call.desk.read(look))


async def asked_again(call: Call, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, and where there is no such task, once more when what the log has now was folded, if it answers."""
    try:
        return await ask()
    except NoSuchTask:
        if call.desk.trouble:
            raise
    await call.desk.catch_up({call.id, schedule_of(call.id) or call.id})
    return await ask()


def seen(session: FollowingSession, task_id: str, user: User) -> Task:
    """Return a task that the user may see. Raise NoSuchTask."""
    with user.sight(f"task {task_id!r}"):
        task = Tasks(session).find(task_id)
        user.need_sight(task.request.template_name)
    return task


async def answer_of(call: Call, look: Callable[[FollowingSession, Task], object]) -> Response:
    """Answer with a document that is read of a task from the view. Raise NoSuchTask where the user may not see it."""

    def both(session: FollowingSession) -> tuple[object, str]:
        return look(session, seen(session, call.id, call.user)), home(session, call.id)

    found, position = await found_by(call, both)
    return answer(found, position=position)


async def task_position(call: Call) -> str:
    """Return up to where the partition of a task was folded. Raise NoSuchTask where the user may not see it."""

    def look(session: FollowingSession) -> str:
        seen(session, call.id, call.user)
        return home(session, call.id)

    return await found_by(call, look)


async def settled(call: Call) -> None:
    """Wait for the terminal event of a task whose ending is certain, so that its command need not."""
    deadline = time.monotonic() + END_S

    def look(session: FollowingSession) -> bool:
        task = seen(session, call.id, call.user)
        return task.verdict is task.phase

    await call.desk.catch_up({call.id})
    settled = await call.desk.read(look)
    while not settled and time.monotonic() < deadline:
        await call.desk.moved(0.5)
        settled = await call.desk.read(look)


async def post(call: Call) -> Response:
    """Request a task, with ``Idempotency-Key`` once for each key."""
    digest = digest_of_key(call)
    return await _submitted(call, None if digest is None else str(uuid.UUID(bytes=digest[:16], version=5)))


def digest_of_key(call: Call, *within: str) -> bytes | None:
    """Return a digest of the user, ``within`` and the ``Idempotency-Key``; None without one. Raise InputError."""
    key = call.header("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_LIMIT:
        reason = "the key is empty or too long"
        raise InputError(reason, f"give 1 to {KEY_LIMIT} characters", source="Idempotency-Key")
    return sha256("\0".join((call.user.name, *within, key)).encode(errors="replace")).digest()


async def put(call: Call) -> Response:
    """Request a task under an id: 201 first, 200 the same again."""
    return await _submitted(call, call.id)


async def _submitted(call: Call, task_id: str | None) -> Response:
    body: Submission = call.body
    template = template_of(body.template) if body.canonical else body.template
    wanted = want(template, body.params, task_id=task_id, priority=body.priority, labels=body.labels)
    call.user.need_template(wanted.prepared.template.name)
    if body.dry_run:
        return answer(outline(wanted.prepared))

    def request(session: FollowingSession) -> tuple[Submitted, str]:
        try:
            made = submit(session, wanted, "http")
        except TaskConflict:
            if task_id is None or _sees(call.user, session, task_id):
                raise
            raise TaskConflict(f"task id {task_id!r} is taken", "choose another id") from None
        return made, written_up_to(session, made.task_id)

    made, position = await call.desk.write(request, call.user.name)
    response = answer(made, 201 if made.first else 200, position=position)
    response.headers["Location"] = f"/v1/tasks/{made.task_id}"
    return response


def template_of(body: dict[str, Any]) -> Template:
    """Read a template as events hold it. Raise TemplateError."""
    return Template.from_json(write_json(kept(body)))


def _sees(user: User, session: FollowingSession, task_id: str) -> bool:
    with suppress(NoSuchTask):
        return not user.within or seen(session, task_id, user) is not None
    return False


async def children(call: Call) -> Response:
    """Answer with a page of a task's children, in order."""
    query: ChildQuery = call.query
    told = {"task": call.id, "state": query.state, "where": query.where}
    at = int(cursors.read(query.cursor, "children", told) or 0)
    if query.state is not None and query.state not in CHILD_STATES:
        raise InputError(f"unknown state {query.state!r}", f"choose one of {', '.join(CHILD_STATES)}", source="state")
    where = None if query.where is None else predicate_of(query.where)
    found: list[ChildStatus] = []
    following: int | None = at
    deadline = time.monotonic() + SEARCH_S
    position = ""

    def look(session: FollowingSession) -> tuple[Part, str]:
        task = seen(session, call.id, call.user)
        part = part_of(
            session.follower.view, task, following or 0, min(TOGETHER, query.limit - len(found)),
            state=query.state, where=where, named=session.presence.named(task),
        )  # fmt: skip
        return part, home(session, call.id)

    size = 0
    while following is not None and len(found) < query.limit:
        part, position = await found_by(call, look)
        found += part.found
        following = part.following
        size += sum(len(encode(each.result)) for each in part.found)
        if time.monotonic() >= deadline or size >= PAGE_BYTES:
            break
    cursor = cursors.write(None if following is None else str(following), "children", told)
    return answer(ChildPage(tuple(found), cursor), position=position)


async def count(call: Call) -> Response:
    """Answer with how many children meet a selector."""
    query: CountQuery = call.query
    told, where = {"task": call.id, "where": query.where}, predicate_of(query.where)
    following: int | None = int(cursors.read(query.cursor, "count", told) or 0)
    states: Counter[str] = Counter()
    deadline = time.monotonic() + SEARCH_S
    position = ""

    def look(session: FollowingSession) -> tuple[Counter[str], int | None, str]:
        task = seen(session, call.id, call.user)
        found = count_of(session.follower.view, task, following or 0, where, session.presence.named(task))
        return *found, home(session, call.id)

    while following is not None:
        found, following, position = await found_by(call, look)
        states += found
        if time.monotonic() >= deadline:
            break
    cursor = cursors.write(None if following is None else str(following), "count", told)
    return answer(ChildCount(states.total(), dict(sorted(states.items())), cursor), position=position)


async def child(call: Call) -> Response:
    """Answer with one child."""

    def look(session: FollowingSession, task: Task) -> ChildStatus:
        return child_of(session.follower.view, task, child_named(task, call.child), session.presence.named(task))

    return await answer_of(call, look)


async def arguments(call: Call) -> Response:
    """Answer with what a child is given."""

    def look(session: FollowingSession, task: Task) -> Arguments:
        return arguments_of(session.follower.view, task, child_named(task, call.child))

    return await answer_of(call, look)


def _wait(preference: str | None) -> float | None:
    """Read ``wait=30``; anything else is not obeyed, as RFC 7240 says."""
    for each in (preference or "").split(","):
        name, _, value = each.strip().partition("=")
        if name.lower() == "wait" and value.isdecimal() and len(value) < 6:
            return min(float(value), LONGEST_WAIT_S)
    return None
