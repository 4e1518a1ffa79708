"""Makes what a broker leaves behind that forgot a transaction's end: records of a producer that nobody will end.

The producer ends a transaction that names the partition, then more of its records, or positions, arrive there. The
partition cannot tell that from a marker that never came, and neither can the coordinator, whose last word is the same.
Brokers refuse such records unless they are told not to ask the coordinator.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from streamsched.log.kafka import eviction
from streamsched.log.port import TopicPartition
from tools.broker import Broker

VERIFICATION = "transaction.partition.verification.enable"


@contextmanager
def credulous(broker: Broker) -> Iterator[None]:
    """Have the broker believe for a while that records belong to a transaction because they say so."""
    _alter(broker, "false")
    try:
        yield
    finally:
        _alter(broker, "true")


def _alter(broker: Broker, value: str) -> None:
    entry = ConfigEntry(VERIFICATION, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("broker", "1", incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": broker.address})
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(10)


class Forgotten:
    """A producer whose last transaction named one record, and one position; both come again, without an end."""

    def __init__(self, settings: Mapping[str, Any], place: TopicPartition, metadata: Any, *, committed: bool) -> None:
        self._place = place
        self._group = metadata
        self.transactional_id = settings["transactional.id"]
        self._brokers = settings["bootstrap.servers"]
        producer: Any = Producer(dict(settings))
        producer.init_transactions(10)
        producer.begin_transaction()
        producer.produce(place.topic, b"ended", partition=place.partition)
        producer.flush(10)
        producer.send_offsets_to_transaction([Place(*place, 1)], metadata, 10)
        (producer.commit_transaction if committed else producer.abort_transaction)(10)
        with closing(eviction.connect(self._brokers, {})) as client:
            while not self._known(client).state.startswith("Complete"):  # its markers are still on their way
                time.sleep(0.05)

    def write(self, value: bytes) -> None:
        """Add a record that nobody will end."""
        with closing(eviction.connect(self._brokers, {})) as client:
            known = self._known(client)
            batch = _theirs("record.default_records").DefaultRecordBatchBuilder(
                2, 0, True, known.producer_id, known.producer_epoch, 1, 1 << 16
            )
            batch.append(0, None, None, value, [])
            request = _theirs("protocol.producer.produce").ProduceRequest
            topic = request.TopicProduceData
            part = topic.PartitionProduceData(index=self._place.partition, records=bytes(batch.build()))
            message = request(
                transactional_id=self.transactional_id, acks=-1, timeout_ms=10_000,
                topic_data=[topic(name=self._place.topic, partition_data=[part])], max_version=11,
            )  # fmt: skip
            answer = _send(client, message)
            assert answer.responses[0].partition_responses[0].error_code == 0

    def commit(self, position: int, group: str) -> None:
        """Add a position that nobody will end."""
        with closing(eviction.connect(self._brokers, {})) as client:
            known = self._known(client)
            request = _theirs("protocol.producer.transaction").TxnOffsetCommitRequest
            topic = request.TxnOffsetCommitRequestTopic
            part = topic.TxnOffsetCommitRequestPartition(
                partition_index=self._place.partition, committed_offset=position, committed_metadata=""
            )
            message = request(
                transactional_id=self.transactional_id, group_id=group, producer_id=known.producer_id,
                producer_epoch=known.producer_epoch, topics=[topic(name=self._place.topic, partitions=[part])],
                max_version=3,
            )  # fmt: skip
            assert _send(client, message).topics[0].partitions[0].error_code == 0

    def _known(self, client: Any) -> Any:
        return client.describe_transactions([self.transactional_id])[self.transactional_id]


def _send(client: Any, request: Any) -> Any:
    async def send() -> Any:
        return await client._manager.send(request, node_id=1)

    return client._manager.run(send)


def _theirs(module: str) -> Any:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of its own code
        return import_module(f"kafka.{module}")
