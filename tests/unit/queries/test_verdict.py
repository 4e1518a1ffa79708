"""Between the last outcome of a task and its terminal event: what clients are told, and what they may do."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from streamsched.commands.redrive import NotRedrivable
from streamsched.domain.task import Task
from streamsched.log.port import TopicPartition
from streamsched.queries import tasks
from streamsched.runtime.identity import Identity
from streamsched.testing.site import MemoryClient
from tests.support.clients import Disk, Site, session_of
from tests.support.mini_cluster import MiniCluster


class Cluster(MiniCluster):
    """Its task ``job`` has run all children, and its scheduler, which has not folded that, stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.submit("job")
        for _ in range(1_000):
            task = self.scheduler.view.task("job")
            if task is not None and task.plan and task.cells == task.children:
                break
            self.scheduler.step(0.0)
            self.clock.advance(0.1)
            if task is not None and task.live:
                self.worker.step(0.0)
        for _ in range(20):
            self.worker.step(0.0)
            self.clock.advance(0.1)
        site = Site(self.cluster.connect("reader"), self.topics, self.codec, Identity("r", "r", self.clock), Disk())
        self.client = MemoryClient(site)

    def kinds(self) -> list[str]:
        """List the types of the events in the journal of the task."""
        records = self.read([self.topics.journal_of("job")])
        return [type(self.event_reader().journal(record)).__name__ for record in records]


def test_who_waits_is_told_before_the_terminal_event_and_the_same_after_it() -> None:
    cluster = Cluster()
    told = cluster.client.wait("job")
    assert told.state == "succeeded"
    assert told.done
    assert told.finished_at is not None
    assert "TaskSucceeded" not in cluster.kinds()
    assert (cluster.client.status("job"), cluster.phase("job")) == (told, "running")
    cluster.turn()
    assert cluster.kinds().count("TaskSucceeded") == 1
    assert cluster.client.status("job") == told


def test_what_is_done_is_not_cancelled() -> None:
    cluster = Cluster()
    assert cluster.client.cancel("job").done
    assert "TaskCancelRequested" not in cluster.kinds()


@pytest.mark.parametrize("fold_s", [0.0, 2 * tasks.END_S])
def test_a_redrive_waits_for_the_terminal_event(monkeypatch: pytest.MonkeyPatch, fold_s: float) -> None:
    """However long the first fold of the journal takes."""
    cluster = Cluster()
    changes, find = session_of(cluster.client).changes, tasks.Tasks.find

    def find_slowly(self: tasks.Tasks, task_id: str) -> Task:
        cluster.clock.advance(fold_s)
        return find(self, task_id)

    monkeypatch.setattr(tasks.Tasks, "find", find_slowly)

    def beside_the_scheduler(places: Collection[TopicPartition], interval: float) -> Iterator[int]:
        for folded in changes(places, interval):
            cluster.scheduler.step(0.0)
            cluster.clock.advance(0.01)
            yield folded

    monkeypatch.setattr(session_of(cluster.client), "changes", beside_the_scheduler)
    redriven = cluster.client.redrive("job", everything=True).status
    assert (redriven.redrive, redriven.done) == (1, False)
    assert cluster.kinds()[-2:] == ["TaskSucceeded", "TaskRedriven"]


def test_a_redrive_without_a_scheduler_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    monkeypatch.setattr(tasks, "END_S", 0.0)
    with pytest.raises(NotRedrivable, match=r"task 'job' is succeeding: .*a scheduler has to run"):
        cluster.client.redrive("job", everything=True)
    assert "TaskRedriven" not in cluster.kinds()
