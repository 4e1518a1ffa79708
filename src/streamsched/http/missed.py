"""What a reader of a stream has missed since a position, from the journal."""

from __future__ import annotations

from typing import Final

from streamsched.domain.events import Event, OfTask, PartitionReset
from streamsched.http.desk import Desk
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.port import LogError, TopicPartition
from streamsched.log.scan import records

MOST: Final = 20_000
"""Records that are read; of one that has missed more it is said that it has to load all again."""


async def missed(desk: Desk, after: dict[int, int], task_id: str | None) -> list[Event] | None:
    """Return the events from a position up to where the journal was folded, of one task or all; None: too many.

    Raise Behind where the position is ahead of what was folded.
    """
    await desk.reach(after)
    now = desk.positions
    return await desk.look(lambda site: _read(site, after, now, task_id))


def _read(site: Installation, after: dict[int, int], now: dict[int, int], task_id: str | None) -> list[Event] | None:
    topics = site.topics
    places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
    starts = {place: after.get(place.partition, 0) for place in places}
    ends = {place: end for place in places if (end := now.get(place.partition, 0)) > starts[place]}
    starts = {place: starts[place] for place in ends}
    if sum(ends.values()) - sum(starts.values()) > MOST:
        return None
    try:
        if any(starts[place] < first for place, first in site.log.start(list(starts)).items()):
            return None
        return _events(site, starts, ends, task_id)
    except LogError:
        return None


def _events(
    site: Installation, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int], task_id: str | None
) -> list[Event]:
    reader, found = EventReader(site.codec, site.topics), []
    for record in records(site.log, starts, ends, give_up_s=5.0):
        try:
            event = reader.journal(record)
        except Undecodable:
            continue
        if (
            task_id is None
            or isinstance(event, PartitionReset)
            or (isinstance(event, OfTask) and event.task_id == task_id)
        ):
            found.append(event)
    return found
