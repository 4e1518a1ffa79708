"""A broker that is down, or is none, is said to be so: by name, in time, and once."""

from __future__ import annotations

import pytest

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import Append, LogError, LogUnreachable, TopicPartition
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tools.broker import Broker

pytestmark = pytest.mark.usefixtures("silent")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:9092"])
@pytest.mark.timeout(20)
def test_a_wrong_address_is_named(address: str) -> None:
    with pytest.raises(LogUnreachable, match=address):
        KafkaLog(address, reach=1.5)


def test_one_good_address_is_enough(broker: Broker) -> None:
    KafkaLog(f"127.0.0.1:1,{broker.address}").close()


def test_an_unknown_setting_is_named(broker: Broker) -> None:
    with pytest.raises(LogError, match=r"no\.such\.setting"):
        KafkaLog(broker.address, {"no.such.setting": "1"})


def test_a_setting_of_the_other_protocol_is_refused(harness: KafkaHarness, topic: str, broker: Broker) -> None:
    log = KafkaLog(broker.address, {"group.protocol": "consumer", "session.timeout.ms": 9000})
    with pytest.raises(LogError, match=r"session\.timeout\.ms"):
        log.member(harness.name("group"), topic, None)  # type: ignore[arg-type]
    log.close()


@pytest.mark.timeout(60)
def test_a_broker_that_freezes_stops_nobody_for_ever(doomed: Broker, doomed_harness: KafkaHarness) -> None:
    node = make_node(doomed_harness)
    log, places = node.log, [TopicPartition(node.topic, 0)]
    log.append([Append(node.topic, 0, None, b"before")])
    doomed.pause()
    try:
        with pytest.raises(LogUnreachable, match=doomed.address):
            log.append([Append(node.topic, 0, None, b"lost?")])
        with pytest.raises(LogUnreachable, match=doomed.address):
            log.committed(node.group, places, stable=True, timeout=0.5)
        with pytest.raises(LogUnreachable, match=doomed.address):
            log.writer(doomed_harness.name("writer"))
        with pytest.raises(LogUnreachable, match=doomed.address):
            KafkaLog(doomed.address, reach=1.0)
        log.post(Append(node.topic, 1, None, b"beat"))
        node.member.leave()
    finally:
        doomed.resume()
    assert node.partitions == set()

    def answered() -> bool:
        try:
            return bool(log.append([Append(node.topic, 0, None, b"after")]))
        except LogUnreachable:
            return False

    until(doomed_harness, answered, what="an answer")
