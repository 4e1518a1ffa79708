"""Run a cluster of Apache Kafka on loopback without Docker: for the tests and ``make broker``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]  # not in its stubs

from streamsched.log.kafka.coordination import POSITIONS, TRANSACTIONS, coordinating_partition
from tools.broker import KAFKA, ROOT, Broker, BrokerError, Seat, free_port, new_cluster

DEFAULT_PORT: Final = 9092
LEADER_LIMIT: Final = 60.0
"""Seconds to wait for what the cluster brings about by itself: a leader, copies in step."""


class Cluster:
    """Brokers that copy everything to each other: one of three may be lost. Each is a controller, too.

    Args:
        data: its folder, kept over restarts, with a folder for each broker.
        brokers: how many.
        port: of the first, counting up; 0 takes free ones.
        full_jit: let Java compile fully: for benchmarks, slower to start.
        stock_timeouts: leave the time-outs as Kafka ships them.
    """

    def __init__(
        self, data: Path, *, brokers: int = 3, port: int = 0, full_jit: bool = False, stock_timeouts: bool = False
    ) -> None:
        controllers = {node: free_port() for node in range(1, brokers + 1)}
        cluster = new_cluster()
        self.brokers = {
            node: Broker(
                data / str(node),
                port=port and port + node - 1,
                full_jit=full_jit,
                stock_timeouts=stock_timeouts,
                seat=Seat(node, controllers),
                cluster=cluster,
                heap=256,
            )
            for node in controllers
        }
        """By number: kill, stop, pause, resume and start each as you like."""

    @property
    def address(self) -> str:
        """Return what clients connect to."""
        return ",".join(broker.address for broker in self.brokers.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start those that do not run, and return when every broker answers clients.

        Raises:
            BrokerError: one cannot be started; none is left running.
        """
        with ExitStack() as undo:
            undo.callback(self.stop)
            for broker in self.brokers.values():
                if not broker.running:
                    broker.launch()
            for broker in self.brokers.values():
                broker.await_answer()
            undo.pop_all()

    def stop(self) -> None:
        """Stop all."""
        for broker in self.brokers.values():
            broker.stop()

    def wait(self) -> int:
        """Wait until each has ended by itself, and return the worst exit code."""
        return max(broker.wait() for broker in self.brokers.values())

    def leader(self, topic: str, partition: int) -> Broker:
        """Return the running broker that leads the partition, waiting for one.

        Raises:
            BrokerError: there is no such partition, or nobody takes it over.
        """
        limit = time.monotonic() + LEADER_LIMIT
        while time.monotonic() < limit:
            found = self._metadata().topics.get(topic)
            if found is not None and partition in found.partitions:
                leader = self.brokers.get(found.partitions[partition].leader)
                if leader is not None and leader.running:
                    return leader
            time.sleep(0.1)
        raise BrokerError(f"no broker leads {topic}-{partition}")

    def group_coordinator(self, group: str) -> Broker:
        """Return the broker that coordinates the group; it must have been used."""
        return self._coordinator(POSITIONS, group)

    def transaction_coordinator(self, transactional_id: str) -> Broker:
        """Return the broker that coordinates this id's transactions; it must have been used."""
        return self._coordinator(TRANSACTIONS, transactional_id)

    def await_in_step(self) -> None:
        """Return when every copy of every partition is in step: then any one broker may be lost.

        Raises:
            BrokerError: some lag behind for too long.
        """
        limit = time.monotonic() + LEADER_LIMIT
        behind = ["all"]
        while time.monotonic() < limit:
            behind = [
                f"{topic.topic}-{partition.id}"
                for topic in self._metadata().topics.values()
                for partition in topic.partitions.values()
                if len(partition.isrs) < len(partition.replicas)
            ]
            if not behind:
                return
            time.sleep(0.1)
        raise BrokerError(f"copies are not in step: {', '.join(behind[:5])}")

    def _coordinator(self, topic: str, name: str) -> Broker:
        found = self._metadata().topics.get(topic)
        if found is None:
            raise BrokerError(f"{topic} is not there: nobody was coordinated yet")
        return self.leader(topic, coordinating_partition(name, len(found.partitions)))

    def _metadata(self) -> ClusterMetadata:
        """Ask anew each time: a client that lives on would ask the dead first."""
        limit = time.monotonic() + LEADER_LIMIT
        while time.monotonic() < limit:
            client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            try:
                return client.list_topics(timeout=2.0)
            except KafkaException:
                time.sleep(0.1)
        raise BrokerError(f"no broker answers on {self.address}")


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1, metavar="N")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the first; the others count up")
    parser.add_argument("--data", type=Path, help="kept over restarts")
    parser.add_argument("--full-jit", action="store_true", help="for benchmarks")
    parser.add_argument("--stock-timeouts", action="store_true", help="Kafka's own session limits")
    options = parser.parse_args()
    running: Broker | Cluster
    if options.brokers == 1:
        running = Broker(
            options.data or ROOT / ".kafka" / "data",
            port=options.port,
            full_jit=options.full_jit,
            stock_timeouts=options.stock_timeouts,
        )
    else:
        running = Cluster(
            options.data or ROOT / ".kafka" / f"data-{options.brokers}",
            brokers=options.brokers,
            port=options.port,
            full_jit=options.full_jit,
            stock_timeouts=options.stock_timeouts,
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running:
            print(f"Kafka {KAFKA} answers on {running.address}; Ctrl-C stops it")
            print(f"export STREAMSCHED_BROKERS={running.address}", flush=True)
            return running.wait()
    except KeyboardInterrupt:
        return 0
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
