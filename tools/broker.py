"""Run one broker of Apache Kafka on loopback without Docker: for tests, benchmarks and ``tools.cluster``."""

from __future__ import annotations

import base64
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Final, NamedTuple, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

KAFKA: Final = "4.3.1"
"""The version that is used where none is given."""
DEFAULT_PORT: Final = 9092
ROOT: Final = Path(__file__).resolve().parent.parent
START_LIMIT: Final = 60.0
STOP_LIMIT: Final = 20.0

_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamsched</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>KAFKA</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

COMMON: Final = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",
}
"""What a broker needs, alone or among others."""

SHORT_TIMEOUTS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.assignment.interval.ms": "0",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}
"""What lets groups and transactions give up sooner than on a stock broker."""

SHORT_SESSION: Final = {"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "500"}
"""What lets a cluster notice a dead broker sooner; one that is alone has nobody to take over."""


class BrokerError(Exception):
    """The broker cannot be fetched or started; the message says why in one line."""


class Seat(NamedTuple):
    """A broker's place in its cluster: its number, and the port of every controller, its own too, by number."""

    node: int
    controllers: Mapping[int, int]


def properties(*, port: int, seat: Seat, logs: Path, stock_timeouts: bool = False) -> dict[str, str]:
    """Return the broker's settings; everything has as many copies as there are brokers, at most three."""
    brokers = len(seat.controllers)
    copies, in_sync = str(min(3, brokers)), str(min(2, brokers))
    voters = (f"{node}@127.0.0.1:{controller}" for node, controller in seat.controllers.items())
    return {
        **COMMON,
        **({} if stock_timeouts else SHORT_TIMEOUTS),
        **({} if stock_timeouts or brokers == 1 else SHORT_SESSION),
        "node.id": str(seat.node),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{seat.controllers[seat.node]}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": ",".join(voters),
        "log.dirs": str(logs),
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def libraries(version: str = KAFKA) -> Path:
    """Return the folder of the jars of a version of Kafka, fetching them with Maven when they are not there yet.

    It is ``STREAMSCHED_KAFKA_HOME``, or ``.kafka/libs`` of the project; of another version, a folder beside that.
    """
    home = Path(os.environ.get("STREAMSCHED_KAFKA_HOME") or ROOT / ".kafka" / "libs")
    home = home if version == KAFKA else home.with_name(f"{home.name}-{version}")
    if (home / f"kafka_2.13-{version}.jar").is_file():
        return home
    maven = _program("mvn", "Maven")
    home.parent.mkdir(parents=True, exist_ok=True)
    fresh = home.with_name(f"{home.name}.{os.getpid()}")
    fresh.mkdir()
    try:
        (fresh / "pom.xml").write_text(_POM.replace("KAFKA", version))
        command = [maven, "-q", "-B", "-f", str(fresh / "pom.xml"), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stdout + done.stderr).strip().splitlines()[:1] or ["no output"]
            raise BrokerError(f"Maven could not fetch Kafka {version}: {reason[0]}")
        home.mkdir(exist_ok=True)
        for jar in sorted(fresh.glob("*.jar"), key=lambda jar: jar.name.startswith("kafka_")):
            jar.replace(home / jar.name)  # the one that is looked for comes last: others may fetch too
    finally:
        shutil.rmtree(fresh)
    return home


class Broker:
    """One broker, a child process that dies with this one.

    Args:
        data: its folder, kept over restarts; the topics live under it, and ``broker.log``.
        port: 0 takes a free one and keeps it over restarts.
        full_jit: let Java compile fully: for benchmarks, slower to start.
        stock_timeouts: leave the time-outs of groups, transactions and brokers as Kafka ships them.
        seat: its place among others; alone without.
        cluster: the cluster's id, which all members share; a new one without.
        heap: megabytes that Java may use for objects.
        version: of Kafka.
        settings: more properties, or others than those that are used here.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        full_jit: bool = False,
        stock_timeouts: bool = False,
        seat: Seat | None = None,
        cluster: str = "",
        heap: int = 384,
        version: str = KAFKA,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self._version = version
        self._settings = settings or {}
        self.port = port or free_port()
        self.seat = seat or Seat(1, {1: free_port()})
        self._java = [f"-Xmx{heap}m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._java += [] if full_jit else ["-XX:TieredStopAtLevel=1"]
        self._stock_timeouts = stock_timeouts
        self._cluster = cluster or new_cluster()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return what clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id of the running broker."""
        return self._started().pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Tell whether it was started and neither stopped nor killed since; a paused one runs."""
        return self._process is not None

    def start(self) -> None:
        """Start on the same data and port, and return when clients are answered.

        Raises:
            BrokerError: Java or the jars are missing, or the broker does not come up.
        """
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start it without waiting: the first of a cluster answers nobody before there is a majority."""
        java = [_program("java", "Java"), *self._java, "-cp", f"{libraries(self._version)}/*"]
        logs = self.data.resolve() / "topics"
        logs.mkdir(parents=True, exist_ok=True)
        settings = properties(port=self.port, seat=self.seat, logs=logs, stock_timeouts=self._stock_timeouts)
        file = self.data / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in {**settings, **self._settings}.items()))
        with (self.data / "broker.log").open("ab") as output:
            if not (logs / "meta.properties").exists():
                tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster}", "-c", str(file)]
                if subprocess.run([*java, *tool], stdout=output, stderr=output, check=False).returncode != 0:
                    raise BrokerError(f"the data folder could not be made: see {output.name}")
            self._process = _spawn([*java, "kafka.Kafka", str(file)], output)

    def await_answer(self) -> None:
        """Return when it answers, and counts itself among the cluster's brokers.

        Raises:
            BrokerError: it ended, or takes too long; it is stopped.
        """
        client = AdminClient({"bootstrap.servers": self.address, "reconnect.backoff.max.ms": 200, "log_level": 0})
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if self._started().poll() is not None:
                break
            try:
                if self.seat.node in client.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                pass
            time.sleep(0.05)
        self.stop()
        raise BrokerError(f"the broker did not start: see {self.data / 'broker.log'}")

    def stop(self) -> None:
        """Stop in order; a broker that takes too long, or is paused, is killed."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill it (-9): nothing is flushed, nobody is told."""
        process = self._started()
        process.kill()
        process.wait()
        self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered.

        Returns when it stands still: until every thread has taken the signal, some may still answer.
        """
        process = self._started()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Thaw it."""
        self._started().send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self._started().wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerError("the broker is not running")
        return self._process


def new_cluster() -> str:
    """Make up the id of a new cluster."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "0")


def _program(name: str, title: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrokerError(f"{title} is missing: install it so that '{name}' is on the PATH")
    return found


def _spawn(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a child that dies with this process."""
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for the parent, which stops it in order
            )
        except BaseException as failure:
            started.set_exception(failure)
        else:
            started.set_result(process)
            process.wait()

    # The child dies with the thread that made it: one that waits for the child cannot end too early.
    threading.Thread(target=keep, name="broker", daemon=True).start()
    return started.result()


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    # Below the range that connections draw from: there, a client that retries a dead port can meet itself.
    for port in random.sample(range(15000, 32000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BrokerError("no free port between 15000 and 32000")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
