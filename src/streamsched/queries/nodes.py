"""The nodes that run, from their beats."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from streamsched.audit.replay import merged
from streamsched.domain.events import NodeBeat
from streamsched.domain.places import place_of
from streamsched.domain.routing import queue_text
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.port import TopicPartition
from streamsched.queries.documents import Document

FORGOTTEN_MS: Final = 300_000
"""Age of the last beat from which a dead node is no longer listed."""


class RunningDocument(Document, frozen=True):
    """A child that runs on a node; progress that JSON cannot hold is None."""

    task_id: str
    child: int
    attempt: int
    started_at: int
    done: float | None
    total: float | None


class NodeDocument(Document, frozen=True):
    """A node by its latest beat, of the time ``at`` by its own clock. Milliseconds; ``age_ms`` is the age of the beat.

    Of a worker that takes what there is, queues and labels are ``*``.
    """

    node_id: str
    name: str
    role: str
    version: str
    state: str
    slots: int
    free: int
    pending: int
    loop_age: int
    age_ms: int
    partitions: tuple[int, ...]
    modules: tuple[str, ...] | None
    running: tuple[RunningDocument, ...]
    queues: tuple[str, ...]
    labels: dict[str, str]
    at: int


def nodes(site: Installation, now: int) -> list[tuple[NodeBeat, int]]:
    """Return the latest beat of each node that has not left, with the age of its record in milliseconds.

    The record's time is used because a node's own clock may be wrong.
    """
    beats: dict[bytes, tuple[NodeBeat, int]] = {}
    event_reader = EventReader(site.codec, site.topics)
    for record in merged(site.log, site.log.end([TopicPartition(site.topics.workers, 0)])):
        try:
            beat = event_reader.beat(record)
        except Undecodable:
            continue
        key = record.key or b""
        beats.pop(key, None)
        if beat is not None:
            beats[key] = (beat, record.timestamp)
    return listed(beats.values(), now)


def listed(beats: Iterable[tuple[NodeBeat, int]], now: int) -> list[tuple[NodeBeat, int]]:
    """Return the beats that are not forgotten, by role and name, with their ages; given is when each was written."""
    present = [(beat, now - at) for beat, at in beats if now - at < FORGOTTEN_MS]
    return sorted(present, key=lambda found: (found[0].role, found[0].name))


def node_document(beat: NodeBeat, age: int) -> NodeDocument:
    """Return the document of one node of ``nodes``."""
    told = {name: getattr(beat, name) for name in NodeDocument.__struct_fields__ if hasattr(beat, name)}
    running = tuple(
        RunningDocument(it.task_id, it.child, it.attempt, it.started_at, _finite(it.done), _finite(it.total))
        for it in beat.running
    )
    place = place_of(beat)
    queues = tuple(map(queue_text, place.queues or ("",))) if beat.role == "worker" else ()
    told |= {"queues": queues, "labels": dict(place.labels)}
    return NodeDocument(**{**told, "age_ms": age, "running": running})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
