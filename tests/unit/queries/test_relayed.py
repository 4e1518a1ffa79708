"""``logs`` on Kafka: the lines of a task or a child from the topic, then those that come, until the task is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, cast

import pytest

from streamsched.domain.ids import partition_of
from streamsched.installation.settings import Settings
from streamsched.log.port import Append, TopicMismatch, TopicPartition
from streamsched.queries import logs
from streamsched.queries.logs import LATE_S, Logs
from streamsched.queries.relayed import Relayed
from streamsched.testing.memory_cluster import Cluster
from streamsched.worker.relay import records_of
from tests.unit.worker.test_relay import line

TEMPLATE = {
    "name": "t",
    "split": {"range": {"first": 1, "last": 1, "size": 1}},
    "child": {"handler": f"{__name__}:work"},
}


def work() -> None:
    """Do nothing."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(workers=0) as made:
        yield made


def relay(cluster: Cluster, *lines: bytes) -> None:
    """Write lines as a worker does."""
    topics = cluster._site.topics
    for name, value in records_of(b"".join(lines)):
        partition = partition_of(name, topics.event_partitions)
        cluster._outside.append([Append(topics.output, partition, name.encode(), value)])


def relayed(cluster: Cluster, task_id: str, child: str | None = None, since: int = 0) -> Relayed:
    return Relayed(cluster._site, task_id, child, since)


def texts(lines: Iterator[str]) -> list[str]:
    return [each.partition("#1 ")[2] for each in lines]


def test_the_lines_of_a_task_and_of_a_child_then_those_that_come(cluster: Cluster) -> None:
    relay(cluster, line("a[0]", "zero"), line("a[10]", "ten"), line("b[0]", "other"), line("a[reduce]", "all"))
    with closing(relayed(cluster, "a")) as found, closing(relayed(cluster, "a", "10")) as child:
        assert texts(found.read()) == ["zero", "ten", "all"]
        assert texts(child.read()) == ["ten"]
        assert texts(found.read()) == []
        relay(cluster, line("a[10]", "more"))
        assert texts(found.read()) == texts(child.read()) == ["more"]


def test_what_others_wrote_there_is_passed_over(cluster: Cluster) -> None:
    topics = cluster._site.topics
    partition = partition_of("a", topics.event_partitions)
    values: Sequence[tuple[bytes | None, bytes | None]] = [
        (None, line("a[0]", "no key")), (b"\xff", line("a[0]", "another key")), (b"a", None), (b"a", b""),
        (b"a", b"\0\xff\n\n a[0]#1 "), (b"a", line("b[0]", "of another task")), (b"a", line("a[0]", "\x1b[31m")),
        (b"a", b"x" * 100_000 + line("a[0]", "inside")),
    ]  # fmt: skip
    cluster._outside.append([Append(topics.output, partition, key, value) for key, value in values])
    with closing(relayed(cluster, "a")) as found:
        assert texts(found.read()) == ["\x1b[31m"]


def test_it_begins_a_little_before_the_request(cluster: Cluster) -> None:
    relay(cluster, line("a[0]", "old"))
    begun = cluster._site.clock.now() + 120_000
    cluster.advance(120)
    relay(cluster, line("a[0]", "new"))
    with closing(relayed(cluster, "a", since=begun)) as found:
        assert texts(found.read()) == ["new"]
    with closing(relayed(cluster, "a", since=begun - 60_000)) as found:
        assert texts(found.read()) == ["old", "new"]


def test_what_was_deleted_meanwhile_is_passed_over(cluster: Cluster) -> None:
    relay(cluster, line("a[0]", "one"))
    with closing(relayed(cluster, "a")) as found:
        topics = cluster._site.topics
        place = TopicPartition(topics.output, partition_of("a", topics.event_partitions))
        for text in ("two", "three"):
            relay(cluster, line("a[0]", text))
        cluster._outside.delete_before({place: 2})
        assert texts(found.read()) == ["three"]


@pytest.fixture
def on_kafka(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(cluster._site, "settings", Settings(brokers="x:1"))
    return cluster


def passes(cluster: Cluster, found: Logs) -> list[str]:
    return [each.text for each in found.read(cluster.client.status("a"))]


def opened(cluster: Cluster, *, follow: bool) -> Logs:
    return Logs(cluster._site, cast(Any, cluster.client.find("a")), None, follow=follow)


def test_it_is_followed_until_what_a_done_task_printed_last_has_come(on_kafka: Cluster) -> None:
    cluster = on_kafka
    cluster.submit(TEMPLATE, task_id="a")
    with closing(opened(cluster, follow=True)) as found, closing(opened(cluster, follow=False)) as once:
        relay(cluster, line("a[0]", "one"))
        assert passes(cluster, found) == passes(cluster, once) == ["one"]
        assert (found.over, once.over) == (False, True)
        cluster.add_worker()
        cluster.run_until("a")
        with closing(opened(cluster, follow=False)) as late:
            assert (passes(cluster, found), passes(cluster, late)) == ([], ["one"])
            assert (found.over, late.over) == (False, False)
            relay(cluster, line("a[0]", "two"))
            found._until = late._until = 0.0
            assert passes(cluster, found) == passes(cluster, late) == ["two"]
            assert found.over
            assert late.over
    cluster.advance(LATE_S)
    with closing(opened(cluster, follow=True)) as found:
        assert passes(cluster, found) == ["one", "two"]
        assert found.over


def test_without_the_topic_only_the_ends_of_failures_are_there_and_it_says_so(
    on_kafka: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = on_kafka
    cluster.submit(TEMPLATE, task_id="a")

    def missing(topic: str) -> int:
        raise TopicMismatch("no topic; streamsched topics create")

    at = "2026-11-28T15:00:00.123Z"
    monkeypatch.setattr(cluster._site.log, "partitions", missing)
    monkeypatch.setattr(logs, "failed_output", lambda site, task, child: iter([f"{at} a[0]#1 end"]))
    with closing(opened(cluster, follow=True)) as found:
        (told,) = found.read(cluster.client.status("a"))
    assert told.document() == {"time": at, "child": "0", "attempt": 1, "text": "end", "tail": True}
    assert found.over
    assert "only the ends of what failed attempts printed can be shown: no topic; streamsched topics" in caplog.text
