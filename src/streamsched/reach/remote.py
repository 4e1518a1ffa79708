"""A client's way through the HTTP API of a server. The server has the rules: here are only addresses and waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from streamsched.commands.request import Submitted, TaskConflict, Wanted
from streamsched.domain import values
from streamsched.domain.ids import uuid7
from streamsched.installation.settings import Settings
from streamsched.queries.documents import millis_of, rfc3339
from streamsched.queries.status import ChildStatus, Result, TaskStatus
from streamsched.reach.asking import PAGE, Page, Server
from streamsched.reach.problems import ServerUnreachable
from streamsched.reach.remote_installation import RemoteInstallation, address_of_task
from streamsched.reach.remote_schedules import RemoteSchedules
from streamsched.reach.wire import Reply
from streamsched.runtime.clock import SystemClock

# Few commands need these: none waits for what it does not use.
if TYPE_CHECKING:
    from streamsched.commands.redrive import Redriven, RedrivePreview
    from streamsched.queries.arguments import Arguments
    from streamsched.queries.attempts import Attempt
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.listing import TaskFilter, TaskPage
    from streamsched.queries.why import Answer

LOOK_S: Final = 0.25
"""Between two answers about a task that changes all the time, at least."""
ROUND_S: Final = 1.0
"""Between two looks at all active tasks, at least."""
WAIT_S: Final = 20
"""How long a server is asked to hold an answer back while nothing changes: whole seconds."""
OUTAGE_S: Final = 60.0
"""How long a server may be away while a task of it is followed: it may be restarting."""


class Remote(RemoteInstallation, RemoteSchedules):
    """All that a client does, through the HTTP API. ``Client`` documents each method."""

    embedded: Final = False

    def __init__(self, settings: Settings) -> None:
        self._server = Server(settings)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    # --- look at tasks ----------------------------------------------------------------------------------------------

    def status(self, task_id: str) -> TaskStatus:
        """Return the status of a task."""
        return self._server.get(address_of_task(task_id), TaskStatus)

    def why(self, task_id: str, child: str | None) -> Answer:
        """Return why a task or a child does not run."""
        from streamsched.queries.why import Answer

        return self._server.get(address_of_task(task_id, "/why"), Answer, [("child", child)])

    def missing(self, task_id: str | None) -> str:
        """Return what is missing to do any work, or to run this task."""
        if task_id is None:
            return self._server.get("/v1/nodes", Page[Any]).missing
        answer = self.why(task_id, None)
        return "" if answer.gets_on else answer.sentence

    def halted(self, task_id: str) -> str:
        """Return why a task's partition stands still."""
        answer = self.why(task_id, None)
        return answer.why if answer.cause == "halted" else ""

    def all(self) -> list[TaskStatus]:
        """Return all tasks, the newest last."""
        return sorted(self._tasks(), key=lambda status: status.submitted_at)

    def task_ids(self) -> list[str]:
        """Return the ids of all tasks. The server sends whole statuses: it has no list of ids."""
        return sorted(status.task_id for status in self._tasks())

    def page(self, wanted: TaskFilter) -> TaskPage:
        """Return a page of tasks, the newest first."""
        cursor = wanted.get("after")
        from streamsched.queries.listing import Filter, TaskPage

        own: TaskFilter = {**wanted, "after": None}
        meant = Filter(**own)
        query: list[tuple[str, object]] = [("state", meant.state), ("template", meant.template)]
        query += [("label", f"{name}={value}") for name, value in meant.labels.items()]
        query += [("since", None if meant.since is None else rfc3339(millis_of(meant.since)))]
        found: list[TaskStatus] = []
        while True:
            asked = [*query, ("limit", min(PAGE, meant.limit - len(found))), ("cursor", cursor)]
            page = self._server.get("/v1/tasks", Page[TaskStatus], asked)
            found += page.items
            cursor = page.next
            if cursor is None or len(found) >= meant.limit:
                return TaskPage(tuple(found), cursor)

    def follow(self, task_id: str, interval: float) -> Iterator[TaskStatus]:
        """Yield the status of a task until it has ended: after each change, and each second at least."""
        address, seen, due = address_of_task(task_id), "", 0.0
        status = self.status(task_id)
        while True:
            yield replace(status, why="")  # as clients of the log have it: they ask ``why`` when they want to know
            if status.done:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + max(interval, LOOK_S)
            reply = self._through_outage(address, seen, 1)
            seen = reply.etag
            status = status if reply.status == 304 else self._server.read(reply, TaskStatus)

    def follow_active(self, interval: float) -> Iterator[list[TaskStatus]]:
        """Yield the statuses of active tasks, for ever."""
        from streamsched.queries.listing import ACTIVE

        while True:
            yield sorted(self._tasks(ACTIVE), key=lambda status: status.submitted_at)
            time.sleep(max(interval, ROUND_S))

    def wait(self, task_id: str, timeout: float | None) -> TaskStatus:
        """Wait until a task has ended, even if the server is away for a while."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        status = self.status(task_id)
        while not status.done:
            left = deadline - time.monotonic()
            if left <= 0:
                from streamsched.queries.tasks import late

                raise late(status, timeout or 0.0, self.missing(task_id))
            if left < 1:
                time.sleep(left)
            status = self._server.read(
                self._through_outage(address_of_task(task_id), "", int(min(WAIT_S, left))), TaskStatus
            )
        return replace(status, why="")

    def children(self, task_id: str, state: str | None, where: str | None) -> Iterator[ChildStatus]:
        """Yield children of a task in order."""
        query = [("state", state), ("where", where)]
        return self._server.entries(address_of_task(task_id, "/children"), Page[ChildStatus], query)

    def child(self, task_id: str, child: str) -> ChildStatus:
        """Return one child of a task."""
        return self._server.get(_address_of_child(task_id, child), ChildStatus)

    def arguments(self, task_id: str, child: str) -> Arguments:
        """Return what a child is given."""
        from streamsched.queries.arguments import Arguments

        return self._server.get(_address_of_child(task_id, child, "/arguments"), Arguments)

    def attempts(self, task_id: str, child: str) -> Iterator[Attempt]:
        """Return the attempts at a child, the latest first."""
        from streamsched.queries.attempts import Attempt

        found = self._server.lines(_address_of_child(task_id, child, "/attempts"), (), Attempt)
        return (each for each in found if each is not None)

    def failures(self, task_id: str) -> list[FailureStatus]:
        """Return the failures of a task by their causes."""
        from streamsched.queries.failures import FailureStatus

        return list(self._server.get(address_of_task(task_id, "/failures"), Page[FailureStatus]).items)

    def result(self, task_id: str) -> Any:
        """Return what the reduce of a task has returned."""
        return self._server.get(address_of_task(task_id, "/result"), Result).result

    # --- steer tasks ------------------------------------------------------------------------------------------------

    def submit(self, wanted: Sequence[Wanted], origin: str) -> list[Submitted]:
        """Request tasks, one after the other; their origin is ``http``."""
        made: list[Submitted] = []
        conflict: TaskConflict | None = None
        for each in wanted:
            own = each.task_id is None
            task_id = uuid7(SystemClock().now()) if each.task_id is None else each.task_id
            body = {
                "template": values.read(each.prepared.template_json), "canonical": True,
                "params": values.read(each.prepared.params_json), "priority": each.priority,
                "labels": {label.name: label.value for label in each.labels},
            }  # fmt: skip
            try:
                found = self._server.send("PUT", address_of_task(task_id), Submitted, body)
            except TaskConflict as error:
                conflict = conflict or error
                continue
            made.append(Submitted(task_id, first=found.first or own))  # a request of ours may have been sent again
        if conflict is not None:
            raise conflict
        return made

    def cancel(self, task_id: str, reason: str, *, kill: bool) -> TaskStatus:
        """Request the cancellation of a task."""
        return self._server.send(
            "POST", address_of_task(task_id, "/terminate" if kill else "/cancel"), TaskStatus, {"reason": reason}
        )

    def pause(self, task_id: str, *, now: bool, reason: str) -> TaskStatus:
        """Hold a task."""
        return self._server.send("POST", address_of_task(task_id, "/pause"), TaskStatus, {"now": now, "reason": reason})

    def resume(self, task_id: str, *, reason: str) -> TaskStatus:
        """End the hold of a task."""
        return self._server.send("POST", address_of_task(task_id, "/resume"), TaskStatus, {"reason": reason})

    def set_limits(self, task_id: str, limits: Mapping[str, object], reason: str) -> TaskStatus:
        """Replace limits of a task. They are checked before anything is sent."""
        from streamsched.commands.limits import read_limits

        read_limits(limits, SystemClock().now())
        told = {
            name: rfc3339(millis_of(value)) if isinstance(value, datetime) else value for name, value in limits.items()
        }
        priority = {"priority": told.pop("priority")} if "priority" in told else {}
        return self._server.send(
            "PATCH", address_of_task(task_id), TaskStatus, {"limits": told, **priority, "reason": reason}
        )

    def redrive(self, task_id: str, *, where: str | None, everything: bool, restart: bool, reason: str) -> Redriven:
        """Run children of a task again."""
        from streamsched.commands.redrive import Redriven

        body = {"where": where, "all": everything, "restart": restart, "reason": reason}
        return Redriven(status=self._server.send("POST", address_of_task(task_id, "/redrive"), TaskStatus, body))

    def preview_redrive(self, task_id: str, *, where: str | None, everything: bool) -> RedrivePreview:
        """Count the children that a redrive would run again."""
        from streamsched.commands.redrive import RedrivePreview

        body = {"where": where, "all": everything, "dry_run": True}
        return self._server.send("POST", address_of_task(task_id, "/redrive"), RedrivePreview, body)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _tasks(self, state: str | None = None) -> Iterator[TaskStatus]:
        return self._server.entries("/v1/tasks", Page[TaskStatus], [("state", state)])

    def _through_outage(self, address: str, seen: str, seconds: int) -> Reply:
        """Poll a status; while the server is away, for OUTAGE_S at most, poll again."""
        deadline = time.monotonic() + OUTAGE_S
        while True:
            try:
                return self._server.poll(address, seen, seconds)
            except ServerUnreachable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(ROUND_S)


def _address_of_child(task_id: str, child: str, part: str = "") -> str:
    return address_of_task(task_id, f"/children/{quote(child, safe='')}{part}")
