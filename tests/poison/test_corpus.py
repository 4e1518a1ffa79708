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
from tests.support.house import House


class Besieged(House):
    """A house under attack, which remembers what was thrown where."""

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
    house = House()
    corpus = Corpus(1, house.topics, house.codec).records()
    assert len(corpus) >= 1_000
    assert min(Counter(poison.topic for poison in corpus).values()) >= 5
    assert Counter(poison.fate for poison in corpus)["letter"] >= 500
    assert corpus == Corpus(1, house.topics, house.codec).records()
    assert corpus != Corpus(2, house.topics, house.codec).records()


@pytest.mark.parametrize("seed", range(1, 3))
def test_tasks_run_before_among_and_after_the_corpus(seed: int) -> None:
    house = Besieged()
    house.submit("before")
    house.turn()
    corpus = Corpus(seed, house.topics, house.codec).records()
    tasks = ["before"]
    for begin in range(0, len(corpus), 250):
        house.throw(corpus[begin : begin + 250])
        house.submit(f"among-{begin}")
        tasks.append(f"among-{begin}")
        house.turn(20)
    house.submit("after")
    house.turn(150)
    assert {task: house.phase(task) for task in [*tasks, "after"]} == dict.fromkeys([*tasks, "after"], "succeeded")
    check_fates(house.thrown, house.told())

    assert house.rows() == house.folded(), "the scheduler's view is not the fold of the journal"
    newer = {
        place[1:] for place, poison in house.thrown.items() if poison.topic == "children" and poison.fate == "newer"
    }
    assert set(house.pending()) == newer, "only what a newer version may read stays unsettled"
    ends = house.log.end(house.topics.journal())
    for place, commit in house.log.committed(house.topics.scheduler_group, house.topics.journal(), stable=True).items():
        last = max(offset for topic, partition, offset in house.thrown if (topic, partition) == place)
        assert commit is not None
        assert last < commit.position <= ends[place]

    # Whoever comes later finds all of it told.
    before = house.told()
    house.scheduler.stop()
    house.scheduler = house.new_scheduler(View(MemoryStore(), house.codec))
    house.submit("later")
    house.turn(150)
    assert house.phase("later") == "succeeded"
    assert house.told() == before
    look(house)


def look(house: Besieged) -> None:
    """Look at everything as the commands do."""
    site = cast(Installation, SimpleNamespace(log=house.log, topics=house.topics, codec=house.codec))
    assert {beat.node_id for beat, _ in nodes(site, house.clock.now())} >= {"w"}
    ends = house.log.end(house.topics.journal())
    rubbish = sum(isinstance(event, Undecodable) for _, event in history(house.log, house.topics, house.codec, ends))
    assert rubbish == sum(place.topic == house.topics.events for place in map(_place, house.told()))
    report = verify(log=house.log, coordination=house.log, topics=house.topics, codec=house.codec)
    assert report.unreadable == rubbish
    assert not [fault for fault in report.violations if fault.task_id and "hostile" not in fault.task_id]
    view = house.scheduler.view
    for task_id in view.task_ids():
        task = view.task(task_id)
        assert task is not None
        assert status_of(task).document()
        if task.children < 100:
            assert sum(1 for _ in children_of(view, task)) == task.children
    assert view.schedules
    for schedule in view.schedules.values():
        assert json.dumps(schedule_status(schedule, house.clock.now()).document())


def _place(place: Place) -> TopicPartition:
    return TopicPartition(place[0], place[1])
