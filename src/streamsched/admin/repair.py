"""Find positions that a group has lost and set them anew.

A position that an administrator has set counts as lost: its mark, with what was settled above it, is gone. A lost
position of the work log is set to the log's end, so that no worker reads what was pending there. The same transaction
writes a PartitionReset to every partition of the journal: the fold counts the children that were live there as
returned, so they are dispatched anew, and outcomes of their old dispatches are void.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from streamsched.admin import hanging
from streamsched.installation.site import Installation
from streamsched.log.port import CannotEvict, Committed, LogError, Member, TopicPartition, Writer
from streamsched.queries.nodes import nodes
from streamsched.runtime import beginning
from streamsched.runtime.commit_metadata import INITIAL, NewerMetadata, decode_metadata

OPEN_LIMIT_S: Final = 60.0
"""Time to wait for the end of transactions: longer than their default time-out."""
WATCH_S: Final = 3.0
"""Time in which a living node beats several times."""
JOIN_LIMIT_S: Final = 20.0
"""Time to wait for all partitions of a group, which another member may have."""


def repair(site: Installation) -> list[str]:
    """End hanging transactions and set every lost position anew; returns what was done.

    Raise LogError if a group has members.
    """
    done = hanging.end(site)
    without = lost(site)
    if any(without.values()):
        _end_the_dead(site)
    journal = without[site.topics.scheduler_group]
    if journal:
        positions = beginning.of_journal(site.log, site.topics, site.codec, journal).positions
        with _alone(site, site.topics.scheduler_group, site.topics.journal()) as (writer, member):
            writer.commit([], {place: Committed(at, INITIAL.encode()) for place, at in positions.items()}, member)
        done += [
            f"{_named([place])}: group {site.topics.scheduler_group} begins at {positions[place]}" for place in journal
        ]
    work = without[site.topics.worker_group]
    if work:
        ends = _reset(site, work)
        done += [
            f"{_named([place])}: group {site.topics.worker_group} continues at {ends[place]}; "
            "children that were live there are dispatched anew"
            for place in work
        ]
    return done


def _end_the_dead(site: Installation) -> None:
    """Evict nodes that no longer beat, and fence every writer that a beat or a commit names.

    So no session has to time out first, and a frozen node cannot commit behind the new position. Raise LogError while a
    node beats.
    """
    before = {beat.event_id for beat, _ in nodes(site, site.clock.now())}
    if before:
        site.pause(WATCH_S)
    beats = [beat for beat, _ in nodes(site, site.clock.now())]
    if running := [f"{beat.role} {beat.name}" for beat in beats if beat.event_id not in before]:
        raise LogError(
            f"{', '.join(running)} still beat: stop all workers and schedulers, then run "
            "'streamsched topics repair' again"
        )
    writers = {beat.transactional_id for beat in beats}
    for beat in beats:
        group = site.topics.worker_group if beat.role == "worker" else site.topics.scheduler_group
        if beat.member_id:
            with suppress(CannotEvict):  # its session has to time out
                site.log.evict(group, beat.member_id)
        site.log.post(site.records.beat(None, beat.node_id))
    for group, places in site.topics.groups().items():
        for committed in site.log.committed(group, places, stable=True).values():
            if committed is not None and _is_ours(committed):
                metadata = decode_metadata(committed.metadata)
                writers |= set() if metadata.released else {metadata.transactional_id}
    for writer in sorted(writers - {"", INITIAL.transactional_id}):
        site.log.fence(writer)


def lost(site: Installation) -> dict[str, list[TopicPartition]]:
    """Return the partitions of each group whose position is missing or has no mark."""
    found = {}
    for group, places in site.topics.groups().items():
        committed = site.log.committed(group, places, stable=True)
        found[group] = [place for place in places if not _is_ours(committed[place])]
    return found


def _is_ours(committed: Committed | None) -> bool:
    try:
        return committed is not None and bool(decode_metadata(committed.metadata))
    except NewerMetadata as error:
        raise LogError(f"nothing was repaired, there is {error}: use the version that wrote it") from error
    except ValueError:
        return False


def _reset(site: Installation, lost: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
    """Write the PartitionResets and the positions in one transaction."""
    topics = site.topics
    me = site.identity("repair")
    with _alone(site, topics.worker_group, topics.work_log()) as (writer, member):
        ends = _ends(site, lost, member)
        appends = beginning.facts_of(topics, site.codec, me, lost)
        positions = {place: Committed(ends[place], INITIAL.encode()) for place in lost}
        writer.commit(appends, positions, member)
    return ends


def _ends(site: Installation, places: Collection[TopicPartition], member: Member) -> Mapping[TopicPartition, int]:
    """Return the ends, once no transaction below them is open.

    A dispatch that commits there later would never be read, and its event may lie behind the PartitionReset.
    """
    ends = site.log.end(places)
    deadline = site.clock.monotonic() + OPEN_LIMIT_S
    while open_below := [place for place, at in site.log.held(places, []).items() if at < ends[place]]:
        if site.clock.monotonic() > deadline:
            raise LogError(
                f"a transaction does not end in {_named(open_below)}: see 'streamsched topics check', then run "
                "'streamsched topics repair' again"
            )
        member.poll()
        site.pause(0.1)
    return ends


@contextmanager
def _alone(site: Installation, group: str, places: Collection[TopicPartition]) -> Iterator[tuple[Writer, Member]]:
    """Join a group as its only member, with a writer."""
    joined = _Joined()
    member = site.log.member(group, next(iter(places)).topic, joined)
    writer = site.log.writer(f"{group}.{site.identity('repair').node_id}.repair")
    try:
        deadline = time.monotonic() + JOIN_LIMIT_S
        while len(joined.partitions) < len(places):
            member.poll(0.1)
            if time.monotonic() > deadline:
                raise LogError(
                    f"group {group} has other members: stop all workers and schedulers, then run "
                    "'streamsched topics repair' again"
                )
        yield writer, member
    finally:
        member.leave()
        writer.close()


def _named(places: Collection[TopicPartition]) -> str:
    return ", ".join(f"{place.topic}-{place.partition}" for place in places)


class _Joined:
    """Counts the partitions that a member was given."""

    def __init__(self) -> None:
        self.partitions: set[int] = set()

    def on_assigned(self, partitions: Collection[int]) -> None:
        self.partitions |= set(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        self.partitions -= set(partitions)

    on_lost = on_revoked
