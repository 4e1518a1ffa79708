"""A thousand hostile records in all topics, before, among and after real tasks, over the log in memory."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest

from streamsched.audit.replay import history
from streamsched.audit.verify import verify
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.port import TopicPartition
from streamsched.queries.nodes import nodes
from streamsched.queries.schedule_status import schedule_status
from streamsched.queries.status import children_of, status_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.poison.corpus import Corpus, Place, Poison, check_fates, tally
from tests.support.mini_cluster import MiniCluster


class Besieged(MiniCluster):
    """A cluster under attack, which remembers what was thrown where."""

    def __init__(self) -> None:
        super().__init__(event_partitions=2, child_partitions=2)
        self.thrown: dict[Place, Poison] = {}

    def throw(self, poisons: list[Poison]) -> None:
        appends = [poison.append(self.topics) for poison in poisons]
        for append, poison, offset in zip(appends, poisons, self.log.append(appends), strict=True):
            self.thrown[append.topic, append.partition, offset] = poison

    def told(self) -> Counter[Place]:
        return tally(self.dead_letters())


def test_the_corpus_is_large_and_reaches_every_topic() -> None:
    mini = MiniCluster()
    corpus = Corpus(1, mini.topics, mini.codec).records()
    assert len(corpus) >= 1_000
    assert min(Counter(poison.topic for poison in corpus).values()) >= 5
    assert Counter(poison.fate for poison in corpus)["letter"] >= 500
    assert corpus == Corpus(1, mini.topics, mini.codec).records()
    assert corpus != Corpus(2, mini.topics, mini.codec).records()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
def test_tasks_run_before_among_and_after_the_corpus(seed: int) -> None:
    mini = Besieged()
    mini.submit("before")
    mini.turn()
    corpus = Corpus(seed, mini.topics, mini.codec).records()
    tasks = ["before"]
    for begin in range(0, len(corpus), 250):
        mini.throw(corpus[begin : begin + 250])
        mini.submit(f"among-{begin}")
        tasks.append(f"among-{begin}")
        mini.turn(20)
    mini.submit("after")
    mini.turn(150)
    assert {task: mini.phase(task) for task in [*tasks, "after"]} == dict.fromkeys([*tasks, "after"], "succeeded")
    check_fates(mini.thrown, mini.told())

    assert mini.rows() == mini.folded(), "the scheduler's view is not the fold of the journal"
    newer = {
        place[1:] for place, poison in mini.thrown.items() if poison.topic == "children" and poison.fate == "newer"
    }
    assert set(mini.pending()) == newer, "only what a newer version may read stays unsettled"
    ends = mini.log.end(mini.topics.journal())
    for place, commit in mini.log.committed(mini.topics.scheduler_group, mini.topics.journal(), stable=True).items():
        last = max(offset for topic, partition, offset in mini.thrown if (topic, partition) == place)
        assert commit is not None
        assert last < commit.position <= ends[place]

    # Whoever comes later finds all of it told.
    before = mini.told()
    mini.scheduler.stop()
    mini.scheduler = mini.new_scheduler(View(MemoryStore(), mini.codec))
    mini.submit("later")
    mini.turn(150)
    assert mini.phase("later") == "succeeded"
    assert mini.told() == before
    look(mini)


def look(mini: Besieged) -> None:
    """Look at everything as the commands do."""
    site = cast(Installation, SimpleNamespace(log=mini.log, topics=mini.topics, codec=mini.codec))
    assert {beat.node_id for beat, _ in nodes(site, mini.clock.now())} >= {"w"}
    ends = mini.log.end(mini.topics.journal())
    rubbish = sum(isinstance(event, Undecodable) for _, event in history(mini.log, mini.topics, mini.codec, ends))
    assert rubbish == sum(place.topic == mini.topics.events for place in map(_place, mini.told()))
    report = verify(log=mini.log, coordination=mini.log, topics=mini.topics, codec=mini.codec)
    assert report.unreadable == rubbish
    assert not [fault for fault in report.violations if fault.task_id and "hostile" not in fault.task_id]
    view = mini.scheduler.view
    for task_id in view.task_ids():
        task = view.task(task_id)
        assert task is not None
        assert status_of(task).document()
        if task.children < 100:
            assert sum(1 for _ in children_of(view, task)) == task.children
    assert view.schedules
    for schedule in view.schedules.values():
        assert json.dumps(schedule_status(schedule, mini.clock.now()).document())


def _place(place: Place) -> TopicPartition:
    return TopicPartition(place[0], place[1])
