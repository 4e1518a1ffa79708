"""Kafka's errors, classed by what the caller must do."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from streamsched.log.kafka.errors import passing, translate, unanswered
from streamsched.log.port import LogUnreachable


@pytest.mark.parametrize(
    "name",
    ["FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "OFFSET_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "_TRANSPORT"],
)
def test_a_change_of_leader_is_waited_for(name: str) -> None:
    error = KafkaError(getattr(KafkaError, name))
    assert unanswered(error)
    assert passing(error)
    assert isinstance(translate(error, "look up offsets", "broker"), LogUnreachable)
