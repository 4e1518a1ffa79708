"""Ownership over the memory log: who may write, what is inherited, and how an unknown outcome is resolved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import pytest

from streamsched.log.core import Connection
from streamsched.log.core.chunks import pack
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import (
    Append,
    Committed,
    LogUnreachable,
    OutcomeUnknown,
    TopicPartition,
    TopicSpec,
    TransactionAborted,
    WriterFenced,
)
from streamsched.runtime.claim import Claim
from streamsched.runtime.commit_metadata import INITIAL, CommitMetadata, decode_metadata
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.tracker import CommitPoint
from streamsched.scheduler.failure_detector import SILENCE_S

TOPIC: Final = "work"
GROUP: Final = "group"


class Site:
    """A cluster on a virtual clock, whose hook does once, at one step of one client, what a test wants."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.hooks: dict[tuple[str, str], Callable[[], None]] = {}
        self.cluster = MemoryCluster(clock=self.now, faults=self)
        self.log = self.cluster.connect("test")
        self.log.create_topics([TopicSpec(TOPIC, 2, {})])
        self.log.commit_initial(GROUP, [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)], INITIAL.encode())

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def at(self, step: str, client: str) -> None:
        hook = self.hooks.pop((client, step), None)
        if hook is not None:
            hook()

    def pass_time(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)

    def mark(self, partition: int = 0) -> CommitMetadata:
        """Read the committed mark."""
        place = TopicPartition(TOPIC, partition)
        committed = self.log.committed(GROUP, [place], stable=False)[place]
        assert committed is not None
        return decode_metadata(committed.metadata)

    def records(self) -> list[bytes | None]:
        """Read what was committed."""
        reader = self.log.reader()
        reader.assign({TopicPartition(TOPIC, 0): 0, TopicPartition(TOPIC, 1): 0})
        return [record.value for record in reader.poll(100, 0.0)]


class Owner:
    """A partition handler that notes its calls."""

    def __init__(self, site: Site, name: str, *, outage: float = 0.0, fenced: Collection[str] = ()) -> None:
        self.told: list[tuple[str, list[int]]] = []
        self.claims: dict[int, Claim] = {}
        self.releases = True
        self.waited = 0
        log = site.cluster.connect(name)
        self.ownership = Ownership(
            log=log, coordination=log, group=GROUP, topic=TOPIC, node_id=name, partition_handler=self, clock=site,
            pause=site.pass_time, outage=outage, fenced=lambda: fenced,
        )  # fmt: skip

    def claimed(self, claims: Sequence[Claim]) -> None:
        self.told.append(("claimed", [claim.partition for claim in claims]))
        self.claims |= {claim.partition: claim for claim in claims}

    def waiting(self) -> None:
        self.waited += 1

    def hand_over(self, partitions: Collection[int]) -> None:
        self.told.append(("hand over", sorted(partitions)))
        if self.releases:
            self.ownership.commit([], {partition: CommitPoint(0) for partition in partitions}, release=True)

    def dropped(self, partitions: Collection[int]) -> None:
        self.told.append(("dropped", sorted(partitions)))

    def write(self, value: bytes, *partitions: int) -> None:
        appends = [Append(TOPIC, partition, None, value, (), track=True) for partition in partitions]
        self.ownership.commit(appends, {partition: CommitPoint(0) for partition in partitions})

    def polled(self, times: int = 3) -> Owner:
        for _ in range(times):
            self.ownership.poll()
        return self


@pytest.fixture
def site() -> Site:
    return Site()


def unknown() -> None:
    raise OutcomeUnknown("made up")


def test_the_first_owner_claims_what_nobody_had(site: Site) -> None:
    owner = Owner(site, "a").polled()
    assert owner.told == [("claimed", [0, 1])]
    assert owner.claims[0].released
    assert (site.mark().epoch, site.mark().counter, site.mark().released) == (1, 1, False)
    assert site.mark().transactional_id == owner.ownership.transactional_id


