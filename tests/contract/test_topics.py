"""Topics are made once, and never silently taken for something else."""

from __future__ import annotations

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import TopicMismatch, TopicPartition, TopicSpec
from tests.support.log_harness import Harness

CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1"}


def test_creation_is_idempotent(harness: Harness, log: LogAdapter) -> None:
    one, two = (TopicSpec(harness.name("topic"), count, CONFIG) for count in (1, 3))
    assert list(log.create_topics([one])) == [one.name]
    assert list(log.create_topics([one, two])) == [two.name]
    assert list(log.create_topics([one, two])) == []
    assert log.partitions(two.name) == 3
    assert list(log.check_topics([one, two])) == []


def test_a_new_topic_is_empty(harness: Harness, log: LogAdapter) -> None:
    name = harness.name("topic")
    log.create_topics([TopicSpec(name, 2, CONFIG)])
    places = [TopicPartition(name, 0), TopicPartition(name, 1)]
    assert log.start(places) == dict.fromkeys(places, 0)
    assert log.end(places) == dict.fromkeys(places, 0)
    assert log.position_at(places, 0) == dict.fromkeys(places, 0)


def test_another_number_of_partitions_is_refused(harness: Harness, log: LogAdapter) -> None:
    name = harness.name("topic")
    log.create_topics([TopicSpec(name, 2, CONFIG)])
    wrong = TopicSpec(name, 5, CONFIG)
    (difference,) = log.check_topics([wrong])
    assert name in difference
    assert "2" in difference
    assert "5" in difference
    with pytest.raises(TopicMismatch, match=name):
        log.create_topics([wrong])
    assert log.partitions(name) == 2


def test_nothing_is_created_when_one_differs(harness: Harness, log: LogAdapter) -> None:
    known, new = harness.name("topic"), harness.name("topic")
    log.create_topics([TopicSpec(known, 2, CONFIG)])
    with pytest.raises(TopicMismatch):
        log.create_topics([TopicSpec(new, 1, CONFIG), TopicSpec(known, 3, CONFIG)])
    with pytest.raises(TopicMismatch, match=new):
        log.partitions(new)


def test_a_missing_topic_is_named(harness: Harness, log: LogAdapter) -> None:
    name = harness.name("topic")
    with pytest.raises(TopicMismatch, match=name):
        log.partitions(name)
    (difference,) = log.check_topics([TopicSpec(name, 1, CONFIG)])
    assert name in difference


def test_all_connections_are_of_one_cluster(harness: Harness, log: LogAdapter) -> None:
    assert log.cluster_id
    assert harness.connect().cluster_id == log.cluster_id


def test_a_topic_has_an_id_of_its_own(harness: Harness, log: LogAdapter) -> None:
    one, two = (TopicSpec(harness.name("topic"), 1, CONFIG) for _ in range(2))
    log.create_topics([one, two])
    assert log.topic_id(one.name) == harness.connect().topic_id(one.name) != log.topic_id(two.name)
    with pytest.raises(TopicMismatch):
        log.topic_id(harness.name("topic"))
