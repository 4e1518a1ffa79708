"""A record of an unknown schema stops its partition until somebody sets it aside; then every fold is the same."""

from __future__ import annotations

from contextlib import closing
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamsched.audit.replay import ends_of, rebuild
from streamsched.audit.verify import Report, verify
from streamsched.commands.set_aside import Decided, set_aside
from streamsched.domain import events as e
from streamsched.domain.errors import InputError
from streamsched.log.codec import headers_of
from streamsched.log.journal import JournalReader
from streamsched.log.port import Append, TopicPartition
from streamsched.runtime.identity import Identity
from streamsched.scheduler.node import Scheduler
from streamsched.view.follow import Follower
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker.node import Worker
from tests.support.mini_cluster import InstantPool, MiniCluster, _state

NEWER = b"\xc3\x01" + b"\xff" * 8 + b"from the future"


class Site(MiniCluster):
    """A cluster with an administrator."""

    def throw(self, topic: str, partition: int = 0, value: bytes = NEWER) -> int:
        (offset,) = self.log.append([Append(topic, partition, b"k", value)])
        return offset

    def decide(self, offset: int, partition: int = 0, *, work_log: bool = False, reason: str = "a test") -> Decided:
        site: Any = SimpleNamespace(
            log=self.log, topics=self.topics, codec=self.codec, settings=SimpleNamespace(brokers="some", data_dir=None)
        )
        session: Any = SimpleNamespace(site=site, me=self.me)
        return set_aside(session, partition, offset, reason, topic="work-log" if work_log else "journal")

    def audit(self) -> Report:
        return verify(log=self.log, coordination=self.log, topics=self.topics, codec=self.codec)

    def rebuilt(self) -> dict[bytes, bytes]:
        store = MemoryStore()
        rebuild(View(store, self.codec), self.log, self.topics, self.codec, ends_of(self.log, self.topics.journal()))
        return _state(store)

    def kill(self, scheduler: Scheduler) -> None:
        member, writer = scheduler.heartbeats.membership
        self.log.evict(self.topics.scheduler_group, member)
        self.log.fence(writer)

    def succeeds(self, *task_ids: str) -> None:
        self.turn()
        assert [self.phase(task_id) for task_id in task_ids] == ["succeeded"] * len(task_ids)


def test_a_partition_goes_on_when_its_record_is_set_aside() -> None:
    site = Site()
    before, behind, free = site.id_in(0, "a"), site.id_in(0, "b"), site.id_in(1)
    site.submit(before)
    site.turn()
    offset = site.throw(site.topics.events)
    site.submit(behind)
    site.submit(free)
    site.succeeds(before, free)
    assert site.phase(behind) == "none"
    decided = site.decide(offset)
    assert (decided.before, decided.reason) == (False, "a test")
    site.succeeds(before, behind, free)
    (letter,) = site.dead_letters()
    assert (letter.partition, letter.offset, letter.value) == (0, offset, NEWER)
    assert letter.reason.endswith("set aside by me: a test")


def test_every_fold_is_the_same_whenever_it_reads() -> None:
    site = Site()
    ids = [site.id_in(0, stem) for stem in "abc"]
    early = Follower(log=site.log, topics=site.topics, codec=site.codec, view=View(MemoryStore(), site.codec))
    site.submit(ids[0])
    offset = site.throw(site.topics.events)
    early.catch_up(site.topics.journal())
    assert early.halts[0].offset == offset
    assert early.view.positions[0] == offset
    site.submit(ids[1])
    site.decide(offset)
    site.submit(ids[2])
    site.succeeds(*ids)
    early.catch_up(site.topics.journal())
    early.view.flush()
    assert not early.halts
    assert _state(early.view._store) == site.folded() == site.rebuilt() == site.rows()
    report = site.audit()
    assert not report.total, report.violations
    assert [note for note in report.notes if "set aside by me: a test" in note]
    assert report.unreadable == 1


def test_a_fold_that_ends_before_the_decision_heeds_it_all_the_same() -> None:
    site = Site()
    task_id = site.id_in(0)
    offset = site.throw(site.topics.events)
    site.submit(task_id)
    site.decide(offset)
    with closing(JournalReader(site.log, site.topics, site.codec)) as reader:
        store, place = MemoryStore(), site.topics.journal_of(task_id)
        view = View(store, site.codec)
        rebuild(view, site.log, site.topics, site.codec, {place: offset + 2})
        assert view.task(task_id) is not None
        reader.assign({place: 0})
        assert reader.left({place: offset + 1}) == offset + 1


