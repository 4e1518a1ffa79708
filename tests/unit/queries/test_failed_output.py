"""The end of what failed attempts have printed stands in the journal, and is told child by child."""

from __future__ import annotations

from streamsched.domain import events as e
from streamsched.queries.failed_output import failed_output
from streamsched.testing.memory_cluster import Cluster

TEMPLATE = {
    "name": "t",
    "split": {"range": {"first": 1, "last": 3, "size": 1}},
    "child": {"handler": f"{__name__}:work", "retry": {"max_attempts": 1}},
}


def work() -> None:
    raise KeyError("no")


def test_it_is_told_by_child() -> None:
    with Cluster(workers=0) as cluster:
        task_id = cluster.submit(TEMPLATE, task_id="job")
        cluster.advance(2)
        log, records, me = cluster._outside, cluster._site.records, cluster._site.identity("test")
        for child, output in ((0, "a\nb"), (1, None), (2, "c")):
            failure = me.sign(
                e.ChildFailed, task_id=task_id, child=child, ordinal=1, attempt=1, token=1, started_at=1, sequence=0,
                state=None, reason="error", error_type="E", message="", traceback="", retryable=False, delay=None,
                output=output,
            )  # fmt: skip
            log.append([records.journal(failure, task_id)])
        task = cluster.client.find(task_id)
        told = [line.partition("Z ")[2] for line in failed_output(cluster._site, task, None)]
        assert told == ["job[0]#1 a", "job[0]#1 b", "job[2]#1 c"]
        assert list(failed_output(cluster._site, task, "1")) == []
        assert len(list(failed_output(cluster._site, task, "0"))) == 2
