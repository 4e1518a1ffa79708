"""One dead letter for each record of the journal that is none, whoever folds ahead, dies, takes over or starts anew."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from streamsched.log.port import Append, TransactionAborted
from streamsched.scheduler.node import Scheduler
from streamsched.view.follow import Follower
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.mini_cluster import MiniCluster


class Crowd(MiniCluster):
    """A cluster whose first scheduler makes way for any number of others."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.rng = Random(seed)
        self.thrown: list[tuple[int, int]] = []
        self.others: list[Scheduler] = []

    def throw(self, partition: int) -> None:
        (offset,) = self.log.append([Append(self.topics.events, partition, b"k", b"rubbish")])
        self.thrown.append((partition, offset))

    def kill(self, scheduler: Scheduler) -> None:
        """End a scheduler without a word, as its parent process tells."""
        member, writer = scheduler.heartbeats.membership
        self.log.evict(self.topics.scheduler_group, member)
        self.log.fence(writer)

    def join(self, view: View | None = None) -> Scheduler:
        self.others.append(self.new_scheduler(view or View(MemoryStore(), self.codec)))
        return self.others[-1]

    def step(self, *schedulers: Scheduler, times: int = 40) -> None:
        for _ in range(times):
            for scheduler in schedulers:
                scheduler.step(0.0)
                self.clock.advance(0.01)

    def check(self) -> None:
        told = Counter((letter.partition, letter.offset) for letter in self.dead_letters())
        assert told == Counter(self.thrown)


def test_what_came_while_no_scheduler_was_there() -> None:
    mini = Crowd()
    mini.scheduler.stop()
    mini.throw(0)
    mini.step(mini.join())
    mini.check()


def test_what_a_standby_had_folded_before_it_took_over() -> None:
    mini = Crowd()
    second = mini.join()
    mini.step(mini.scheduler, second)
    mini.throw(0)
    mini.throw(1)
    end = [mini.log.end([place])[place] for place in mini.topics.journal()]
    while [second.view.positions.get(place.partition) for place in mini.topics.journal()] != end:
        second._fold(second._journal.reader.poll(100, 0.0))  # it reads, and has no turn to write
    assert mini.dead_letters() == []
    mini.kill(mini.scheduler)
    mini.step(second)
    mini.check()


def test_what_a_view_had_folded_before_its_scheduler_started() -> None:
    mini = Crowd()
    mini.scheduler.stop()
    mini.throw(0)
    view = View(MemoryStore(), mini.codec)
    follower = Follower(log=mini.log, topics=mini.topics, codec=mini.codec, view=view)
    follower.catch_up(mini.topics.journal())
    mini.submit("task")
    scheduler = mini.join(view)
    mini.step(scheduler)
    mini.check()
    mini.scheduler = scheduler
    mini.turn()
    assert mini.phase("task") == "succeeded"


def test_what_was_told_is_not_told_again_by_one_that_folds_anew() -> None:
    mini = Crowd()
    mini.throw(0)
    mini.step(mini.scheduler)
    mini.check()
    mini.kill(mini.scheduler)
    mini.step(mini.join())
    mini.throw(0)
    mini.step(mini.others[-1])
    mini.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_deaths_and_joins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = Crowd(seed)
    rng = mini.rng
    living = [mini.scheduler]
    stores = [MemoryStore()]
    for turn in range(120):
        dice = rng.random()
        if dice < 0.25:
            mini.throw(rng.randrange(2))
        elif dice < 0.32:
            mini.submit(f"task-{turn}")
        elif dice < 0.37 and len(living) > 1:
            mini.kill(living.pop(rng.randrange(len(living))))
        elif dice < 0.4 and len(living) > 1:
            living.pop(rng.randrange(len(living))).stop()
        elif dice < 0.47 and len(living) < 4:
            store = rng.choice([*stores, MemoryStore()])  # the disk of one that died, or an empty one
            stores.append(store)
            living.append(mini.join(View(store, mini.codec)))
        elif dice < 0.55:
            _refuse_next_commit(rng.choice(living), monkeypatch)
        else:
            mini.step(rng.choice(living), times=rng.randrange(1, 4))
    mini.step(*living, times=200)
    mini.check()


def _refuse_next_commit(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = scheduler._ownership._transactions._writer
    if writer is None:
        return  # it has not written yet
    commit = writer.commit

    def refuse(*_: object) -> None:
        monkeypatch.setattr(writer, "commit", commit)
        raise TransactionAborted("made up")

    monkeypatch.setattr(writer, "commit", refuse)
