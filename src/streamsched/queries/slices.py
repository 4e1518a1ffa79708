"""What the journal has of one schedule, read up to where it was folded, a bit at a time: others read in between."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import Final, cast

from streamsched.domain import events as e
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.scan import records
from streamsched.queries.ledger import Book, Tick

LOOK: Final = 256
"""Records between two looks at the clock."""
SLICE_S: Final = 0.1
"""How long others wait for it."""
STILL_S: Final = 10.0
"""How long it waits for a log that does not answer: what was folded can be read."""


def folded_up_to(session: Session, key: str) -> int:
    """Return up to where the partition of a task or a schedule was folded."""
    return session.follower.view.positions.get(session.site.topics.journal_of(key).partition, 0)


def slices_of(site: Installation, schedule_id: str, end: int) -> Generator[e.OfSchedule | None, None, None]:
    """Yield the events of a schedule before an offset, and None where others may read meanwhile.

    Up to there the journal was folded: so no open transaction holds this up, and a record that is no event was passed
    over by the fold, too. Raise LogError.
    """
    home, key = site.topics.journal_of(schedule_id), schedule_id.encode()
    reader, pause_at = EventReader(site.codec, site.topics), time.monotonic() + SLICE_S
    with closing(records(site.log, site.log.start([home]), {home: end}, give_up_s=STILL_S)) as found:
        for number, record in enumerate(found, 1):
            if record.key == key:
                try:
                    event = reader.journal(record)
                except Undecodable:
                    continue
                if type(event) in e.OF_SCHEDULE:
                    yield cast(e.OfSchedule, event)
            if number % LOOK == 0 and time.monotonic() > pause_at:
                yield None
                pause_at = time.monotonic() + SLICE_S


def fill(book: Book, site: Installation, schedule_id: str, end: int) -> Generator[None, None, None]:
    """Enter the events of a schedule before an offset into its ledger, and stop now and then. Raise LogError."""
    with closing(slices_of(site, schedule_id, end)) as found:
        for event in found:
            if event is None:
                yield
            else:
                book.take(event)


class DecidedTimes:
    """The decided times of a schedule in [since, until), once they were read."""

    def __init__(self, schedule_id: str, since: int, until: int, end: int) -> None:
        self._schedule_id = schedule_id
        self._since, self._until = since, until
        self._end = end
        self.ticks: tuple[Tick, ...] | None = None
        """None: they were not read up to the end."""

    def read(self, site: Installation) -> Generator[None, None, None]:
        """Read them, and stop now and then. Raise LogError."""
        book = Book()
        yield from fill(book, site, self._schedule_id, self._end)
        self.ticks = tuple(tick for tick in book.ticks(self._since, self._until) if tick.kind != "backfill")
