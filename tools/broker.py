"""Run Apache Kafka on loopback without Docker: for the tests, the benchmarks and ``make broker``."""

from __future__ import annotations

import argparse
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
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

KAFKA: Final = "4.3.1"
DEFAULT_PORT: Final = 9092
ROOT: Final = Path(__file__).resolve().parent.parent
START_LIMIT: Final = 60.0
STOP_LIMIT: Final = 20.0

_POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamsched</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

ONE_NODE: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "default.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",
}
"""What one broker alone needs."""

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


class BrokerError(Exception):
    """The broker cannot be fetched or started; the message says why in one line."""


def properties(*, port: int, controller: int, logs: Path, stock_timeouts: bool = False) -> dict[str, str]:
    """Return the broker's settings."""
    return {
        **ONE_NODE,
        **({} if stock_timeouts else SHORT_TIMEOUTS),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(logs),
    }


def libraries() -> Path:
    """Return the folder of Kafka's jars, fetching them with Maven when they are not there yet.

    It is ``STREAMSCHED_KAFKA_HOME``, or ``.kafka/libs`` of the project.
    """
    home = Path(os.environ.get("STREAMSCHED_KAFKA_HOME") or ROOT / ".kafka" / "libs")
    if (home / f"kafka_2.13-{KAFKA}.jar").is_file():
        return home
    maven = _program("mvn", "Maven")
    home.parent.mkdir(parents=True, exist_ok=True)
    fresh = home.with_name(f"{home.name}.{os.getpid()}")
    fresh.mkdir()
    try:
        (fresh / "pom.xml").write_text(_POM)
        command = [maven, "-q", "-B", "-f", str(fresh / "pom.xml"), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stdout + done.stderr).strip().splitlines()[:1] or ["no output"]
            raise BrokerError(f"Maven could not fetch Kafka {KAFKA}: {reason[0]}")
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
        stock_timeouts: leave the time-outs of groups and transactions as Kafka ships them.
    """

    def __init__(self, data: Path, *, port: int = 0, full_jit: bool = False, stock_timeouts: bool = False) -> None:
        self.data = data
        self.port = port or _free_port()
        self._controller = _free_port()
        self._jit = [] if full_jit else ["-XX:TieredStopAtLevel=1"]
        self._stock_timeouts = stock_timeouts
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return what clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id of the running broker."""
        return self._running().pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start on the same data and port, and return when clients are answered.

        Raises:
            BrokerError: Java or the jars are missing, or the broker does not come up.
        """
        java = [_program("java", "Java"), "-Xmx384m", "-XX:+UseSerialGC", *self._jit]
        java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{libraries()}/*"]
        logs = self.data.resolve() / "topics"
        logs.mkdir(parents=True, exist_ok=True)
        settings = properties(
            port=self.port, controller=self._controller, logs=logs, stock_timeouts=self._stock_timeouts
        )
        file = self.data / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        with (self.data / "broker.log").open("ab") as output:
            if not (logs / "meta.properties").exists():
                cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
                tool = [
                    *java,
                    "kafka.tools.StorageTool",
                    "format",
                    f"--cluster-id={cluster.replace('-', '0')}",
                    "-c",
                    str(file),
                ]
                if subprocess.run(tool, stdout=output, stderr=output, check=False).returncode != 0:
                    raise BrokerError(f"the data folder could not be made: see {output.name}")
            self._process = _spawn([*java, "kafka.Kafka", str(file)], output)
        self._await_answer()

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
        process = self._running()
        process.kill()
        process.wait()
        self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        self._running().send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self._running().wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerError("the broker is not running")
        return self._process

    def _await_answer(self) -> None:
        client = AdminClient({"bootstrap.servers": self.address, "reconnect.backoff.max.ms": 200, "log_level": 0})
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if self._running().poll() is not None:
                break
            try:
                if client.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                time.sleep(0.05)
        self.stop()
        raise BrokerError(f"the broker did not start: see {self.data / 'broker.log'}")


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


def _free_port() -> int:
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


def main() -> int:
    """Run a broker until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="broker", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--data", type=Path, default=ROOT / ".kafka" / "data", help="kept over restarts")
    parser.add_argument("--full-jit", action="store_true", help="for benchmarks")
    parser.add_argument("--stock-timeouts", action="store_true", help="Kafka's own session limits")
    options = parser.parse_args()
    broker = Broker(options.data, port=options.port, full_jit=options.full_jit, stock_timeouts=options.stock_timeouts)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with broker:
            print(f"Kafka {KAFKA} answers on {broker.address}; Ctrl-C stops it")
            print(f"export STREAMSCHED_BROKERS={broker.address}", flush=True)
            return broker.wait()
    except KeyboardInterrupt:
        return 0
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
