"""``topics repair`` over the embedded log: positions that are gone, or that an administrator has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamsched.admin import check, repair
from streamsched.domain import events as e
from streamsched.hosting import wiring
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append, Committed, LogError, TopicPartition
from streamsched.runtime.commit_metadata import INITIAL, decode_metadata
from tests.support.worker_case import ToldPool


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    with closing(Installation(Settings(data_dir=tmp_path, child_partitions=2), write=True)) as opened:
        yield opened.discover()


def set_position(site: Installation, group: str, place: TopicPartition, metadata: str) -> None:
    """Do what ``kafka-consumer-groups --reset-offsets`` does."""
    member = site.log.member(group, place.topic, repair._Joined())
    member.poll()
    site.log.writer("admin").commit([], {place: Committed(0, metadata)}, member)
    member.leave()


def test_nothing_is_repaired_where_nothing_is_lost(site: Installation) -> None:
    assert check.differences(site) == []
    assert repair.repair(site) == []


def test_a_position_that_an_administrator_has_set_stops_its_partition_with_the_remedy(
    site: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    set_position(site, site.topics.worker_group, site.topics.work_log()[1], "")
    worker = wiring.worker(site, ToldPool(), 2)
    for _ in range(3):
        worker.step(0.0)
    assert list(worker._ownership.claims) == [0]
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"{site.topics.children}-1" in told
    assert "topics repair" in told


def test_positions_that_an_administrator_has_set_are_given_anew(site: Installation) -> None:
    work, journal = site.topics.work_log()[1], site.topics.journal()[3]
    set_position(site, site.topics.worker_group, work, "")
    set_position(site, site.topics.scheduler_group, journal, "by hand")
    site.log.append([site.records.work(e.ChildrenStopping(b"", 1, "me", "task", (), "", 0), "task", 1)])
    assert [line.partition(":")[0] for line in check.differences(site)] == [
        f"group {site.topics.scheduler_group} has no valid position for {journal.topic}-3",
        f"group {site.topics.worker_group} has no valid position for {work.topic}-1",
    ]
    letter = site.identity("me").sign(
        e.DeadLetter, topic=journal.topic, partition=3, offset=0, reason="", key=None, value=b"rubbish"
    )
    site.log.append([Append(*journal, b"", b"rubbish"), Append(*journal, b"", b"more")])
    site.log.append([site.records.dead_letter(letter, b"")])
    assert len(repair.repair(site)) == 2
    begun = site.log.committed(site.topics.scheduler_group, [journal], stable=True)[journal]
    assert begun == Committed(1, INITIAL.encode()), "it goes on behind what the dead letters tell of"
    assert check.differences(site) == []
    assert site.log.committed(site.topics.worker_group, [work], stable=True)[work] == Committed(1, INITIAL.encode())
    reader = site.log.reader()
    reader.assign(dict.fromkeys(site.topics.journal(), 0))
    facts = [site.codec.decode(record) for record in reader.poll(100, 0.0) if record.key is None]
    assert [fact.partition for fact in facts if isinstance(fact, e.PartitionReset)] == [1] * len(site.topics.journal())
    worker = wiring.worker(site, ToldPool(), 2)
    worker.step(0.0)
    claimed = site.log.committed(site.topics.worker_group, [work], stable=True)[work]
    assert claimed is not None
    assert decode_metadata(claimed.metadata).epoch == 1


def test_what_a_newer_version_committed_is_left_alone(site: Installation) -> None:
    set_position(site, site.topics.worker_group, site.topics.work_log()[1], "2 something new")
    with pytest.raises(LogError, match="newer version"):
        repair.repair(site)
    with pytest.raises(LogError, match="upgrade"):
        wiring.worker(site, ToldPool(), 2).step(0.0)


def test_a_repair_waits_until_nothing_below_the_new_position_is_open(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = site.topics.work_log()[1]
    set_position(site, site.topics.worker_group, work, "")
    marker = e.ChildrenStopping(b"", 1, "me", "task", (), "", 0)
    site.log.append([site.records.work(marker, "task", 1) for _ in range(3)])
    held = iter([2, 2, 3])  # the third is of a transaction that began after the end was found
    monkeypatch.setattr(site.log, "held", lambda places, groups: {work: next(held)} if places == [work] else {})
    repair.repair(site)
    assert site.log.committed(site.topics.worker_group, [work], stable=True)[work] == Committed(3, INITIAL.encode())
    assert next(held, None) is None


def test_a_transaction_that_does_not_end_is_named(site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    work = site.topics.work_log()[1]
    set_position(site, site.topics.worker_group, work, "")
    site.log.append([site.records.work(e.ChildrenStopping(b"", 1, "me", "task", (), "", 0), "task", 1)])
    monkeypatch.setattr(site.log, "held", lambda places, groups: {work: 0} if places == [work] else {})
    monkeypatch.setattr(repair, "OPEN_LIMIT_S", 0.0)
    with pytest.raises(LogError, match=r"does not end in .*children-1"):
        repair.repair(site)
