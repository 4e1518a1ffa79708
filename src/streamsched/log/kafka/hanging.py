"""Transactions that were decided, and whose end a broker forgot to write into a partition.

Kafka 4.3.0 to 4.4.0 (KAFKA-20734): a coordinator that has markers to write to a partition without a leader takes it
for deleted, and believes the transaction ended. A broker that is alone in its cluster has no leader for anything in
the seconds after it was killed, and in the moment in which it stops in order. Readers of committed records, and
stable reads of positions, then stand still at that transaction for ever.

What was decided stands in the coordinators' own topic: the last decision of this producer that names the partition
is the one whose marker is missing, for any later one that names it would have ended it. The marker is written by
the request that coordinators use among themselves; it needs the right Alter (or ClusterAction) on the cluster, and
the decision the right to read the topic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

from streamsched.log.kafka import eviction
from streamsched.log.kafka.admin import Admin
from streamsched.log.kafka.config import ClientSettings
from streamsched.log.kafka.coordination import POSITIONS, coordinating_partition
from streamsched.log.kafka.transaction_log import State, Step, steps_of
from streamsched.log.port import Hanging, LogError, LogUnreachable, NotAllowed, TopicMismatch, TopicPartition

_MARGIN_MS: Final = 60_000
"""How far before its last record a transaction is looked for: it began earlier, and clocks differ."""


class Open(NamedTuple):
    """A transaction that a partition takes for open."""

    place: TopicPartition
    position: int
    producer_id: int
    epoch: int
    coordinator_epoch: int
    last_timestamp: int


def held(admin: Admin, partitions: Collection[TopicPartition], groups: Collection[str]) -> dict[TopicPartition, int]:
    """Return where open transactions hold back readers of these partitions and of the groups' positions."""
    places = [*partitions, *_positions_of(admin, groups)]
    ends = admin.end(places)  # first: what was written between the two is not held back
    return {place: at for place, at in admin.stable_end(places).items() if at < ends[place]}


def find(admin: Admin, settings: ClientSettings, places: Mapping[TopicPartition, int]) -> list[Hanging]:
    """Return those transactions at these places that will never end; raises ``LogError``."""
    if not places:
        return []
    with _connected(settings) as client:
        before = [open_ for open_ in _open(client, places) if open_.position == places[open_.place]]
        since = min((open_.last_timestamp for open_ in before), default=0) - _MARGIN_MS
        producers = {open_.producer_id for open_ in before}
        steps = steps_of(producers, since, admin=admin, settings=settings) if before else {}
        # An end that was decided, and written, before the steps were read has arrived by now.
        after = {(open_.place, open_.position, open_.producer_id) for open_ in _open(client, places)}
    return [
        hanging
        for open_ in before
        if (open_.place, open_.position, open_.producer_id) in after
        for hanging in _judge(open_, steps[open_.producer_id])
    ]


def end(settings: ClientSettings, hanging: Hanging) -> bool:
    """Write the missing marker; False where it is there by now. Raises ``LogError`` where it cannot be written."""
    if hanging.committed is None:
        raise LogError(f"{hanging}; Kafka no longer has the decision (commit or abort)")
    with _connected(settings) as client:
        for open_ in _open(client, [hanging.place]):
            if (open_.position, open_.producer_id) == (hanging.position, hanging.producer_id):
                _write_marker(client, open_, committed=hanging.committed)
                return True
    return False


def _judge(open_: Open, steps: Sequence[Step]) -> Iterator[Hanging]:
    """Yield how it was decided, unless its end is still to come."""
    committed, awaited, name = None, False, ""
    for step in steps:
        name = step.transactional_id
        awaited = open_.place in step.partitions
        if awaited and step.state in (State.PREPARE_COMMIT, State.PREPARE_ABORT):
            committed = step.state is State.PREPARE_COMMIT
    if not awaited:
        yield Hanging(open_.place, open_.position, name, open_.producer_id, committed)


def _positions_of(admin: Admin, groups: Collection[str]) -> list[TopicPartition]:
    if not groups:
        return []
    try:
        partitions = len(admin.topic(POSITIONS).partitions)
    except TopicMismatch:
        return []  # no group has ever committed anything
    return [TopicPartition(POSITIONS, number) for number in {coordinating_partition(g, partitions) for g in groups}]


@contextmanager
def _connected(settings: ClientSettings) -> Iterator[Any]:
    eviction.check(settings.kafka)
    failures = import_module("kafka.errors")
    try:
        with closing(eviction.connect(settings.brokers, settings.kafka)) as client:
            yield client
    except failures.AuthorizationError as failure:
        said = f"cannot look into open transactions: {failure}; the broker's rights (ACLs) do not allow it"
        raise NotAllowed(said) from None
    except failures.KafkaError as failure:
        said = f"cannot look into open transactions: {failure}"
        raise (LogUnreachable if failure.retriable else LogError)(said) from None


def _open(client: Any, places: Collection[TopicPartition]) -> list[Open]:
    found = client.describe_producers([_their(place) for place in places])
    return [
        Open(
            TopicPartition(place.topic, place.partition),
            producer.current_transaction_start_offset,
            producer.producer_id,
            producer.producer_epoch,
            producer.coordinator_epoch,
            producer.last_timestamp,
        )
        for place, state in found.items()
        for producer in state.active_producers
        if producer.current_transaction_start_offset >= 0
    ]


def _write_marker(client: Any, open_: Open, *, committed: bool) -> None:
    """Send what a coordinator would: the package has a call of its own only for markers that abort."""
    request = import_module("kafka.protocol.producer.transaction").WriteTxnMarkersRequest
    marker = request.WritableTxnMarker
    topic = marker.WritableTxnMarkerTopic(name=open_.place.topic, partition_indexes=[open_.place.partition])
    message = request(
        markers=[
            marker(
                producer_id=open_.producer_id,
                producer_epoch=open_.epoch,
                transaction_result=committed,
                topics=[topic],
                coordinator_epoch=max(0, open_.coordinator_epoch),
            )
        ]
    )

    async def send() -> Any:
        leaders = await client._async_get_leader_for_partitions([_their(open_.place)])  # noqa: SLF001
        return await client._manager.send(message, node_id=next(iter(leaders)))  # noqa: SLF001

    errors = import_module("kafka.errors")
    for result in client._manager.run(send).markers:  # noqa: SLF001
        for name in result.topics:
            for partition in name.partitions:
                error = errors.for_code(partition.error_code)
                if error is not errors.NoError:
                    raise error(f"the marker for {open_.place.topic}-{open_.place.partition} was refused")


def _their(place: TopicPartition) -> Any:
    return import_module("kafka.structs").TopicPartition(*place)
