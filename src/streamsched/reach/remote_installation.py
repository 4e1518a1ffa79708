"""An installation as a whole, and its history, through the HTTP API of a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING
from urllib.parse import quote

from streamsched.domain.errors import NoSuchTask
from streamsched.domain.ids import is_task_id
from streamsched.domain.routing import queue_text
from streamsched.queries.documents import rfc3339
from streamsched.reach.asking import Page, Server
from streamsched.reach.problems import ServerRefused, ServerUnreachable
from streamsched.reach.remote_schedules import address_of_schedule
from streamsched.reach.wire import AGAIN_S, Query

# Few commands need these: none waits for what it does not use.
if TYPE_CHECKING:
    from streamsched.commands.set_aside import Decided
    from streamsched.domain.events import Event
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record
    from streamsched.queries.certificate import Certificate
    from streamsched.queries.dead_letters import DeadLetterDocument, WholeDeadLetterDocument
    from streamsched.queries.logs import LogLine
    from streamsched.queries.nodes import NodeDocument
    from streamsched.queries.report import Report
    from streamsched.queries.scaling import Scaling


class RemoteInstallation:
    """What a client asks about an installation as a whole, through the HTTP API."""

    _server: Server

    def nodes(self) -> list[NodeDocument]:
        """Return the nodes that run."""
        from streamsched.queries.nodes import NodeDocument

        return list(self._server.get("/v1/nodes", Page[NodeDocument]).items)

    def scaling(self, target_s: float, queue: str | None) -> Scaling:
        """Return how many slots the work asks for."""
        from streamsched.queries.scaling import Scaling

        query = [("target", target_s), ("queue", None if queue is None else queue_text(queue))]
        return self._server.get("/v1/scaling", Scaling, query)

    def history(
        self, task_id: str | None, position: int | None, time: int | None
    ) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Yield the events of a task or schedule, or of all; of their records only the place is known."""
        until = rfc3339(time) if time is not None else position
        return self._whole_history(until) if task_id is None else self._history(task_id, [("until", until)])

    def certify(self, task_id: str) -> Certificate:
        """Certify a task; the server tells again and again that it is at it."""
        from streamsched.queries.certificate import Certificate

        while True:
            try:
                return self._server.get(address_of_task(task_id, "/certificate"), Certificate)
            except ServerRefused as error:
                if error.code_told != "certificate-not-ready":
                    raise
            sleep(AGAIN_S)

    def report(self, task_id: str) -> Report:
        """Return all that a page of a task tells."""
        from streamsched.queries.report import Report

        return self._server.get(address_of_task(task_id, "/report"), Report)

    def rebuild(self, folder: Path, task_id: str | None, position: int | None, time: int | None) -> int:
        """Refuse."""
        raise self._server.refuse("a view")

    def dead_letters(self, topic: str | None, since: int | None) -> Iterator[DeadLetterDocument]:
        """Yield dead letters, the oldest first."""
        from streamsched.queries.dead_letters import DeadLetterDocument

        query = [("topic", topic), ("since", None if since is None else rfc3339(since))]
        return self._server.entries("/v1/dead-letters", Page[DeadLetterDocument], query, fresh=False)

    def dead_letter(self, number: int) -> WholeDeadLetterDocument | None:
        """Return a dead letter, whole."""
        from streamsched.queries.dead_letters import WholeDeadLetterDocument

        try:
            return self._server.get(f"/v1/dead-letters/{number}", WholeDeadLetterDocument, fresh=False)
        except ServerRefused as error:
            if error.code_told != "no-such-page":
                raise
            return None

    def set_aside(self, partition: int, offset: int, reason: str, topic: str) -> Decided:
        """Set aside a record of an unknown schema."""
        from streamsched.commands.set_aside import Decided

        body = {"topic": topic, "partition": partition, "offset": offset, "reason": reason}
        return self._server.send("POST", "/v1/dead-letters/set-aside", Decided, body)

    def log_parts(self, task_id: str, child: str | None, *, follow: bool) -> Iterator[list[LogLine]]:
        """Yield what handlers have printed, line by line; an empty part where there is nothing yet."""
        from streamsched.queries.logs import LogLine

        query = [("child", child), ("follow", "true" if follow else None)]
        for line in self._server.lines(address_of_task(task_id, "/logs"), query, LogLine):
            yield [] if line is None else [line]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _whole_history(self, until: object) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Read on from where it broke off, as long as each answer has something new."""
        since: dict[int, int] = {}
        while True:
            seen = ",".join(f"{partition}:{offset}" for partition, offset in since.items())
            before = dict(since)
            try:
                for record, event in self._server.events("/v1/history", [("since", seen or None), ("until", until)]):
                    since[record.partition] = record.offset + 1
                    yield record, event
            except ServerUnreachable:
                if since == before:
                    raise
            else:
                return

    def _history(self, name: str, query: Query) -> Iterator[tuple[Record, Event | Undecodable]]:
        begun = False
        try:
            for each in self._server.events(address_of_task(name, "/history"), query):
                begun = True
                yield each
        except NoSuchTask:
            if begun:
                raise
            yield from self._server.events(address_of_schedule(name, "/history"), query)


def address_of_task(task_id: str, part: str = "") -> str:
    """Return the address of a task. Raise NoSuchTask for an id that none can have."""
    if not is_task_id(task_id) or "/" in task_id:
        raise NoSuchTask(f"no task can have the id {task_id[:200]!r}; 'streamsched list' shows all")
    return f"/v1/tasks/{quote(task_id, safe='')}{part}"
