"""The installation as a system: versions, positions and lag of each partition, what holds its readers back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from streamsched.domain.events import NodeBeat
from streamsched.installation.settings import Settings
from streamsched.log.port import Hanging, TopicPartition
from streamsched.log.topics import Topics
from streamsched.queries.documents import Document
from streamsched.queries.presence import SEEN_S
from streamsched.queries.survey import Survey
from streamsched.runtime.commit_metadata import decode_metadata, decode_ranges
from streamsched.version import __version__

REPAIR: Final = "streamsched topics repair"
"""The command that ends hanging transactions."""


class SystemNode(Document, frozen=True):
    """A node that beats, and its version."""

    node_id: str
    name: str
    role: str
    state: str
    version: str


class PartitionPosition(Document, frozen=True, kw_only=True):
    """A partition, and how far the group is that works on it; None is what the log has not told.

    ``stable`` is the last stable offset: behind it a transaction is open, and readers wait for its end. ``lag`` counts
    offsets behind the ``committed`` position that are not settled. ``owner`` is the name of the node that owns the
    partition by its beats, ``owner_id`` its id; None: no node that beats does.
    """

    partition: int
    end: int | None
    stable: int | None
    committed: int | None
    lag: int | None
    owner: str | None
    owner_id: str | None


class JournalPosition(PartitionPosition, frozen=True, kw_only=True):
    """A partition of the journal, and how far this server has folded it.

    ``folded_lag`` counts offsets that it has not folded, ``folded_at`` is the time of the last record that it has, in
    milliseconds; None where it has folded none since it began. ``halted`` says why it stands still; empty elsewhere.
    """

    folded: int
    folded_lag: int | None
    folded_at: int | None
    halted: str


class HeldPosition(Document, frozen=True):
    """An open transaction that holds back the readers of a partition at a position, and for how long by now."""

    topic: str
    partition: int
    position: int
    held_ms: int


class HangingTransaction(Document, frozen=True):
    """A transaction that was decided (``commit``, ``abort``; empty: that is not known any more), and never ended.

    A scheduler ends it within seconds, if it may. ``command`` does the same; empty where neither can.
    """

    topic: str
    partition: int
    position: int
    transactional_id: str
    producer_id: int
    decided: str
    detail: str
    command: str


class System(Document, frozen=True, kw_only=True):
    """An installation. ``version`` is that of this server.

    ``trouble`` says why the log could not be asked just now; empty where it was. What it told is ``age_ms`` old; None:
    it has told nothing yet. ``unknown`` names what else it did not tell, and why: a right may be missing.
    """

    where: str
    prefix: str
    version: str
    nodes: tuple[SystemNode, ...]
    journal: tuple[JournalPosition, ...]
    work_log: tuple[PartitionPosition, ...]
    held: tuple[HeldPosition, ...]
    hanging: tuple[HangingTransaction, ...]
    unknown: tuple[str, ...]
    age_ms: int | None
    trouble: str


class Folded(NamedTuple):
    """How far the journal was folded, by partition: positions, times of the last records, and why one stands still."""

    positions: Mapping[int, int]
    times: Mapping[int, int]
    halts: Mapping[int, str]


def system(
    settings: Settings, topics: Topics, heard: Collection[tuple[NodeBeat, int]], folded: Folded, survey: Survey | None,
    trouble: str, now: int,
) -> System:  # fmt: skip
    """Return the document.

    ``heard`` are beats, each with when it came; ``survey`` is what the log has told last, None if it never has.
    """
    beats = [beat for beat, at in heard if at >= now - 1000 * SEEN_S]
    return System(
        where=settings.where,
        prefix=settings.prefix,
        version=__version__,
        nodes=tuple(
            SystemNode(beat.node_id, beat.name, beat.role, beat.state, beat.version)
            for beat in sorted(beats, key=lambda beat: (beat.role, beat.name))
        ),
        journal=tuple(_journal(topics, _owners(beats, "scheduler"), folded, survey)),
        work_log=tuple(_work_log(topics, _owners(beats, "worker"), survey)),
        held=tuple(_held(survey)) if survey else (),
        hanging=tuple(map(_hanging, survey.hanging)) if survey else (),
        unknown=tuple(survey.unknown) if survey else (),
        age_ms=max(0, now - survey.at) if survey else None,
        trouble=trouble,
    )


def _owners(beats: Collection[NodeBeat], role: str) -> dict[int, NodeBeat]:
    """Return who owns which partitions; of two that say so, the one that beat last."""
    beating = sorted((beat for beat in beats if beat.role == role), key=lambda beat: beat.at)
    return {partition: beat for beat in beating for partition in beat.partitions}


def _journal(
    topics: Topics, owners: Mapping[int, NodeBeat], folded: Folded, survey: Survey | None
) -> Iterator[JournalPosition]:
    for place in topics.journal():
        told = _told(place, owners.get(place.partition), survey)
        at = folded.positions.get(place.partition, 0)
        yield JournalPosition(
            **told,
            folded=at,
            folded_lag=None if told["end"] is None else max(0, told["end"] - at),
            folded_at=folded.times.get(place.partition),
            halted=folded.halts.get(place.partition, ""),
        )


def _work_log(topics: Topics, owners: Mapping[int, NodeBeat], survey: Survey | None) -> Iterator[PartitionPosition]:
    for place in topics.work_log():
        yield PartitionPosition(**_told(place, owners.get(place.partition), survey))


def _told(place: TopicPartition, owner: NodeBeat | None, survey: Survey | None) -> dict[str, Any]:
    end = survey.ends.get(place) if survey else None
    committed = survey.committed.get(place) if survey else None
    lag = None
    if end is not None and committed is not None:
        lag = max(0, end - committed.position - _settled_above(committed.metadata))
    return {
        "partition": place.partition,
        "end": end,
        "stable": None if survey is None or end is None else min(end, survey.held.get(place, end)),
        "committed": committed.position if committed else None,
        "lag": lag,
        "owner": owner.name if owner else None,
        "owner_id": owner.node_id if owner else None,
    }


def _settled_above(metadata: str) -> int:
    """Count the offsets behind a position that are settled already; 0 in the words of others, or of later versions."""
    try:
        return sum(decode_ranges(decode_metadata(metadata).settled_ranges)[1::2])
    except ValueError:
        return 0


def _held(survey: Survey) -> Iterator[HeldPosition]:
    for place, seconds in sorted(survey.stuck.items()):
        yield HeldPosition(place.topic, place.partition, survey.held[place], round(1000 * seconds))


def _hanging(found: Hanging) -> HangingTransaction:
    decided = {True: "commit", False: "abort", None: ""}[found.committed]
    return HangingTransaction(
        found.place.topic, found.place.partition, found.position, found.transactional_id, found.producer_id, decided,
        str(found), REPAIR if decided else "",
    )  # fmt: skip