def test_each_transaction_counts_the_partitions_whose_work_it_carries_and_no_others(site: Site) -> None:
    owner = Owner(site, "a").polled()
    owner.write(b"1", 0)
    owner.write(b"2", 0)
    assert [site.mark(partition).counter for partition in (0, 1)] == [3, 1]
    assert owner.ownership.claims[0].counter == 3


def test_a_predecessor_that_released_is_not_fenced(site: Site) -> None:
    before = Owner(site, "a").polled()
    after = Owner(site, "b").polled()
    before.polled()
    after.polled()
    assert ("hand over", [1]) in before.told or ("hand over", [0]) in before.told
    (partition,) = after.claims
    assert after.claims[partition].released
    assert (after.claims[partition].epoch, site.mark(partition).epoch) == (2, 2)
    (kept,) = before.ownership.claims
    before.write(b"still here", kept)
    assert site.records() == [b"still here"]


def test_a_predecessor_that_holds_on_is_fenced_and_its_late_commit_is_refused(site: Site) -> None:
    before = Owner(site, "a").polled()
    before.write(b"early", 0)
    site.pass_time(11)
    after = Owner(site, "b").polled()
    assert not after.claims[0].released
    assert after.claims[0].epoch == 2
    with pytest.raises(WriterFenced):
        before.write(b"late", 0)
    assert site.records() == [b"early"]
    assert before.told[-1] == ("dropped", [0, 1])
    assert not before.ownership.claims


@pytest.mark.parametrize("told", [True, False])
def test_a_predecessor_that_an_eviction_has_fenced_is_neither_waited_for_nor_fenced_again(
    site: Site, told: bool
) -> None:
    before = Owner(site, "a").polled()
    writer = before.ownership.transactional_id
    site.log.evict(GROUP, before.ownership.member_id, writer)
    fences: list[str] = []
    site.hooks["b", "fence.begin"] = lambda: fences.append("again")
    begun = site.monotonic()
    after = Owner(site, "b", fenced={writer} if told else {"another"}).polled()
    assert after.claims[0].epoch == 2
    assert not after.claims[0].released
    assert (bool(fences), site.monotonic() > begun) == (not told, not told)
    with pytest.raises(WriterFenced):
        before.write(b"late", 0)


def test_a_zombie_that_thaws_inside_its_commit_writes_nothing(site: Site) -> None:
    before = Owner(site, "a").polled()
    others: list[Owner] = []

    def successor() -> None:
        site.pass_time(9)
        site.cluster.connect("admin").evict(GROUP, before.ownership.member_id)
        others.append(Owner(site, "b").polled())

    site.hooks["a", "commit.before_end"] = successor
    with pytest.raises(WriterFenced):
        before.write(b"late", 0)
    assert site.records() == []
    assert set(others[0].claims) == {0, 1}
    others[0].write(b"new", 0)
    assert site.records() == [b"new"]


def test_what_was_fenced_is_claimed_again_with_another_id(site: Site) -> None:
    owner = Owner(site, "a").polled()
    old = owner.ownership.transactional_id
    site.log.fence(old)
    with pytest.raises(WriterFenced):
        owner.write(b"refused", 0)
    owner.polled()
    assert not owner.ownership.claims, "a fenced owner gives the group time to tell what is still its own"
    site.pass_time(2)
    owner.polled()
    assert owner.told == [("claimed", [0, 1]), ("dropped", [0, 1]), ("claimed", [0, 1])]
    assert owner.ownership.transactional_id != old
    owner.write(b"taken", 0)
    assert site.records() == [b"taken"]
    assert site.mark().epoch == 2


def test_a_member_that_the_group_gave_up_drops_everything_and_comes_back(site: Site) -> None:
    owner = Owner(site, "a").polled()
    old = owner.ownership.transactional_id
    site.pass_time(11)
    owner.polled()
    assert owner.told == [("claimed", [0, 1]), ("dropped", [0, 1]), ("claimed", [0, 1])]
    assert owner.ownership.transactional_id != old


