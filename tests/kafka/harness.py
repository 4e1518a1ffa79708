"""What the contract suite asks of Kafka: connections, deaths and open transactions on a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from streamsched.log.adapter import LogAdapter
from streamsched.log.kafka import KafkaLog
from streamsched.log.kafka.config import ClientSettings
from streamsched.log.kafka.member import GroupMember
from streamsched.log.kafka.reader import KafkaReader
from streamsched.log.port import Append, Committed, Listener, Member, TopicPartition, WriterFenced
from tests.support import brokers
from tests.support.log_harness import Harness

ROOT = Path(__file__).parent.parent.parent
CLASSIC = {"session.timeout.ms": 3000, "transaction.timeout.ms": 3000}
CONSUMER = {"group.protocol": "consumer", "transaction.timeout.ms": 3000}


class OpenLog(KafkaLog):
    """A connection that, when it is closed, also ends what the test has left running on it."""

    def __init__(self, brokers: str, kafka: Mapping[str, Any]) -> None:
        super().__init__(brokers, kafka)
        self.settings = ClientSettings(brokers, kafka)
        self._members: list[GroupMember] = []
        self._readers: list[KafkaReader] = []

    def member(self, group: str, topic: str, listener: Listener) -> GroupMember:
        self._members.append(super().member(group, topic, listener))
        return self._members[-1]

    def reader(self) -> KafkaReader:
        self._readers.append(super().reader())
        return self._readers[-1]

    def close(self) -> None:
        for member in self._members:
            with suppress(Exception):  # the test is over: its listener may object to anything
                member.leave()
        for reader in self._readers:
            reader.close()
        super().close()


class RemoteProcess:
    """A member in a process of its own, killed with SIGKILL."""

    def __init__(self, brokers: str, kafka: Mapping[str, Any], group: str, topic: str) -> None:
        command = [sys.executable, "-m", "tests.kafka.remote", brokers, json.dumps(kafka), group, topic]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        self.member_id = ""
        self.partitions: Collection[int] = ()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def serve(self) -> None:
        pass

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                member_id, self.partitions = json.loads(line)
                self.member_id = member_id or self.member_id


class HangingProducer:
    """A transaction that waits for its end."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def commit(self) -> None:
        try:
            self._producer.commit_transaction(10)
        except KafkaException as failure:
            raise WriterFenced(str(failure)) from failure


class Deaf:
    """A producer that does not hear how its commit ended, or whose commit never leaves."""

    def __init__(self, producer: Producer, *, landed: bool) -> None:
        self._producer = producer
        self._landed = landed

    def __getattr__(self, name: str) -> object:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout: float) -> None:
        if self._landed:
            self._producer.commit_transaction(timeout)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", False, True, False))


class KafkaHarness:
    """Names of its own on a broker that all tests share."""

    def __init__(self, brokers: str, kafka: Mapping[str, Any]) -> None:
        self._brokers = brokers
        self._kafka = kafka
        self._prefix = uuid.uuid4().hex[:8]
        self._logs: list[OpenLog] = []
        self._processes: list[RemoteProcess] = []

    @property
    def session_timeout(self) -> float:
        return float(self._kafka.get("session.timeout.ms", 6000)) / 1000

    @property
    def transaction_timeout(self) -> float:
        return float(self._kafka["transaction.timeout.ms"]) / 1000

    def connect(self) -> OpenLog:
        self._logs.append(OpenLog(self._brokers, self._kafka))
        return self._logs[-1]

    def name(self, stem: str) -> str:
        return f"{stem}-{self._prefix}-{uuid.uuid4().hex[:6]}"

    def remote_member(self, group: str, topic: str) -> RemoteProcess:
        self._processes.append(RemoteProcess(self._brokers, self._kafka, group, topic))
        return self._processes[-1]

    def leave_open(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
    ) -> HangingProducer:
        assert isinstance(log, OpenLog)
        assert isinstance(member, GroupMember)
        producer: Any = Producer(log.settings.writer(transactional_id))
        producer.init_transactions(10)
        producer.begin_transaction()
        for append in appends:
            producer.produce(append.topic, append.value, append.key, append.partition)
        producer.flush(10)
        places = [Place(*place, at.position, metadata=at.metadata) for place, at in positions.items()]
        producer.send_offsets_to_transaction(places, member.group_metadata(), 10)
        return HangingProducer(producer)

    def commit_unknown(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
        *,
        landed: bool,
    ) -> None:
        assert isinstance(log, OpenLog)
        writer = log.writer(transactional_id)
        writer._producer = Deaf(writer._producer, landed=landed)
        writer.commit(appends, positions, member)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for log in self._logs:
            log.close()


@contextmanager
def open_harness(folder: Path, kafka: Mapping[str, Any] = CLASSIC) -> Iterator[Harness]:
    """Open the shared broker; ``folder`` is not needed."""
    harness = KafkaHarness(brokers.broker().address, kafka)
    try:
        yield harness
    finally:
        harness.close()
