"""The view: a cache of the fold that can be flushed, closed, broken and deleted at any time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.view import view as module
from streamsched.view.store import MemoryStore, RocksStore
from streamsched.view.view import View, open_view
from tests.support.journals import journals, request, template

CODEC = Codec()


def fold(view: View, journal: Sequence[e.Event], first: int = 0) -> None:
    for offset, event in enumerate(journal, first):
        view.apply(event, 0)
        view.moved(0, offset + 1)


def rows(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.scan(b""))


def long_journal(children: int, ended: int) -> list[e.Event]:
    """Make the journal of a task of many children, of which the first ones have ended."""
    planned = e.TaskPlanned(b"p" * 16, 1_000, "me", "task", 0, children, "{}", "", 0)
    dispatched = e.ChildrenDispatched(b"d" * 16, 1_000, "me", "task", (e.Release(0, children - 1, 1, 5),), 0)
    outcomes = [
        e.ChildCompleted(child.to_bytes(16), 1_000, "me", "task", child, 1, 1, 1, 900, 0, '"result"')
        for child in range(ended)
    ]
    return [request(template()), planned, dispatched, *outcomes]


PAGED = [
    request(template()),
    e.TaskPlanned(b"p" * 16, 1_000, "me", "task", 0, 0, "{}", "", 0, 0, True),
    e.ChildrenDispatched(b"d" * 16, 1_000, "me", "task", (e.Release(0, 0, 1, 5),), 0),
    e.TaskPlanProgressed(b"1" * 16, 1_000, "me", "task", 0, "1", 0, 0, 1, 1, 1, 1, 1, 2, "1\n2"),
    e.TaskPlanProgressed(b"2" * 16, 1_000, "me", "task", 0, "2", 0, 0, 1, 1, 1, 2, 3, 1, '"\u00e9"'),
]


def test_pages_are_rows_of_their_own() -> None:
    store = MemoryStore()
    view = View(store, CODEC)
    fold(view, PAGED)
    waiting = view.active["task"]
    assert (view.page(waiting, 1), view.page(waiting, 3), view.page(waiting, 2)) == ("1\n2", '"\u00e9"', None)
    view.flush()
    assert waiting.new_pages == {}
    task = View(store, CODEC).active["task"]
    assert (task.pages.tolist(), task.children, task.work, task.work_end) == ([1, 3], 4, 3, 4)
    assert (view.page(task, 1), view.page(task, 3), view.page(task, 2)) == ("1\n2", '"\u00e9"', None)


def test_pages_do_not_gather_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGES", 5)
    view = View(MemoryStore(), CODEC)
    fold(view, PAGED[:4])
    assert view.active["task"].new_pages
    fold(view, PAGED[4:], 4)
    assert not view.active["task"].new_pages


@pytest.mark.slow
@pytest.mark.property
@given(st.lists(journals(size=25), min_size=1, max_size=2), st.data())
@settings(max_examples=150)
def test_the_rows_are_the_fold_whenever_they_are_written(drawn: list[list[e.Event]], data: st.DataObject) -> None:
    journal = drawn[0]
    whole = MemoryStore()
    once = View(whole, CODEC)
    fold(once, journal)
    once.flush()

    pieces = MemoryStore()
    view = View(pieces, CODEC)
    for offset, event in enumerate(journal):
        fold(view, [event], offset)
        match data.draw(st.sampled_from(("go on", "go on", "flush", "reopen", "crash"))):
            case "flush":
                view.flush()
            case "reopen":
                view.flush()
                view = View(pieces, CODEC)
            case "crash":  # what was not flushed is folded again, from the position that was
                view = View(pieces, CODEC)
                done = view.positions.get(0, 0)
                fold(view, journal[done : offset + 1], done)
        assert min(view.load.values(), default=0) >= 0
    view.flush()

    assert rows(pieces) == rows(whole)
    again = View(pieces, CODEC)
    assert {partition: count for partition, count in again.load.items() if count} == {
        partition: count for partition, count in once.load.items() if count
    }
    assert again.positions == once.positions
    assert again.active.keys() == once.active.keys()
    for task_id, task in again.active.items():
        live = once.active[task_id]
        assert task.table == live.table
        assert task.next_due() == live.next_due()
        assert task.live_chunks == live.live_chunks


def test_nothing_stays_in_memory_of_children_that_ended() -> None:
    view = View(MemoryStore(), CODEC)
    journal = long_journal(children=5_000, ended=4_990)
    fold(view, journal)
    view.flush()
    task = view.active["task"]
    assert len(task.details) <= 10
    assert not task.changed
    assert not task.touched
    assert len(list(view.details("task"))) == 4_990
    detail = view.detail("task", 17)
    assert detail is not None
    assert detail.result == '"result"'
    assert view.detail("task", 4_995) is None


@pytest.mark.parametrize(("ended", "loaded"), [(5, []), (4, ["task"])])
def test_a_task_whose_ending_is_certain_is_opened_without_its_children(
    monkeypatch: pytest.MonkeyPatch, ended: int, loaded: list[str]
) -> None:
    store = MemoryStore()
    view = View(store, CODEC)
    fold(view, long_journal(children=5, ended=ended))
    view.flush()
    opened: list[str] = []
    monkeypatch.setattr("streamsched.view.rows._load_open_children", lambda task, _: opened.append(task.task_id))
    assert View(store, CODEC).active["task"].verdict == ("succeeded" if ended == 5 else "running")
    assert opened == loaded


def test_a_task_that_ended_is_found_in_the_store_only() -> None:
    view = View(MemoryStore(), CODEC)
    journal = [*long_journal(1, 1), e.TaskSucceeded(b"s" * 16, 2_000, "me", "task", 0, "", 0)]
    fold(view, journal)
    view.flush()
    assert not view.active
    assert not view.homes
    task = view.task("task")
    assert task is not None
    assert task.terminal
    assert task.succeeded == 1
    assert view.task_ids() == ["task"]
    fold(view, journal, first=len(journal))  # late repeats change no more than the count of them
    view.flush()
    late = view.task("task")
    assert late is not None
    assert late.void == len(journal)
    assert late.table == task.table


def test_a_folder_is_used_again(tmp_path: Path) -> None:
    view = open_view(tmp_path / "view", "cluster", CODEC)
    fold(view, long_journal(10, 3))
    view.close()
    again = open_view(tmp_path / "view", "cluster", CODEC)
    assert again.positions == {0: 6}
    assert again.active["task"].succeeded == 3
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == ["view"]


@pytest.mark.parametrize("harm", ["foreign", "older", "broken file", "missing file", "broken row", "not ours"])
def test_a_folder_that_cannot_be_used_is_moved_aside(
    tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "blocks" / "view"  # of which an error may speak, and it is not a lock all the same
    folder.parent.mkdir()
    view = open_view(folder, "another cluster" if harm == "foreign" else "cluster", CODEC)
    fold(view, long_journal(10, 3))
    view.close()
    if harm == "older":
        monkeypatch.setattr(module, "FORMAT", "streamsched view 0")
    elif harm == "broken file":
        (folder / "CURRENT").write_bytes(b"nonsense\n")
    elif harm == "missing file":
        next(folder.glob("MANIFEST-*")).unlink()
    elif harm == "broken row":
        store = RocksStore(folder)
        store.write({b"ttask\0": b"\xc1"})
        store.close()
    elif harm == "not ours":
        store = RocksStore(folder)
        store.write({b"m": None})
        store.close()
    again = open_view(folder, "cluster", CODEC)
    assert again.positions == {}
    assert again.task("task") is None
    fold(again, long_journal(10, 3))
    again.close()
    assert len(list(folder.parent.glob("view.aside-*"))) == 1
    assert "moved to" in caplog.text
    assert open_view(folder, "cluster", CODEC).positions == {0: 6}


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    view = open_view(tmp_path / "view", "cluster", CODEC)
    with pytest.raises(Exception, match=r"(?i)lock"):
        open_view(tmp_path / "view", "cluster", CODEC)
    assert [path.name for path in tmp_path.iterdir()] == ["view"]
    view.close()


def test_what_a_full_disk_does_not_take_is_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RocksStore(tmp_path / "view")
    store.write({b"a1": b"written", b"a3": b"written"})
    full = FullDisk(store._db)
    monkeypatch.setattr(store, "_db", full)
    store.write({b"a2": b"kept", b"a3": None})
    store.write({b"b": b"kept"})
    assert caplog.text.count("kept in memory") == 1
    assert [store.get(key) for key in (b"a1", b"a2", b"a3", b"b")] == [b"written", b"kept", None, b"kept"]
    assert list(store.scan(b"a")) == [(b"a1", b"written"), (b"a2", b"kept")]
    assert list(store.scan(b"a", b"a2")) == [(b"a2", b"kept")]
    full.room = True
    store.write({})
    assert "can be written again" in caplog.text
    assert list(full.items(from_key=b"a")) == [(b"a1", b"written"), (b"a2", b"kept"), (b"b", b"kept")]
    assert store.close()


def test_a_view_on_a_full_disk_stays_the_fold_of_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RocksStore(tmp_path / "view")
    view = View(store, CODEC)
    journal = long_journal(10, 3)
    fold(view, journal[:3])
    view.flush()
    monkeypatch.setattr(store, "_db", FullDisk(store._db))
    fold(view, journal, first=3)
    view.flush()
    assert next(view.details("task"))[0] == 0
    assert not view.close()
    again = RocksStore(tmp_path / "view")
    assert View(again, CODEC).positions == {0: 3}
    assert again.close()


class FullDisk:
    """A database that takes no batch until there is room."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.room = False

    def write(self, batch: Any) -> None:
        if not self.room:
            raise Exception("IO error: No space left on device")  # as the library does
        self._db.write(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def test_pages_of_64_mib_are_folded_in_bounded_memory(tmp_path: Path) -> None:
    view = View(RocksStore(tmp_path / "view"), CODEC)
    fold(view, PAGED[:3])
    item = '"' + "x" * 1_000 + '"'
    entries = "\n".join([item] * 1_000)
    tracemalloc.start()
    for number in range(64):
        page = e.TaskPlanProgressed(
            number.to_bytes(16), 1_000, "me", "task", 0, "1", 0, 0, 1, 1, 1, number + 1, 1 + 1_000 * number, 1_000,
            entries[:-1] + '"',
        )  # fmt: skip
        fold(view, [page], 3 + number)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    task = view.active["task"]
    assert (task.work, len(task.pages)) == (64_000, 64)
    assert peak < 24 << 20, f"{peak >> 20} MiB"
    assert (view.page(task, 63_001) or "").count("\n") == 999
    view.close()