@pytest.mark.parametrize(("step", "landed"), [("commit.before_end", False), ("commit.after_end", True)])
def test_the_counter_tells_whether_an_unknown_transaction_landed(site: Site, step: str, landed: bool) -> None:
    owner = Owner(site, "a").polled()
    old = owner.ownership.transactional_id
    site.hooks["a", step] = unknown
    if landed:
        owner.write(b"one", 0)
    else:
        with pytest.raises(TransactionAborted):
            owner.write(b"one", 0)
    assert owner.ownership.transactional_id != old
    owner.write(b"two", 0)
    assert site.records() == ([b"one"] if landed else []) + [b"two"]
    assert site.mark().counter == (3 if landed else 2)
    assert set(owner.ownership.claims) == {0, 1}


@pytest.mark.parametrize("landed", [True, False])
def test_what_another_node_claimed_meanwhile_is_lost_and_the_rest_is_the_witness(site: Site, landed: bool) -> None:
    owner = Owner(site, "a").polled()

    def claimed_elsewhere() -> None:
        mark = CommitMetadata("other", site.mark(1).epoch + 1, 9, released=False)
        key = site.cluster.place_key(GROUP, TopicPartition(TOPIC, 1))
        site.cluster.store.write([(key, pack((0, mark.encode())))])
        raise OutcomeUnknown("made up")

    site.hooks["a", "commit.after_end" if landed else "commit.before_end"] = claimed_elsewhere
    if landed:
        owner.write(b"both", 0, 1)
    else:
        with pytest.raises(TransactionAborted):
            owner.write(b"both", 0, 1)
    assert owner.told[-1] == ("dropped", [1])
    assert set(owner.ownership.claims) == {0}
    owner.polled()
    assert set(owner.ownership.claims) == {0}


@pytest.mark.parametrize("step", ["commit.before_end", "commit.after_end"])
def test_a_claim_of_unknown_outcome_is_begun_anew_at_once(site: Site, step: str) -> None:
    owner = Owner(site, "a")
    site.hooks["a", step] = unknown
    owner.polled()
    assert set(owner.claims) == {0, 1}
    assert site.mark().epoch == (2 if step == "commit.after_end" else 1)
    assert site.mark().transactional_id == owner.ownership.transactional_id


def test_leaving_releases_everything(site: Site) -> None:
    owner = Owner(site, "a").polled()
    owner.ownership.leave()
    assert owner.told[-1] == ("hand over", [0, 1])
    assert site.mark(0).released
    assert site.mark(1).released
    assert Owner(site, "b").polled().claims[0].released


def unreachable() -> None:
    raise LogUnreachable("made up")


def test_a_tenant_that_cannot_begin_now_is_given_its_partitions_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner(site, "a")
    begin = owner.claimed

    def fail(claims: Sequence[Claim]) -> None:
        monkeypatch.setattr(owner, "claimed", begin)
        raise LogUnreachable("made up")

    monkeypatch.setattr(owner, "claimed", fail)
    owner.ownership.poll()
    assert owner.ownership.claims == {}
    owner.polled()
    assert owner.told == [("claimed", [0, 1])]


def test_who_owns_nothing_knows_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (Owner(site, name) for name in "abc")
    assert "it is not in group" in first.ownership.idle
    for _ in range(5):
        for owner in (first, second, third):
            owner.ownership.poll()
    assert [bool(owner.ownership.idle) for owner in (first, second, third)] == [False, False, True]
    assert "gave it no partition of work: other nodes have them all" in third.ownership.idle


def test_whose_partitions_stand_still_knows_why(site: Site) -> None:
    for partition in (0, 1):
        key = site.cluster.place_key(GROUP, TopicPartition(TOPIC, partition))
        site.cluster.store.write([(key, pack((0, "set by hand")))])
    owner = Owner(site, "a").polled()
    assert "[0, 1], stand still: run 'streamsched topics repair'" in owner.ownership.idle


def test_a_fenced_owner_outlives_a_broker_that_does_not_answer(site: Site) -> None:
    owner = Owner(site, "a").polled()
    site.log.fence(owner.ownership.transactional_id)
    site.hooks["a", "writer.begin"] = unreachable
    with pytest.raises(WriterFenced):
        owner.write(b"refused", 0)
    site.pass_time(2)
    owner.polled()
    owner.write(b"taken", 0)
    assert site.records() == [b"taken"]


