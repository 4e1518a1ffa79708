"""A client's way that reads and writes the log itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsched.commands.request import Submitted, Wanted, submit_many
from streamsched.installation.session import Session

# What only some commands need is imported where it is used: submit and status are as fast as what they import.
if TYPE_CHECKING:
    from streamsched.commands.backfills import BackfillStep, WantedBackfill
    from streamsched.commands.redrive import Redriven, RedrivePreview
    from streamsched.commands.schedules import Changed, ScheduleChanges
    from streamsched.commands.set_aside import Decided
    from streamsched.domain.events import Event
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record
    from streamsched.queries.arguments import Arguments
    from streamsched.queries.attempts import Attempt
    from streamsched.queries.certificate import Certificate
    from streamsched.queries.dead_letters import DeadLetterDocument, WholeDeadLetterDocument
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.ledger import Tick, TickFilter
    from streamsched.queries.listing import TaskFilter, TaskPage
    from streamsched.queries.logs import LogLine
    from streamsched.queries.nodes import NodeDocument
    from streamsched.queries.presence import Presence
    from streamsched.queries.report import Report
    from streamsched.queries.scaling import Scaling
    from streamsched.queries.schedule_status import ScheduleStatus
    from streamsched.queries.schedules import Schedules
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.queries.tasks import Tasks
    from streamsched.queries.why import Answer


class Direct:
    """All that a client does, on the log of a session. ``Client`` documents each method."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def close(self) -> None:
        """Close the view and the log."""
        if "presence" in self.__dict__:
            self.presence.close()
        self.session.close()

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded log."""
        return self.session.settings.embedded

    @cached_property
    def presence(self) -> Presence:
        """The nodes that were seen lately."""
        from streamsched.queries.presence import Presence

        return Presence(self.session.site)

    @property
    def tasks(self) -> Tasks:
        """Queries about tasks."""
        from streamsched.queries.tasks import Tasks

        return Tasks(self.session)

    # --- tasks ------------------------------------------------------------------------------------------------------

    def submit(self, wanted: Sequence[Wanted], origin: str) -> list[Submitted]:
        """Request tasks."""
        return submit_many(self.session, wanted, origin)

    def status(self, task_id: str) -> TaskStatus:
        """Return the status of a task."""
        return self.tasks.status(task_id, self.presence)

    def why(self, task_id: str, child: str | None) -> Answer:
        """Return why a task or a child does not run."""
        return self.tasks.why(task_id, child, self.presence)

    def missing(self, task_id: str | None) -> str:
        """Return what is missing to do any work, or to run this task."""
        return self.presence.missing() if task_id is None else self.tasks.missing(task_id, self.presence)

    def halted(self, task_id: str) -> str:
        """Return why a task's partition stands still."""
        return self.tasks.halted(task_id)

    def all(self) -> list[TaskStatus]:
        """Return all tasks, the newest last."""
        return self.tasks.all()

    def task_ids(self) -> list[str]:
        """Return the ids of all tasks."""
        return self.tasks.ids()

    def page(self, wanted: TaskFilter) -> TaskPage:
        """Return a page of tasks, the newest first."""
        from streamsched.queries.listing import Filter

        return self.tasks.page(Filter(**wanted))

    def follow(self, task_id: str, interval: float) -> Iterator[TaskStatus]:
        """Yield the status of a task until it has ended."""
        return self.tasks.follow(task_id, interval)

    def follow_active(self, interval: float) -> Iterator[list[TaskStatus]]:
        """Yield the statuses of active tasks, for ever."""
        return self.tasks.follow_active(interval)

    def wait(self, task_id: str, timeout: float | None) -> TaskStatus:
        """Wait until a task has ended."""
        return self.tasks.wait(task_id, timeout, lambda: self.presence)

    def children(self, task_id: str, state: str | None, where: str | None) -> Iterator[ChildStatus]:
        """Yield children of a task in order."""
        return self.tasks.children(task_id, state, lambda: self.presence, where)

    def child(self, task_id: str, child: str) -> ChildStatus:
        """Return one child of a task."""
        return self.tasks.child(task_id, child, self.presence)

    def arguments(self, task_id: str, child: str) -> Arguments:
        """Return what a child is given."""
        return self.tasks.arguments(task_id, child)

    def attempts(self, task_id: str, child: str) -> Iterator[Attempt]:
        """Return the attempts at a child, the latest first."""
        return self.tasks.attempts(task_id, child)

    def failures(self, task_id: str) -> list[FailureStatus]:
        """Return the failures of a task by their causes."""
        return self.tasks.failures(task_id)

    def result(self, task_id: str) -> Any:
        """Return what the reduce of a task has returned."""
        return self.tasks.reduced(task_id).result

    def cancel(self, task_id: str, reason: str, *, kill: bool) -> TaskStatus:
        """Request the cancellation of a task."""
        from streamsched.commands.cancel import cancel

        return cancel(self.session, task_id, reason, kill=kill)

    def pause(self, task_id: str, *, now: bool, reason: str) -> TaskStatus:
        """Hold a task."""
        from streamsched.commands.hold import pause

        return pause(self.session, task_id, now=now, reason=reason)

    def resume(self, task_id: str, *, reason: str) -> TaskStatus:
        """End the hold of a task."""
        from streamsched.commands.hold import resume

        return resume(self.session, task_id, reason=reason)

    def set_limits(self, task_id: str, limits: Mapping[str, object], reason: str) -> TaskStatus:
        """Replace limits of a task."""
        from streamsched.commands.limits import set_limits

        return set_limits(self.session, task_id, limits, reason)

    def redrive(self, task_id: str, *, where: str | None, everything: bool, restart: bool, reason: str) -> Redriven:
        """Run children of a task again."""
        from streamsched.commands.redrive import redrive

        return redrive(self.session, task_id, where=where, everything=everything, restart=restart, reason=reason)

    def preview_redrive(self, task_id: str, *, where: str | None, everything: bool) -> RedrivePreview:
        """Count the children that a redrive would run again."""
        from streamsched.commands.redrive import preview

        return preview(self.session, task_id, where=where, everything=everything)

    # --- the installation -------------------------------------------------------------------------------------------

    def certify(self, task_id: str) -> Certificate:
        """Certify a task."""
        from streamsched.queries.certificate import certify

        return certify(self.session, task_id)

    def history(
        self, task_id: str | None, position: int | None, time: int | None
    ) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Yield the records of the journal, with their events."""
        from streamsched.queries.history import history

        return history(self.session.site, task_id, position=position, time=time)

    def rebuild(self, folder: Path, task_id: str | None, position: int | None, time: int | None) -> int:
        """Fold the history into a new view."""
        from streamsched.queries.history import rebuild

        return rebuild(self.session.site, folder, task_id, position=position, time=time)

    def dead_letters(self, topic: str | None, since: int | None) -> Iterator[DeadLetterDocument]:
        """Yield dead letters, the oldest first."""
        from streamsched.queries.dead_letters import dead_letter_document, dead_letters, topic_named

        named = None if topic is None else topic_named(self.session.site.topics, topic)
        return map(dead_letter_document, dead_letters(self.session.site, topic=named, since=since))

    def dead_letter(self, number: int) -> WholeDeadLetterDocument | None:
        """Return a dead letter, whole."""
        from streamsched.queries.dead_letters import whole_dead_letter

        return whole_dead_letter(self.session.site, number)

    def set_aside(self, partition: int, offset: int, reason: str, topic: str) -> Decided:
        """Set aside a record of an unknown schema."""
        from streamsched.commands.set_aside import set_aside

        return set_aside(self.session, partition, offset, reason, topic=topic)

    def nodes(self) -> list[NodeDocument]:
        """Return the nodes that run."""
        from streamsched.queries.nodes import node_document, nodes

        return [node_document(*told) for told in nodes(self.session.site, self.session.me.clock.now())]

    def log_parts(self, task_id: str, child: str | None, *, follow: bool) -> Iterator[list[LogLine]]:
        """Yield what handlers have printed, some lines at a time; an empty part where it is time to wait."""
        from streamsched.queries.logs import log_parts

        return log_parts(self.session, task_id, child, follow=follow)

    def report(self, task_id: str) -> Report:
        """Return all that a page of a task tells."""
        from streamsched.queries.past import past_of
        from streamsched.queries.report import report_of

        past = past_of(self.session.site, self.tasks.find(task_id))
        return report_of(self.session, task_id, self.presence, past)

    def scaling(self, target_s: float, queue: str | None) -> Scaling:
        """Return how many slots the work asks for."""
        from streamsched.queries.scaling import scaling_of

        return scaling_of(self.session, target_s, queue)

    # --- schedules --------------------------------------------------------------------------------------------------

    @property
    def schedules(self) -> Schedules:
        """Queries about schedules."""
        from streamsched.queries.schedules import Schedules

        return Schedules(self.session)

    @property
    def changes(self) -> ScheduleChanges:
        """Changes of schedules."""
        from streamsched.commands.schedules import ScheduleChanges

        return ScheduleChanges(self.session)

    def create_schedule(self, wanted: WantedSchedule) -> Changed:
        """Create a schedule."""
        self.session.make()
        return self.changes.create(wanted)

    def update_schedule(self, wanted: WantedSchedule) -> Changed:
        """Change a schedule."""
        return self.changes.update(wanted)

    def pause_schedule(self, schedule_id: str, note: str, *, paused: bool) -> Changed:
        """Pause or resume a schedule."""
        return self.changes.pause(schedule_id, note, paused=paused)

    def trigger_schedule(self, schedule_id: str) -> Changed:
        """Request a task of a schedule now."""
        return self.changes.trigger(schedule_id)

    def delete_schedule(self, schedule_id: str, note: str) -> Changed:
        """Delete a schedule."""
        return self.changes.delete(schedule_id, note)

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Make tasks of past times."""
        return self.changes.backfill(schedule_id, wanted)

    def preview_backfill(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[BackfillStep]:
        """Yield what a backfill would do."""
        return self.changes.preview(schedule_id, wanted)

    def cancel_backfill(self, schedule_id: str, note: str) -> Changed:
        """Cancel a backfill."""
        return self.changes.cancel_backfill(schedule_id, note)

    def schedule(self, schedule_id: str) -> ScheduleStatus:
        """Return the status of a schedule."""
        return self.schedules.status_of(self.schedules.need(schedule_id))

    def all_schedules(self) -> list[ScheduleStatus]:
        """Return all schedules by their ids."""
        return self.schedules.all()

    def ticks(self, schedule_id: str, wanted: TickFilter) -> Iterator[Tick]:
        """Yield the decided times of a schedule."""
        return self.schedules.ticks(schedule_id, **wanted)
