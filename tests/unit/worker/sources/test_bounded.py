"""Memory does not grow with the input: many files, a large file, many items."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain.options import InputFile
from streamsched.worker.context import ChildContext
from streamsched.worker.sources import split, storage, walking
from streamsched.worker.sources.generators import GENERATORS
from streamsched.worker.sources.records import RangeRecords
from tests.support.splits import Worker

pytestmark = pytest.mark.slow
MIB = 1024 * 1024


def peak(run: Callable[[], object]) -> int:
    """Return the most bytes that were in use at once while something ran."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Tree(storage.Local):
    """So many folders of a thousand files, which are not there."""

    def __init__(self, folders: int) -> None:
        self.folders = [f"{number:05}" for number in range(folders)]

    def look(self, path: str) -> storage.Found | None:
        return storage.Found(path, 10, "tag") if path.endswith(".png") and "*" not in path else None

    def read(self, folder: str) -> storage.Folder:
        if folder == "/in":
            return storage.Folder(self.folders, set(self.folders), {})
        return storage.Folder([f"{number:05}.png" for number in range(1_000)], set(), {})


def walked(monkeypatch: pytest.MonkeyPatch, folders: int) -> Callable[[], None]:
    tree = Tree(folders)
    given = {"globs": ["/in/**/*.png"], "count": 100, "bytes": 0, "empty": False, "verify": True}

    def run() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(walking, "storage_of", lambda path: tree)
            assert sum(1 for _ in GENERATORS["files"](given, None, lambda: None)) == folders * 10

    return run


def test_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = peak(walked(monkeypatch, 5)), peak(walked(monkeypatch, 30))
    assert many < 1.2 * few + 50_000
    assert many < MIB


def test_a_large_file_is_cut_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 10**12)
    given = {"globs": [str(path)], "size": 64_000_000, "format": "text", "empty": False, "verify": True}
    found: list[Any] = []
    assert peak(lambda: found.extend(each["weight"] for each in GENERATORS["bytes"](given, None, lambda: None))) < MIB
    assert (len(found), sum(found)) == (15_625, 10**12)


def lines(path: Path, count: int) -> int:
    with path.open("w") as file:
        for _ in range(count // 1_000):
            file.write('{"value": 123456789}\n' * 1_000)
    return path.stat().st_size


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    size = lines(path, 60_000)
    assert size > 1_200_000

    def run() -> None:
        with closing(
            RangeRecords(InputFile(*storage.look(str(path)), end=size, format="jsonl"), None, lambda: None)
        ) as records:
            assert sum(1 for _ in records) == 60_000
        given = {"file": str(path), "size": 1_000, "empty": False, "verify": True}
        assert sum(1 for _ in GENERATORS["lines"](given, None, lambda: None)) == 60

    assert peak(run) < 2.5 * MIB


def test_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "PAGE_ENTRIES", 1_000)

    class Forgetful(Worker):
        def settle(self, *, again: bool = False) -> None:
            super().settle(again=again)
            self.entries = [""] * len(self.entries)

    def pieces(ctx: ChildContext, count: int) -> Iterator[str]:
        yield from (f"item {number} {'x' * 100}" for number in range(count))

    def run(count: int) -> int:
        return peak(lambda: Forgetful().attempt("by", {"function": "a:b", "args": {"count": count}}, pieces))

    few, many = run(2_000), run(10_000)
    assert many < few + MIB / 2
