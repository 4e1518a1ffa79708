"""Where a partition begins anew, whose position its group has forgotten, and what makes up for what stood beside it.

A group without members forgets its positions after a week (``offsets.retention.minutes``); an administrator can delete
them. The new owner sets a new position in the transaction of its claim. ``docs/architecture.md`` argues
that this is safe.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from streamsched.domain.events import PartitionReset
from streamsched.log.codec import Codec, Undecodable, headers_of
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Append, Log, TopicPartition, TransactionAborted
from streamsched.log.scan import records
from streamsched.log.topics import Topics
from streamsched.runtime.identity import Identity

_READ_S: Final = 10.0


class Beginning(NamedTuple):
    """Positions to begin at, and the facts to write with them."""

    positions: Mapping[TopicPartition, int]
    facts: Sequence[Append] = ()


def of_work_log(
    log: Log, topics: Topics, codec: Codec, me: Identity, places: Collection[TopicPartition]
) -> Beginning:  # fmt: skip
    """Begin at the ends: what was live there is told to be returned, and is dispatched anew.

    Raises:
        TransactionAborted: a transaction is open below an end. A dispatch that is committed there later would never
            be read, and its event may come after the fact that its child was returned.
    """
    ends = log.end(places)
    if any(at < ends[place] for place, at in log.held(places, []).items()):
        raise TransactionAborted("a transaction is open where a partition is to begin anew")
    return Beginning(ends, facts_of(topics, codec, me, places))


def of_journal(log: Log, topics: Topics, codec: Codec, places: Collection[TopicPartition]) -> Beginning:
    """Begin where the dead letters end that tell of these partitions, so that none is told again.

    State and decisions do not depend on it: the owner of a partition folds it to its end first.

    Raises:
        NotAllowed: the dead letters may not be read.
        LogUnreachable: they cannot be read to their end.
    """
    positions = dict(log.start(places))
    letters = TopicPartition(topics.dead_letters, 0)
    event_reader = EventReader(codec, topics)
    for record in records(log, log.start([letters]), log.end([letters]), give_up_s=_READ_S):
        try:
            letter = event_reader.dead_letter(record)
        except Undecodable:
            continue
        place = TopicPartition(letter.topic, letter.partition)
        if place in positions:
            positions[place] = max(positions[place], letter.offset + 1)
    ends = log.end(places)
    return Beginning({place: min(position, ends[place]) for place, position in positions.items()})


def facts_of(topics: Topics, codec: Codec, me: Identity, places: Collection[TopicPartition]) -> list[Append]:
    """Make one event for each journal partition: what was live in these work-log partitions is returned."""
    facts = []
    for place in places:
        for home in topics.journal():
            event = me.sign(PartitionReset, partition=place.partition)
            facts.append(Append(home.topic, home.partition, None, codec.encode(event), headers_of(event)))
    return facts
