"""Kafka's errors, classed by what the caller must do."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamsched.log.kafka.errors import passing, translate, unanswered
from streamsched.log.kafka.writer import KafkaWriter
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


def test_a_transaction_names_its_first_error_where_positions_fail_for_the_wrong_state() -> None:
    first = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    wrong_state = KafkaError(KafkaError._STATE, "wrong state", txn_requires_abort=True)

    class Refusing:
        def begin_transaction(self) -> None:
            raise KafkaException(first)

    writer = object.__new__(KafkaWriter)
    writer._producer = Refusing()
    assert writer._first_error(wrong_state) is first
    assert writer._first_error(first) is first
