"""What the checker is shown: the committed records, who committed which place when, what the pools ran."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streamsched.domain.events import Event, RecordSetAside


@dataclass(frozen=True, slots=True)
class Kept:
    """One committed record; ``event`` is None for poison, ``newer`` says that only a newer version can read it."""

    partition: int
    offset: int
    event: Event | None
    newer: bool = False
    timestamp: int = 0
    """When the log wrote it, in milliseconds."""


def decisions(records: list[list[Kept]]) -> dict[tuple[int, int], int]:
    """List which records were set aside, by partition and offset, each with the offset of the first decision."""
    found: dict[tuple[int, int], int] = {}
    for record in (record for partition in records for record in partition):
        if isinstance(record.event, RecordSetAside):
            found.setdefault((record.partition, record.event.offset), record.offset)
    return found


@dataclass(frozen=True, slots=True)
class Submit:
    """What a client was told of its request: whether it made the task, or None for a conflict."""

    task_id: str
    by: str
    first: bool | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader was told of a task that is done, be it before its terminal event."""

    task_id: str
    redrive: int
    state: str
    children: tuple[int, int, int, int]
    """All, succeeded, failed, cancelled."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the log had come: the ends of the journal's partitions."""

    journal: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Committed(Moment):
    """A group's place in one partition as it stands after a transaction.

    ``metadata`` is what the commit says beside the position; ``end`` the end of the partition then; ``hurt`` counts
    the faults that had struck the node; ``fenced`` says whether the writer of the commit before can write no more.
    """

    worker_group: bool
    partition: int
    position: int
    metadata: str
    end: int
    node: str
    hurt: int
    fenced: bool = True


@dataclass(frozen=True, slots=True)
class Lost(Moment):
    """A group lost its place in one partition, and was given it anew from ``position`` on."""

    worker_group: bool
    partition: int
    position: int


@dataclass(frozen=True, slots=True)
class Started(Moment):
    """A pool began to run a job."""

    node: str
    task_id: str
    child: int
    attempt: int
    token: int
    sequence: int
    state: str | None


@dataclass(frozen=True, slots=True)
class Stopped(Moment):
    """A pool told its worker that a job stopped at a safe point; ``units`` are done and told."""

    node: str
    hurt: int
    task_id: str
    child: int
    token: int
    units: int


Evidence = Committed | Lost | Started | Stopped


@dataclass(frozen=True)
class Exhibits:
    """A whole history: the records of each partition in order, and the evidence in the order of its coming."""

    journal: list[list[Kept]]
    work: list[list[Kept]]
    roomy: bool
    """Whether places had room for all that was to be settled: else a checkpoint may not fit into a hand-over."""
    letters: Counter[tuple[bool, int, int]]
    """How many dead letters each record has: whether it is of the work log, partition, offset."""
    evidence: list[Evidence]
    submits: list[Submit]
    told: set[Told]
    claims: dict[str, bool]
    """Of those who asked for a redrive or a backfill: whether they were told that it has begun."""
    torn: set[str]
    """Tasks of which a page was written that cannot be read."""
