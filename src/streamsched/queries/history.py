"""The history of an installation: replayed, or folded into a new view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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
    site: Installation, task_id: str | None, *, position: int | None, time: int | None
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Yield the records of the journal, merged by time, each with its event or with why it is not one."""
    ends = ends_of(site, task_id, position=position, time=time)
    return replay.history(site.log, site.topics, site.codec, ends, task_id)


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
