"""Topics on the cluster, made and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic  # type: ignore[attr-defined]  # its stubs do not export them

from streamsched.log.kafka import errors
from streamsched.log.kafka.admin import Admin, sending
from streamsched.log.kafka.config import REQUEST_LIMIT_S
from streamsched.log.port import LogUnreachable, TopicFacts, TopicMismatch, TopicSpec
from streamsched.log.topics import RECORD_LIMIT


def create(admin: Admin, specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that are missing and return their names.

    Raises ``TopicMismatch``, with nothing created, where an existing one differs; it names every difference.
    """
    counts = _partitions(admin, specs)
    wrong = _differences(admin, [spec for spec in specs if spec.name in counts], counts)
    if wrong:
        raise TopicMismatch("; ".join(wrong))
    missing = [spec for spec in specs if spec.name not in counts]
    for spec in missing:
        in_sync = {"min.insync.replicas": str(spec.min_insync)} if spec.min_insync else {}
        topic = NewTopic(spec.name, spec.partitions, spec.replication, config={**spec.config, **in_sync})
        admin.ask(f"create topic {spec.name}", partial(_create, topic))
    _await(admin, missing)
    return [spec.name for spec in missing]


def check(admin: Admin, specs: Sequence[TopicSpec]) -> list[str]:
    """Return every difference between the topics and what they must be, in words."""
    return _differences(admin, specs, _partitions(admin, specs))


def facts(admin: Admin, topic: str) -> TopicFacts:
    """Say how many partitions a topic has, and what it takes. Raises ``TopicMismatch`` where there is none."""
    partitions = len(admin.topic(topic).partitions)
    limit = int(_settings(admin, topic)["max.message.bytes"].value)
    return TopicFacts(partitions, min(limit, RECORD_LIMIT))


def _settings(admin: Admin, topic: str) -> Any:
    request = sending("describe_configs", [ConfigResource(ConfigResource.Type.TOPIC, topic)])
    return admin.ask(f"read the settings of topic {topic}", request)[0]


def _create(topic: Any, client: Any, *, request_timeout: float) -> Mapping[str, Future[Any]]:
    answers: Mapping[str, Future[Any]] = client.create_topics(
        [topic], operation_timeout=REQUEST_LIMIT_S, request_timeout=request_timeout
    )
    # Exists: another was faster, or an earlier try came through after all.
    return _without(answers, lambda error: error.code() == KafkaError.TOPIC_ALREADY_EXISTS)


def _await(admin: Admin, specs: Sequence[TopicSpec]) -> None:
    deadline = time.monotonic() + REQUEST_LIMIT_S
    while len(_partitions(admin, specs)) < len(specs):
        if time.monotonic() > deadline:
            raise LogUnreachable("the new topics do not show up: wait, then try again: streamsched topics create")
        time.sleep(0.05)


def _partitions(admin: Admin, specs: Sequence[TopicSpec]) -> dict[str, int]:
    """Count the partitions of those topics that exist."""
    if not specs:
        return {}
    found = admin.ask("look up topics", partial(_describe, [spec.name for spec in specs]))
    return {topic.name: len(topic.partitions) for topic in found}


def _describe(names: list[str], client: Any, *, request_timeout: float) -> Mapping[str, Future[Any]]:
    answers: Mapping[str, Future[Any]] = client.describe_topics(TopicCollection(names), request_timeout=request_timeout)
    return _without(answers, errors.no_such_topic)


def _without(answers: Mapping[str, Future[Any]], ignored: Callable[[Any], bool]) -> Mapping[str, Future[Any]]:
    """Drop the answers whose failure is expected here."""

    def counts(answer: Future[Any]) -> bool:
        failure = answer.exception(REQUEST_LIMIT_S)
        return not (isinstance(failure, KafkaException) and ignored(errors.cause(failure)))

    return {name: answer for name, answer in answers.items() if counts(answer)}


def _differences(admin: Admin, specs: Sequence[TopicSpec], counts: Mapping[str, int]) -> list[str]:
    wrong = []
    for spec in specs:
        if spec.name not in counts:
            wrong.append(f"topic {spec.name} is missing")
            continue
        if counts[spec.name] != spec.partitions:
            wrong.append(f"topic {spec.name} has {counts[spec.name]} partitions, not {spec.partitions}")
        settings = _settings(admin, spec.name)
        for name, value in spec.config.items():
            actual = settings[name].value if name in settings else "unknown to the broker"
            if actual != value:
                remedy = f"kafka-configs.sh --alter --topic {spec.name} --add-config {name}={value}"
                wrong.append(f"topic {spec.name} has {name}={actual}, not {value} ({remedy})")
    return wrong
