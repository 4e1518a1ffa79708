"""What has happened to a task: others read in between wherever its records stand, and it ends where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamsched import ChildContext
from streamsched.log import scan
from streamsched.queries import past
from streamsched.queries.past import PastReader
from streamsched.testing.memory_cluster import Cluster

TASK = {
    "name": "t",
    "split": {"range": {"first": 1, "last": 9, "size": 1}},
    "child": {"handler": f"{__name__}:work"},
}


def work(_: ChildContext) -> None:
    pass


def test_it_pauses_though_markers_take_offsets_and_ends_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def records(*args: Any) -> Iterator[Any]:
        return (record for record in scan.records(*args) if record.offset % 2)

    with Cluster(workers=1) as cluster:
        task_id = cluster.submit(TASK)
        cluster.results(task_id)
        task, site = cluster.client.find(task_id), cluster._site
        home = site.topics.journal_of(task_id)
        end = site.log.end([home])[home]
        whole = PastReader(task)
        list(whole.read(site))
        part = PastReader(task, end=end - 4)
        list(part.read(site))
        assert (whole.past().position, part.past().position, part.past().complete) == (end, end - 4, True)
        assert sum(part.past().counts.values()) < sum(whole.past().counts.values())
        monkeypatch.setattr(past, "_LOOK", 2)
        monkeypatch.setattr(past, "records", records)
        read = sum(1 for _ in records(site.log, site.log.start([home]), {home: end}))
        assert len(list(PastReader(task).read(site))) == read // 2 > 2
