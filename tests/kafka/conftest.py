"""A broker for the whole run, one more that may be killed, and names of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import TopicPartition, TopicSpec
from streamsched.log.topics import RECORD_LIMIT
from tests.kafka.harness import CLASSIC, CONSUMER, KafkaHarness
from tests.support import brokers
from tests.support.log_node import Node
from tools.broker import Broker

PARTITIONS = 4


@pytest.fixture(scope="session")
def broker() -> Broker:
    return brokers.broker()


@pytest.fixture(scope="session")
def doomed(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start a broker that tests may kill and pause; each leaves it running."""
    own = brokers.start(tmp_path_factory.mktemp("doomed"))
    yield own
    own.stop()


@pytest.fixture
def harness(broker: Broker) -> Iterator[KafkaHarness]:
    opened = KafkaHarness(broker.address, CLASSIC)
    yield opened
    opened.close()


@pytest.fixture(params=[CLASSIC, CONSUMER], ids=["classic", "consumer"])
def either(broker: Broker, request: pytest.FixtureRequest) -> Iterator[KafkaHarness]:
    """Run the test with both group protocols."""
    opened = KafkaHarness(broker.address, request.param)
    yield opened
    opened.close()


@pytest.fixture
def doomed_harness(doomed: Broker) -> Iterator[KafkaHarness]:
    opened = KafkaHarness(doomed.address, {**CLASSIC, "message.timeout.ms": 3000})
    yield opened
    opened.close()


def make_topic(harness: KafkaHarness, log: KafkaLog) -> str:
    name = harness.name("topic")
    log.create_topics([TopicSpec(name, PARTITIONS, {"max.message.bytes": str(RECORD_LIMIT)})])
    return name


def make_join(harness: KafkaHarness) -> Callable[[], Node]:
    """Return what makes one more node of one new group on one new topic."""
    topic, group = make_topic(harness, harness.connect()), harness.name("group")
    return lambda: Node(harness, group, topic)


def make_node(harness: KafkaHarness) -> Node:
    """Make the only member of a new group on a new topic."""
    node = make_join(harness)()
    node.settle(PARTITIONS)
    return node


@pytest.fixture
def log(harness: KafkaHarness) -> KafkaLog:
    return harness.connect()


@pytest.fixture
def topic(harness: KafkaHarness, log: KafkaLog) -> str:
    return make_topic(harness, log)


@pytest.fixture
def node(harness: KafkaHarness) -> Node:
    return make_node(harness)


@pytest.fixture
def place(topic: str) -> TopicPartition:
    return TopicPartition(topic, 0)


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail the test when something, the client's own threads included, writes to standard output or error."""
    yield
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