@pytest.mark.parametrize(("step", "landed"), [("commit.before_end", False), ("commit.after_end", True)])
def test_an_unknown_outcome_is_resolved_though_no_new_writer_can_be_made_at_once(
    site: Site, step: str, landed: bool
) -> None:
    owner = Owner(site, "a").polled()
    site.hooks["a", step] = unknown
    site.hooks["a", "writer.begin"] = unreachable
    if landed:
        owner.write(b"one", 0)
    else:
        with pytest.raises(TransactionAborted):
            owner.write(b"one", 0)
    with pytest.raises(TransactionAborted):
        owner.write(b"nobody there", 0)
    owner.write(b"two", 0)
    assert site.records() == ([b"one"] if landed else []) + [b"two"]
    assert owner.told == [("claimed", [0, 1])], "nothing was lost by it"


def outage_of(site: Site, seconds: float) -> Callable[[], None]:
    """Answer no fence for so long, each try of ten seconds."""
    ends = site.monotonic() + seconds

    def refused() -> None:
        site.pass_time(10)
        if site.monotonic() < ends:
            site.hooks["a", "fence.begin"] = refused
            raise LogUnreachable("an outage")

    return refused


@pytest.mark.parametrize(("step", "landed"), [("commit.before_end", False), ("commit.after_end", True)])
def test_work_in_doubt_is_kept_over_an_outage_and_then_known(site: Site, step: str, landed: bool) -> None:
    owner = Owner(site, "a", outage=100).polled()
    site.hooks["a", step] = unknown
    site.hooks["a", "fence.begin"] = outage_of(site, 90)
    if landed:
        owner.write(b"one", 0)
    else:
        with pytest.raises(TransactionAborted, match="not committed"):
            owner.write(b"one", 0)
    assert owner.told == [("claimed", [0, 1])], "nothing was lost by it"
    assert owner.waited > 8, "it showed no sign of life"


@pytest.mark.parametrize("in_a_hurry", [True, False])
def test_work_in_doubt_is_let_go_of_when_the_outage_lasts_or_nobody_can_wait(site: Site, in_a_hurry: bool) -> None:
    owner = Owner(site, "a", outage=100).polled()
    begun = site.monotonic()
    site.hooks["a", "commit.before_end"] = unknown
    site.hooks["a", "fence.begin"] = outage_of(site, 1000)
    if in_a_hurry:
        owner.ownership.hurry()
    with pytest.raises(TransactionAborted, match="cannot find out whether the transaction landed"):
        owner.write(b"one", 0)
    assert owner.told[-1] == ("dropped", [0])
    assert (site.monotonic() - begun > 100) is not in_a_hurry


def test_a_member_that_the_group_gave_up_comes_back_when_the_broker_does(site: Site) -> None:
    owner = Owner(site, "a").polled()
    site.pass_time(11)
    site.hooks["a", "writer.begin"] = unreachable
    owner.polled(5)
    assert owner.told == [("claimed", [0, 1]), ("dropped", [0, 1]), ("claimed", [0, 1])]


def test_an_open_transaction_does_not_make_a_claim_silent_for_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Owner(site, "dead").polled()
    site.pass_time(11)
    read = Connection.committed

    def committed(
        self: Connection, group: str, places: Collection[TopicPartition], *, stable: bool, timeout: float = 10.0
    ) -> Mapping[TopicPartition, Committed | None]:
        if stable:  # as Kafka does while an offset is held by a transaction that nobody knows whom to fence for
            site.pass_time(timeout)
            raise LogUnreachable("made up")
        return read(self, group, places, stable=stable)

    monkeypatch.setattr(Connection, "committed", committed)
    owner = Owner(site, "next")
    begun = site.monotonic()
    owner.ownership.poll()
    assert not owner.ownership.claims
    assert site.monotonic() - begun < SILENCE_S
    monkeypatch.undo()
    assert owner.polled().told == [("claimed", [0, 1])]
