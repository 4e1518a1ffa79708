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
from tests.support.house import House


class Crowd(House):
    """A house whose first scheduler makes way for any number of others."""

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
        member, writer = scheduler.pulse.membership
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
    house = Crowd()
    house.scheduler.stop()
    house.throw(0)
    house.step(house.join())
    house.check()


def test_what_a_standby_had_folded_before_it_took_over() -> None:
    house = Crowd()
    second = house.join()
    house.step(house.scheduler, second)
    house.throw(0)
    house.throw(1)
    end = [house.log.end([place])[place] for place in house.topics.journal()]
    while [second.view.positions.get(place.partition) for place in house.topics.journal()] != end:
        second._fold(second._journal.reader.poll(100, 0.0))  # it reads, and has no turn to write
    assert house.dead_letters() == []
    house.kill(house.scheduler)
    house.step(second)
    house.check()


def test_what_a_view_had_folded_before_its_scheduler_started() -> None:
    house = Crowd()
    house.scheduler.stop()
    house.throw(0)
    view = View(MemoryStore(), house.codec)
    follower = Follower(log=house.log, topics=house.topics, codec=house.codec, view=view)
    follower.catch_up(house.topics.journal())
    house.submit("task")
    scheduler = house.join(view)
    house.step(scheduler)
    house.check()
    house.scheduler = scheduler
    house.turn()
    assert house.phase("task") == "succeeded"


def test_what_was_told_is_not_told_again_by_one_that_folds_anew() -> None:
    house = Crowd()
    house.throw(0)
    house.step(house.scheduler)
    house.check()
    house.kill(house.scheduler)
    house.step(house.join())
    house.throw(0)
    house.step(house.others[-1])
    house.check()


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_deaths_and_joins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    house = Crowd(seed)
    rng = house.rng
    living = [house.scheduler]
    stores = [MemoryStore()]
    for turn in range(120):
        dice = rng.random()
        if dice < 0.25:
            house.throw(rng.randrange(2))
        elif dice < 0.32:
            house.submit(f"task-{turn}")
        elif dice < 0.37 and len(living) > 1:
            house.kill(living.pop(rng.randrange(len(living))))
        elif dice < 0.4 and len(living) > 1:
            living.pop(rng.randrange(len(living))).stop()
        elif dice < 0.47 and len(living) < 4:
            store = rng.choice([*stores, MemoryStore()])  # the disk of one that died, or an empty one
            stores.append(store)
            living.append(house.join(View(store, house.codec)))
        elif dice < 0.55:
            _refuse_next_commit(rng.choice(living), monkeypatch)
        else:
            house.step(rng.choice(living), times=rng.randrange(1, 4))
    house.step(*living, times=200)
    house.check()


def _refuse_next_commit(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = scheduler._ownership._transactions._writer
    if writer is None:
        return  # it has not written yet
    commit = writer.commit

    def refuse(*_: object) -> None:
        monkeypatch.setattr(writer, "commit", commit)
        raise TransactionAborted("made up")

    monkeypatch.setattr(writer, "commit", refuse)
