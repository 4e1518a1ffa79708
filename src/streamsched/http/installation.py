"""What is told of the installation as a whole: nodes, positions, dead letters, scaling, and if this server is well."""

from __future__ import annotations

import time
from itertools import islice
from typing import Final

from msgspec.structs import replace
from starlette.responses import Response

from streamsched.commands.set_aside import Decided, RecordPlace, check_reason, decide, decision, place_of
from streamsched.domain.routing import read_queue
from streamsched.http import cursors, positions
from streamsched.http.call import Call, EventResponse, answer, everywhere
from streamsched.http.inputs import LetterQuery, ScalingQuery, SetAside, time_of
from streamsched.http.problems import NoSuchPage, NotReady, pages
from streamsched.http.reports import after_of
from streamsched.http.session import FollowingSession
from streamsched.installation.site import Installation
from streamsched.queries.dead_letters import (
    DeadLetterDocument,
    WholeDeadLetterDocument,
    dead_letter_document,
    dead_letters,
    topic_named,
    whole_dead_letter,
)
from streamsched.queries.documents import Document
from streamsched.queries.nodes import NodeDocument, listed, node_document
from streamsched.queries.scaling import Scaling
from streamsched.queries.scaling import scaling as slots_for
from streamsched.queries.system import Folded, System
from streamsched.queries.system import system as system_of
from streamsched.runtime.metrics import MEDIA_TYPE as METRICS
from streamsched.version import __version__

STUCK_S: Final = 60.0
"""Age of the last look at the log from which the server does not live any more: its thread has ended or hangs."""


class Nodes(Document, frozen=True):
    """The nodes that run. ``missing``: which are missing to do any work; empty if none."""

    items: tuple[NodeDocument, ...]
    missing: str


class DeadLetters(Document, frozen=True):
    """Dead letters, the oldest first."""

    items: tuple[DeadLetterDocument, ...]
    next: str | None


class Health(Document, frozen=True):
    """How this server is. ``age_s``: seconds since it could follow the journal and hear nodes; ``trouble``: why not."""

    status: str
    version: str
    age_s: float
    trouble: str
    position: str


async def all_nodes(call: Call) -> Response:
    """Answer with the nodes, as they were heard last."""

    def look(session: FollowingSession) -> tuple[Nodes, str]:
        heard = listed(session.presence.heard(), session.site.clock.now())
        found = tuple(node_document(beat, age) for beat, age in heard)
        return Nodes(found, session.presence.missing()), everywhere(session)

    found, position = await call.desk.read(look)
    if call.user.within:  # what runs there, or may, can be another's
        found = replace(found, items=tuple(replace(node, running=(), modules=None) for node in found.items))
    return answer(found, position=position)


async def system(call: Call) -> Response:
    """Answer with versions, positions and lag; where the log does not answer, with what is known."""
    call.desk.check()
    survey, trouble = await call.desk.surveys.latest(call.desk.trouble)

    def look(session: FollowingSession) -> tuple[System, str]:
        now, follower = session.site.clock.now(), session.follower
        halts = {partition: str(halt) for partition, halt in follower.halts.items()}
        folded = Folded(follower.view.positions, session.times, halts)
        found = system_of(
            call.desk.settings, session.site.topics, session.presence.heard(), folded, survey, trouble, now
        )
        return found, everywhere(session)

    found, position = await call.desk.read(look)
    return answer(found, position=position)


async def letters(call: Call) -> Response:
    """Answer with a page of dead letters."""
    call.user.need_all()
    query: LetterQuery = call.query
    told = {"topic": query.topic, "since": query.since}
    after = int(cursors.read(query.cursor, "dead-letters", told) or -1)
    since = time_of(query.since, "since")

    def read(site: Installation) -> list[DeadLetterDocument]:
        topic = None if query.topic is None else topic_named(site.topics, query.topic)
        found = dead_letters(site, topic=topic, since=since)
        behind = (dead_letter_document(each) for each in found if each.number > after)
        return list(islice(behind, query.limit + 1))

    items = await call.desk.look(read)
    shown = tuple(items[: query.limit])
    following = str(shown[-1].number) if len(items) > len(shown) else None
    return answer(DeadLetters(shown, cursors.write(following, "dead-letters", told)))


async def letter(call: Call) -> Response:
    """Answer with a dead letter and its record."""
    call.user.need_all()
    text = str(call.request.path_params["number"])

    def read(site: Installation) -> WholeDeadLetterDocument | None:
        return whole_dead_letter(site, int(text)) if text.isdecimal() and len(text) < 19 else None

    found = await call.desk.look(read)
    if found is None:
        raise NoSuchPage(f"there is no dead letter {text[:50]!r}", "/v1/dead-letters lists them")
    return answer(found)


async def set_aside(call: Call) -> Response:
    """Set aside a record at which a partition stands still; what lies behind it is read in the thread for that."""
    call.user.need_all()
    body: SetAside = call.body

    def look(site: Installation) -> tuple[RecordPlace, Decided | None]:
        record = place_of(site, body.partition, body.offset, body.topic)
        check_reason(record, body.reason)
        return record, decision(site, record)

    record, found = await call.desk.look(look)
    if found is None:
        found = await call.desk.write(lambda session: decide(session, record, body.reason), call.user.name)
    return answer(found, 200 if found.before else 201)


async def scaling(call: Call) -> Response:
    """Answer with the slots that the work asks for."""
    query: ScalingQuery = call.query
    queue = None if query.queue is None else read_queue(query.queue)

    def look(session: FollowingSession) -> tuple[Scaling, str]:
        tasks = [
            task
            for task in session.follower.view.active.values()
            if call.user.sees(task.request.template_name) and queue in (None, task.template.queue)
        ]
        return slots_for(tasks, session.site.clock.now(), query.target), everywhere(session)

    found, position = await call.desk.read(look)
    return answer(found, position=position)


async def events(call: Call) -> Response:
    """Answer with the stream of all tasks and schedules."""
    return EventResponse(call, await call.shared.streams.of_all(call.desk, call.user.within, after_of(call)))


async def live(call: Call) -> Response:
    """Answer that this process lives: its thread looks at the log, whether that answers or not."""
    desk = call.desk
    if desk.ready and time.monotonic() - desk.looked_at > STUCK_S:
        raise NotReady("the log was not looked at for a minute", "end this process, and start another")
    return answer(_health(call, "live"))


async def ready(call: Call) -> Response:
    """Answer that this server may be asked: the journal was folded, and it does not end."""
    if call.shared.draining():
        raise NotReady("the server ends", "ask another one")
    call.desk.check()
    return answer(_health(call, "ready"))


async def metrics(call: Call) -> Response:
    """Answer with the metrics of this server, as Prometheus reads them."""
    call.user.need_all()
    return Response(await call.shared.measures.text(), media_type=METRICS)


def _health(call: Call, status: str) -> Health:
    desk = call.desk
    return Health(status, __version__, round(desk.age_s, 1), desk.trouble, positions.write(desk.positions))


async def error_page(call: Call) -> Response:
    """Answer what an error means."""
    found = pages().get(call.request.path_params["name"])
    if found is None:
        raise NoSuchPage("there is no such error", "take the type of a problem document")
    return answer(found)