@pytest.mark.parametrize("own_view", [True, False], ids=["its view", "no view"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_new_owner_finds_the_decision(when: str, *, own_view: bool) -> None:
    """The owner dies before or after the decision; the next one has its view, or none."""
    site = Site()
    ids = [site.id_in(0, stem) for stem in "abc"]
    site.submit(ids[0])
    site.turn()
    offset = site.throw(site.topics.events)
    site.submit(ids[1])
    site.turn()
    if when == "before":
        site.kill(site.scheduler)
    site.decide(offset)
    if when == "after":
        site.turn(2)
        site.kill(site.scheduler)
    site.scheduler.view.flush()
    view = View(site.scheduler.view._store if own_view else MemoryStore(), site.codec)
    site.scheduler = site.new_scheduler(view)
    site.submit(ids[2])
    site.turn(120)
    site.succeeds(*ids)
    assert [(letter.partition, letter.offset) for letter in site.dead_letters()] == [(0, offset)]
    assert site.folded() == site.rebuilt() == site.rows()


def test_each_of_many_records_needs_a_decision_of_its_own_in_any_order() -> None:
    site = Site()
    ids, offsets = [site.id_in(0, stem) for stem in "abcd"], []
    for task_id in ids:
        offsets.append(site.throw(site.topics.events))
        site.submit(task_id)
    site.turn()
    for offset in (offsets[2], offsets[1], offsets[3]):
        site.decide(offset)
        site.turn()
        assert site.phase(ids[0]) == "none"
    site.decide(offsets[0])
    site.succeeds(*ids)
    assert [letter.offset for letter in site.dead_letters()] == offsets
    assert site.folded() == site.rebuilt() == site.rows()


def test_what_was_read_before_a_partition_stood_still_is_not_read_again() -> None:
    """A partition that stands still commits nothing: read from its position, each record would cost all before it."""
    site = Site()
    task_id = site.id_in(0)
    site.turn()
    scheduler, reader = site.scheduler, site.scheduler._journal.reader
    begun, poll = scheduler._ownership.claims[0].position, reader.poll
    given: list[int] = []

    def polled(limit: int, timeout: float) -> list[Any]:
        found = poll(limit, timeout)
        given.extend(record.offset for record, event in found if event is not None and record.partition == 0)
        return found

    reader.poll = polled  # type: ignore[method-assign]
    letters = []
    for _ in range(4):
        letters += [site.throw(site.topics.events, 0, b"rubbish"), site.throw(site.topics.events)]
    for offset in letters[1::2]:
        site.turn()
        assert scheduler._ownership.claims[0].position == begun
        site.decide(offset)
    site.submit(task_id)
    site.succeeds(task_id)
    assert given == sorted(set(given))
    assert [letter.offset for letter in site.dead_letters()] == letters


def test_decisions_in_flight_when_a_partition_stands_still_are_not_made_twice() -> None:
    """What the owner wrote behind the record is folded before it decides anything again."""
    site = Site()
    ids = [site.id_in(0, f"t{n}-") for n in range(5)]
    for task_id in ids:
        site.submit(task_id)
    for _ in range(3):
        site.scheduler.step(0.0)
        site.throw(site.topics.events)
    site.turn()
    for record in list(site.read(site.topics.journal())):
        if record.value == NEWER:
            site.decide(record.offset, record.partition)
    site.succeeds(*ids)
    report = site.audit()
    assert not report.total, report.violations
    assert report.void == 0


def test_the_audit_judges_up_to_the_record_and_the_other_partitions() -> None:
    site = Site()
    halted, behind, free = site.id_in(0, "a"), site.id_in(0, "b"), site.id_in(1)
    site.submit(halted)
    site.turn(3)
    offset = site.throw(site.topics.events)
    site.submit(behind)
    site.submit(free)
    site.turn()
    report = site.audit()
    assert not report.total, report.violations
    (note,) = report.notes
    assert f"offset {offset}: unknown schema fingerprint ffffffffffffffff" in note
    assert f"streamsched dead-letters set-aside 0 {offset} --topic {site.topics.events}" in note


def test_what_can_be_read_or_is_not_there_is_not_set_aside() -> None:
    site = Site()
    task_id = site.id_in(0)
    site.submit(task_id)
    rubbish, unknown = site.throw(site.topics.events, 0, b"rubbish"), site.throw(site.topics.events)
    with pytest.raises(InputError, match="TaskRequested, which this version reads"):
        site.decide(0)
    with pytest.raises(InputError, match="is set aside by itself"):
        site.decide(rubbish)
    for offset in (unknown + 1, 1_000_000):
        with pytest.raises(InputError, match="there is no record"):
            site.decide(offset)
    for reason in ("", "  ", "x" * 2_001):
        with pytest.raises(InputError, match="reason"):
            site.decide(unknown, reason=reason)
    with pytest.raises(InputError, match="is not text"):
        site.decide(unknown, reason="\udcff")
    assert not site.decide(unknown).before
    again = site.decide(unknown, reason="another")
    assert (again.before, again.reason) == (True, "a test")


@pytest.mark.parametrize("key", [None, b"k"])
@pytest.mark.parametrize(("partition", "shift"), [(1, 0), (0, 3), (0, 1_000)])
def test_a_decision_about_another_place_has_no_effect(key: bytes | None, partition: int, shift: int) -> None:
    site = Site()
    task_id = site.id_in(0)
    offset = site.throw(site.topics.events)
    forged = site.me.sign(e.RecordSetAside, partition=partition, offset=offset + shift, reason="forged")
    site.log.append([Append(site.topics.events, 0, key, site.codec.encode(forged), headers_of(forged))])
    site.submit(task_id)
    site.turn()
    assert site.phase(task_id) == "none"


def test_a_decision_about_a_record_that_can_be_read_has_no_effect() -> None:
    site = Site()
    task_id = site.id_in(0)
    site.submit(task_id)
    forged = site.me.sign(e.RecordSetAside, partition=0, offset=0, reason="forged")
    site.log.append([Append(site.topics.events, 0, None, site.codec.encode(forged), headers_of(forged))])
    site.succeeds(task_id)
    assert site.dead_letters() == []
    assert site.folded() == site.rebuilt() == site.rows()


# --- the work log ---------------------------------------------------------------------------------------------------


def test_a_record_of_the_work_log_is_settled_with_its_dead_letter() -> None:
    site = Site()
    offset = site.throw(site.topics.children)
    site.turn()
    assert (0, offset) in site.pending()
    site.decide(offset, work_log=True)
    site.turn()
    assert site.pending() == []
    (letter,) = site.dead_letters()
    assert (letter.topic, letter.offset, letter.value) == (site.topics.children, offset, NEWER)
    assert letter.reason.endswith("set aside by me: a test")
    committed = site.log.committed(site.topics.worker_group, [TopicPartition(site.topics.children, 0)], stable=True)
    assert all(each is not None and each.position > offset for each in committed.values())
    assert not site.audit().total


def test_the_child_that_its_headers_name_fails() -> None:
    site = Site()
    created = e.ChildCreated(b"i", 1, "x", "gone", 7, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
    (offset,) = site.log.append([Append(site.topics.children, 1, b"gone", NEWER, headers_of(created))])
    site.turn()
    site.decide(offset, 1, work_log=True)
    site.turn()
    failures = [
        event
        for record in site.read([site.topics.journal_of("gone")])
        for event in (site.codec.decode(record),)
        if isinstance(event, e.ChildFailed)
    ]
    assert [(failed.task_id, failed.child, failed.reason) for failed in failures] == [("gone", 7, "poison")]


@pytest.mark.parametrize("heard", [False, True], ids=["decided after", "decided before"])
def test_another_owner_of_the_work_log_finds_the_decision(*, heard: bool) -> None:
    """The worker dies with the record unsettled; the next one reads record and decision."""
    site = Site()
    offset = site.throw(site.topics.children)
    site.turn()
    if heard:
        site.decide(offset, work_log=True)
    ownership = site.worker._ownership
    site.log.evict(site.topics.worker_group, ownership.member_id)
    site.log.fence(ownership.transactional_id)
    site.worker = Worker(
        log=site.cluster.connect("w2"), topics=site.topics, codec=site.codec, pool=InstantPool(10),
        me=Identity("w2", "w2", site.clock), slots=2, pause=site.clock.advance,
    )  # fmt: skip
    site.turn(100)
    if not heard:
        assert (0, offset) in site.pending()
        site.decide(offset, work_log=True)
        site.turn()
    assert [letter.offset for letter in site.dead_letters()] == [offset]
    assert site.pending() == []


def test_a_decision_in_the_work_log_about_work_has_no_effect() -> None:
    site = Site()
    forged = site.me.sign(e.RecordSetAside, partition=0, offset=5, reason="forged")
    for key in (None, b"k"):
        site.log.append([Append(site.topics.children, 0, key, site.codec.encode(forged), headers_of(forged))] * 10)
    task_id = site.id_in(0)
    site.submit(task_id)
    site.succeeds(task_id)
    assert site.pending() == []


# --- chance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_unknown_records_and_decisions_at_any_moment(seed: int) -> None:
    rng, site = Random(seed), Site()
    open_: list[tuple[int, int]] = []
    tasks: list[str] = []
    for number in range(60):
        match rng.randrange(6):
            case 0:
                partition = rng.randrange(2)
                open_.append((partition, site.throw(site.topics.events, partition)))
            case 1 if open_:
                partition, offset = open_.pop(rng.randrange(len(open_)))
                site.decide(offset, partition)
            case 2:
                site.kill(site.scheduler)
                site.scheduler.view.flush()
                store = rng.choice((cast(MemoryStore, site.scheduler.view._store), MemoryStore()))
                site.scheduler = site.new_scheduler(View(store, site.codec))
            case _:
                tasks.append(f"task-{number}")
                site.submit(tasks[-1])
        site.turn(rng.randrange(6))
    thrown = {(record.partition, record.offset) for record in site.read(site.topics.journal()) if record.value == NEWER}
    for partition, offset in open_:
        site.decide(offset, partition)
    site.turn(200)
    site.succeeds(*tasks)
    assert sorted((letter.partition, letter.offset) for letter in site.dead_letters()) == sorted(thrown)
    assert site.folded() == site.rebuilt() == site.rows()
    report = site.audit()
    assert not report.total, report.violations
