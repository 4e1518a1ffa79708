"""Queries about schedules, from the view of a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Unpack, cast

from streamsched.audit.replay import folded
from streamsched.domain import events as e
from streamsched.domain.errors import NoSuchSchedule
from streamsched.domain.schedule import Schedule
from streamsched.installation.session import Session
from streamsched.log.journal import JournalReader
from streamsched.queries.documents import Moment, millis_of
from streamsched.queries.ledger import Book, Tick, TickFilter
from streamsched.queries.schedule_status import ScheduleStatus, schedule_status


class Schedules:
    """Answers about schedules."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, schedule_id: str) -> Schedule | None:
        """Return a schedule, a deleted one too; None if this id was never used."""
        home = self._session.site.topics.journal_of(schedule_id)
        return self._session.folded([home]).schedules.get(schedule_id)

    def need(self, schedule_id: str, *, live: bool = False) -> Schedule:
        """Return a schedule; with ``live``, a deleted one counts as missing. Raise NoSuchSchedule."""
        found = self.find(schedule_id)
        if found is None or (live and found.deleted):
            where = self._session.site.settings.where
            raise NoSuchSchedule(f"no schedule {schedule_id!r} in {where}; 'streamsched schedule list' shows all")
        return found

    def status_of(self, schedule: Schedule) -> ScheduleStatus:
        """Return the status of this schedule now."""
        return schedule_status(schedule, self._session.me.clock.now())

    def all(self) -> list[ScheduleStatus]:
        """Return all schedules by their ids, the deleted ones too."""
        schedules = self._session.folded(self._session.site.topics.journal()).schedules
        return [self.status_of(schedules[schedule_id]) for schedule_id in sorted(schedules)]

    def ticks(self, schedule_id: str, **wanted: Unpack[TickFilter]) -> Iterator[Tick]:
        """Yield the decided times of a schedule, as ``Client.ticks`` does. Raise NoSuchSchedule."""
        self.need(schedule_id)
        since, until = span_of(wanted.get("since"), wanted.get("until"))
        book, last, outcome = Book(), wanted.get("last"), wanted.get("outcome")
        for event in self.events(schedule_id):
            book.take(event)
        if last is not None:
            return iter(book.last(last, since, until, outcome))
        return (tick for tick in book.ticks(since, until) if outcome in (None, tick.outcome))

    def events(self, schedule_id: str) -> Iterator[e.OfSchedule]:
        """Yield the events of a schedule from its beginning, from the log alone."""
        site = self._session.site
        key, home = schedule_id.encode(), [site.topics.journal_of(schedule_id)]
        with closing(JournalReader(site.log, site.topics, site.codec)) as reader:
            for record, event in folded(site.log, reader, site.log.start(home), site.log.end(home)):
                if record.key == key and type(event) in e.OF_SCHEDULE:
                    yield cast(e.OfSchedule, event)


def span_of(since: Moment | None, until: Moment | None) -> tuple[int, int]:
    """Return a span of time in milliseconds; None: it is open there."""
    return 0 if since is None else millis_of(since), 1 << 62 if until is None else millis_of(until)
