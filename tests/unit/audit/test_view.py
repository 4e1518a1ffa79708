"""``audit verify --view``: whatever is altered in a view's folder is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streamsched.audit.views import ForeignView, verify_view
from streamsched.domain import events as e
from streamsched.log.adapter import LogAdapter
from streamsched.view.follow import Follower
from streamsched.view.rows import position_key, task_key
from streamsched.view.view import open_view
from tests.support.audit_case import CODEC, TOPICS, History, live

JOURNAL = "memory 1"


@pytest.fixture(scope="module")
def log() -> LogAdapter:
    return live()


@pytest.fixture
def folder(log: LogAdapter, tmp_path: Path) -> Path:
    view = open_view(tmp_path / "view", JOURNAL, CODEC)
    follower = Follower(log=log, topics=TOPICS, codec=CODEC, view=view)
    follower.catch_up(TOPICS.journal()[:1])
    view.flush()
    follower.catch_up(TOPICS.journal())
    follower.close()
    view.close()
    return tmp_path / "view"


def alter(folder: Path, key: bytes, change: bytes | None, at: int = 0) -> None:
    """Put these bytes into a row, or delete it."""
    db = Rdict(str(folder), Options(raw_mode=True))
    if change is None:
        del db[key]
    else:
        value = db.get(key)
        assert isinstance(value, bytes)
        db[key] = value[:at] + change + value[at + len(change) :]
    db.close()


def named(log: LogAdapter, folder: Path) -> list[tuple[int, str, int | None, str, str]]:
    report = verify_view(log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=folder)
    assert all(violation.place == str(folder) for violation in report.violations)
    return [(one.invariant, one.task_id, one.child, one.expected, one.found) for one in report.violations]


def test_a_view_is_the_fold(log: LogAdapter, folder: Path) -> None:
    report = verify_view(log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=folder)
    assert not report.violations
    assert (report.events, report.tasks) == (35, 4)


def test_a_view_of_the_past_is_the_fold_up_to_there(log: LogAdapter, tmp_path: Path) -> None:
    view = open_view(tmp_path, JOURNAL, CODEC)
    entries = [entry for entry in History(log).journal if entry.place.partition == 1][:7]
    for entry in entries:
        view.apply(entry.event, 1)
    view.moved(1, entries[-1].offset // 10 + 1)
    view.close()
    # The copy's bases differ from the original's, and no row holds a basis.
    report = verify_view(log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=tmp_path)
    assert not report.violations
    assert report.events == 7


def test_a_view_of_one_task_is_the_fold_of_its_events(log: LogAdapter, tmp_path: Path) -> None:
    view = open_view(tmp_path, JOURNAL, CODEC)
    for entry in History(log).journal:
        if getattr(entry.event, "task_id", "") == "going":
            view.apply(entry.event, 0)
            view.moved(0, entry.offset // 10 + 1)
    view.close()
    assert not verify_view(
        log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=tmp_path, task_id="going"
    ).violations


def test_an_altered_cell_is_named_with_its_child(log: LogAdapter, folder: Path) -> None:
    alter(folder, task_key(b"c", "ended") + (0).to_bytes(4), b"\x15", at=8)
    expected = "child 2 succeeded, ordinal 2, partition 0"
    assert named(log, folder) == [(7, "ended", 2, expected, "failed, ordinal 1, partition 0")]


def test_an_altered_counter_is_named(log: LogAdapter, folder: Path) -> None:
    alter(folder, task_key(b"t", "ended"), b"\xa9succEEded", at=3)
    assert named(log, folder) == [(7, "ended", None, "phase succeeded", "succEEded")]


def test_an_altered_detail_is_named_with_its_child(log: LogAdapter, folder: Path) -> None:
    alter(folder, task_key(b"d", "going") + (1).to_bytes(4), b"\x09", at=4)
    assert named(log, folder) == [(7, "going", 1, "sequence 1", "9")]


def test_bytes_that_mean_nothing_are_named(log: LogAdapter, folder: Path) -> None:
    alter(folder, task_key(b"d", "going") + (1).to_bytes(4), b"\xc1")
    ((invariant, task_id, child, _, found),) = named(log, folder)
    assert (invariant, task_id, child) == (7, "going", 1)
    assert found.startswith("c1")


@pytest.mark.parametrize("kind", [b"t", b"q"])
def test_a_row_that_is_missing_is_named(log: LogAdapter, folder: Path, kind: bytes) -> None:
    alter(folder, task_key(kind, "stopping"), None)
    ((invariant, task_id, child, expected, found),) = named(log, folder)
    assert (invariant, task_id, child, found) == (7, "stopping", None, "no such row")
    assert expected.startswith("the row of")


def test_a_row_too_many_is_named(log: LogAdapter, folder: Path) -> None:
    db = Rdict(str(folder), Options(raw_mode=True))
    db[b"agone"] = (1).to_bytes(2)
    db.close()
    assert named(log, folder) == [
        (7, "gone", None, "no such row", "the row of journal partition of the unfinished task")
    ]


def test_a_position_moved_back_makes_every_later_event_a_difference(log: LogAdapter, folder: Path) -> None:
    db = Rdict(str(folder), Options(raw_mode=True))
    db[position_key(0)] = (1).to_bytes(8)
    db.close()
    found = named(log, folder)
    assert {task_id for _, task_id, _, _, _ in found} == {"cancelled", "going"}


def test_a_position_beyond_the_end_is_named(log: LogAdapter, folder: Path) -> None:
    db = Rdict(str(folder), Options(raw_mode=True))
    db[position_key(0)] = (10**6).to_bytes(8)
    db.close()
    report = verify_view(log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=folder)
    assert [violation.invariant for violation in report.violations] == [7]
    assert report.violations[0].place.startswith(f"{TOPICS.events}-0-")


def test_what_no_fold_takes_in_is_in_no_view(tmp_path: Path) -> None:
    history = History(live())
    stray = history.insert(history.find(e.TaskRequested, "ended"), history.find(e.ChildCancelled, "cancelled"))
    assert stray.place.partition != TOPICS.journal_of("ended").partition
    _, copy = history.write()
    view = open_view(tmp_path, JOURNAL, CODEC)
    follower = Follower(log=copy, topics=TOPICS, codec=CODEC, view=view)
    follower.catch_up(TOPICS.journal())
    follower.close()
    view.close()
    report = verify_view(log=copy, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=tmp_path)
    assert (report.total, report.unreadable) == (0, 1), report.violations


def test_a_view_of_another_log_is_refused(log: LogAdapter, tmp_path: Path) -> None:
    open_view(tmp_path, "another", CODEC).close()
    with pytest.raises(ForeignView, match="another"):
        verify_view(log=log, topics=TOPICS, codec=CODEC, journal_id=JOURNAL, folder=tmp_path)


def test_a_history_with_every_kind_of_row(log: LogAdapter) -> None:
    kinds = {type(entry.event) for entry in History(log).journal}
    assert {e.ChildCheckpointed, e.ChildFailed, e.ChildrenStopping, e.ChildrenCancelled, e.TaskCancelled} <= kinds
