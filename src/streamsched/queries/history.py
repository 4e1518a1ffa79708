"""The history of an installation: replayed, or folded into a new view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from streamsched.audit import replay
from streamsched.domain.errors import InputError
from streamsched.domain.events import Event
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.port import Record, TopicPartition
from streamsched.view.view import open_view


def ends_of(
    site: Installation, task_id: str | None, *, position: int | None, time: int | None
) -> Mapping[TopicPartition, int]:
    """Return where the history of a task or schedule, or the whole one, ends."""
    places = site.topics.journal() if task_id is None else [site.topics.journal_of(task_id)]
    return replay.ends_of(site.log, places, position=position, time=time)


def history(
    site: Installation,
    task_id: str | None,
    *,
    position: int | None,
    time: int | None,
    since: Callable[[int], int] = lambda partition: 0,
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Yield the records of the journal, merged by time, each with its event or with why it is not one.

    Of each partition from the offset on that ``since`` returns for it.
    """
    ends = ends_of(site, task_id, position=position, time=time)
    begin = {place: since(place.partition) for place in ends}
    return replay.history(site.log, site.topics, site.codec, ends, task_id, begin)


def templates_of(event: object) -> Iterator[str]:
    """Yield the names of the templates that an event holds, those in its parts too."""
    if isinstance(event, tuple):
        for part in event:
            yield from templates_of(part)
    elif isinstance(event, Struct):
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if name == "template_name":
                yield value
            else:
                yield from templates_of(value)


def rebuild(site: Installation, folder: Path, task_id: str | None, *, position: int | None, time: int | None) -> int:
    """Fold the history into a new view in ``folder``; returns the number of events. Raise InputError."""
    ends = ends_of(site, task_id, position=position, time=time)
    view = open_view(folder, site.journal_id, site.codec)
    try:
        events = replay.rebuild(view, site.log, site.topics, site.codec, ends, task_id)
    finally:
        written = view.close()
    if not written:
        raise InputError("its disk is full", "make room, or give a folder elsewhere", source=str(folder))
    return events
