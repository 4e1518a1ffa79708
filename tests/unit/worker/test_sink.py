"""The file that several executors append to is rotated by size, and no line of it is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from streamsched.worker.jobs import JobCompleted
from streamsched.worker.pool import ExecutorPool
from streamsched.worker.remains import Remains
from streamsched.worker.sink import KEPT_FILES, Sink, rotate
from tests.unit.worker.pool_case import Case, make_job, unstamped

pytestmark = pytest.mark.slow

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


def open_sink(file: Path, rotate_at: int) -> Sink:
    return Sink(os.open(file, APPEND, 0o600), str(file), rotate_at=rotate_at)


def test_a_large_file_becomes_an_old_one_and_the_oldest_goes(file: Path) -> None:
    sink = open_sink(file, 10)
    for number in range(KEPT_FILES + 3):
        sink.write(b"line %d is long\n" % number)
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["output.log", *(f"output.log.{number}" for number in range(1, KEPT_FILES + 1))]
    assert file.read_text() == f"line {KEPT_FILES + 2} is long\n"
    assert file.with_name(f"output.log.{KEPT_FILES}").read_text() == "line 2 is long\n"
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_a_file_that_another_process_rotated_is_followed(file: Path) -> None:
    sink = open_sink(file, 1000)
    sink.write(b"first\n")
    assert rotate(str(file), file.stat())
    file.write_text("the other's\n")
    sink.write(b"second\n")
    assert file.with_name("output.log.1").read_text() == "first\n"
    assert file.read_text() == "the other's\nsecond\n"


def test_only_one_of_two_renames(file: Path) -> None:
    file.write_text("old")
    seen = file.stat()
    assert rotate(str(file), seen)
    file.write_text("new")
    assert rotate(str(file), seen)
    assert file.read_text() == "new"
    assert not file.with_name("output.log.2").exists()


def test_a_file_that_was_deleted_is_made_again(file: Path) -> None:
    sink = open_sink(file, 1000)
    sink.write(b"gone\n")
    file.unlink()
    sink.write(b"here\n")
    assert file.read_text() == "here\n"


def test_a_folder_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = open_sink(folder / "output.log", 1)
    sink.write(b"a\n")
    (folder / "output.log").unlink()
    folder.rmdir()
    sink.write(b"b\n")


WRITER = """
import os, sys
from streamsched.worker.sink import Sink
path, name = sys.argv[1:]
sink = Sink(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), path, rotate_at=40_000)
for number in range(1000):
    sink.write(f"{name} {number} {'x' * 40}\\n".encode())
"""


def test_several_processes_rotate_without_losing_a_line(file: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(name)]) for name in range(3)]
    seen: set[str] = set()
    while any(writer.poll() is None for writer in writers):
        pass
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    for path in file.parent.iterdir():
        lines = path.read_text().splitlines()
        assert all(line.endswith("x" * 40) for line in lines)
        assert not seen & set(lines)
        seen |= set(lines)
    assert seen == {f"{name} {number} {'x' * 40}" for name in range(3) for number in range(1000)}
    assert len(list(file.parent.iterdir())) > 1


def test_executors_follow_the_file_with_all_that_they_start(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    fd = os.open(file, APPEND, 0o600)
    pool = ExecutorPool(1, allow=["output_handlers"], output_fd=fd, output_path=file)
    os.close(fd)
    try:
        case = Case(pool)
        case.one(make_job("output_handlers:stdout", args={"call": "writelines"}), JobCompleted)
        file.rename(file.with_name("output.log.1"))
        case.one(make_job("output_handlers:stdout", args={"call": "flushed"}), JobCompleted)
    finally:
        pool.close(5.0)
    assert unstamped(file).splitlines() == ["task[3]#1 first", "second"]
    assert unstamped(file.with_name("output.log.1")).splitlines() == ["task[3]#1 a", "task[3]#1 bc"]


def test_what_dead_executors_left_waits_for_a_slow_reader_elsewhere() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    remains = Remains(writer, None)
    for _ in range(1000):
        remains.write(b"left\n")  # returns at once, and is bounded
    os.set_blocking(reader, False)
    text = b""
    while not text.endswith(b"left\n"):
        try:
            text += os.read(reader, 65536)
        except BlockingIOError:
            continue
    remains.close()
    os.close(writer)
    while more := os.read(reader, 65536):
        text += more
    os.close(reader)
    assert 1 <= text.count(b"left\n") < 1000


def test_the_end_of_what_was_written_is_remembered_by_prefix(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    sink, time = Sink(fd), b"2026-11-28T15:00:00.123Z "
    assert sink.tail_of(b"a[1]#1 ") == ""
    for number in range(300):
        sink.write(time + b"a[1]#1 " + b"%03d" % number * 10 + b"\n" + time + b"a[2]#1 other\n")
    tail = sink.tail_of(b"a[1]#1 ")
    assert tail.endswith("299" * 10)
    assert len(tail) <= 4096
    assert all(len(line) == 30 for line in tail.split("\n"))
    assert set(sink.tail_of(b"a[2]#1 ").split("\n")) == {"other"}
    sink.write(time + b"a[3]#1 " + b"x" * 5_000 + b"\n" + time + b"a[3]#1 \xff\n")
    assert sink.tail_of(b"a[3]#1 ") == "\ufffd"
    os.close(fd)
