"""One process writes the embedded log; others are told who, or follow it read-only."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streamsched.log.embedded import EmbeddedLog
from streamsched.log.port import Append, LogUnreachable, PositionLost, TopicPartition, TopicSpec

PLACE = TopicPartition("topic", 0)
SPEC = TopicSpec("topic", 1, {})
COUNT = 2000

WRITE_ON_DEMAND = """
import sys
from pathlib import Path
from streamsched.log.embedded import EmbeddedLog
from streamsched.log.port import Append, TopicSpec

log = EmbeddedLog(Path(sys.argv[1]))
log.create_topics([TopicSpec("topic", 1, {})])
print("open", flush=True)
for line in sys.stdin:
    for number in range(int(line)):
        log.append([Append("topic", 0, None, b"%d" % number)])
    print("written", flush=True)
log.close()
"""


class Writer:
    """A process that writes as many records as it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        assert self.answer() == "open"

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def begin(self, count: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def write(self, count: int) -> None:
        self.begin(count)
        assert self.answer() == "written"


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_ON_DEMAND, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


def test_a_second_writer_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with writing(tmp_path) as writer, pytest.raises(LogUnreachable) as caught:
        EmbeddedLog(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert f"process {writer.pid}" in message
    assert "--data-dir" in message
    log = EmbeddedLog(tmp_path)  # the lock went with the process
    assert (tmp_path / "writer.pid").read_text().strip() == str(os.getpid())
    with pytest.raises(LogUnreachable, match=f"process {os.getpid()}"):
        EmbeddedLog(tmp_path)
    log.close()
    assert not (tmp_path / "writer.pid").exists()
    EmbeddedLog(tmp_path).close()


def test_a_follower_reads_while_another_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with writing(tmp_path / "log") as writer:
        log = EmbeddedLog(tmp_path / "log", read_only=True)
        assert len(list(scratch.iterdir())) == 1
        assert log.check_topics([SPEC]) == []
        reader = log.reader()
        reader.assign({PLACE: 0})
        assert reader.poll(10, 0) == []
        writer.begin(COUNT)
        values: list[bytes | None] = []
        deadline = time.monotonic() + 30
        while len(values) < COUNT and time.monotonic() < deadline:
            values.extend(record.value for record in reader.poll(100, 0.5))
        assert values == [b"%d" % number for number in range(COUNT)]
        assert writer.answer() == "written"
        assert log.end([PLACE]) == {PLACE: COUNT}
        assert reader.position(PLACE) == COUNT
        writer.write(1)
        assert log.position_at([PLACE], 0) == {PLACE: 0}
        assert log.end([PLACE]) == {PLACE: COUNT + 1}
        log.close()
    assert list(scratch.iterdir()) == []


def test_a_follower_opened_first_sees_new_topics_and_deleted_records(tmp_path: Path) -> None:
    writer = EmbeddedLog(tmp_path)
    follower = EmbeddedLog(tmp_path, read_only=True)
    assert follower.cluster_id == writer.cluster_id
    writer.create_topics([SPEC])
    writer.append([Append("topic", 0, None, b"%d" % number) for number in range(10)])
    assert follower.partitions("topic") == 1
    reader = follower.reader()
    reader.assign({PLACE: 10})  # further than it has caught up so far
    assert reader.poll(10, 0) == []
    writer.delete_before({PLACE: 5})
    assert follower.start([PLACE]) == {PLACE: 5}
    reader.assign({PLACE: 2})
    with pytest.raises(PositionLost):
        reader.poll(1, 0)
    reader.assign({PLACE: 5})
    assert [record.offset for record in reader.poll(10, 0)] == [5, 6, 7, 8, 9]
    follower.close()
    writer.close()


def test_a_follower_never_writes(tmp_path: Path) -> None:
    writer = EmbeddedLog(tmp_path)
    writer.create_topics([SPEC])
    follower = EmbeddedLog(tmp_path, read_only=True)
    for refused in (
        lambda: follower.writer("id"),
        lambda: follower.fence("id"),
        lambda: follower.append([Append("topic", 0, None, b"x")]),
        lambda: follower.post(Append("topic", 0, None, b"x")),
        lambda: follower.create_topics([SPEC]),
        lambda: follower.delete_before({PLACE: 0}),
        lambda: follower.commit_initial("group", [PLACE], ""),
        lambda: follower.evict("group", "member"),
    ):
        with pytest.raises(LogUnreachable, match="reading only"):
            refused()
    follower.close()
    writer.close()


def test_there_is_nothing_to_follow(tmp_path: Path) -> None:
    with pytest.raises(LogUnreachable, match="no log in") as caught:
        EmbeddedLog(tmp_path / "nothing", read_only=True)
    assert str(tmp_path / "nothing") in str(caught.value)
    assert not (tmp_path / "nothing").exists()


def _store(folder: Path, pairs: dict[bytes, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    db = Rdict(str(folder / "store"), Options(raw_mode=True))
    for key, value in pairs.items():
        db[key] = value
    db.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("pairs", "named"), [({b"f": b"77"}, "version 77"), ({b"something": b"else"}, "no version")])
def test_a_store_of_another_format_is_refused(
    tmp_path: Path, pairs: dict[bytes, bytes], named: str, read_only: bool
) -> None:
    _store(tmp_path, pairs)
    with pytest.raises(LogUnreachable, match=named) as caught:
        EmbeddedLog(tmp_path, read_only=read_only)
    assert str(tmp_path) in str(caught.value)
    _store(tmp_path, {})  # it was closed again, and nothing was written
    db = Rdict(str(tmp_path / "store"), Options(raw_mode=True))
    assert dict(db.items()) == pairs
    db.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnreachable, match="file"):
        EmbeddedLog(tmp_path / "file" / "log")


def test_a_follower_sees_what_was_written_before_the_writer_closed(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    place = TopicPartition("t", 0)
    writer = EmbeddedLog(folder)
    writer.create_topics([TopicSpec("t", 1, {})])
    follower = EmbeddedLog(folder, read_only=True)
    reader = follower.reader()
    reader.assign({place: 0})
    for number in range(200):
        writer.append([Append("t", 0, None, b"%d" % number)])
    writer.close()
    seen: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while len(seen) < 200 and time.monotonic() < deadline:
        seen += [record.value for record in reader.poll(50, 0.2)]
    follower.close()
    assert seen == [b"%d" % number for number in range(200)]
