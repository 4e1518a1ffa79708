"""What executors print on its way into the log: by task, in records that are small, within a budget."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamsched.worker.relay import RECORD_BYTES, SAVED_BYTES, SAVED_S, Relay, records_of
from streamsched.worker.remains import Remains
from streamsched.worker.sink import COPY_LOOK_S, COPY_ROTATE_AT_BYTES, KEPT_FILES, copy_into, rotate
from streamsched.worker.voices import PREFIX_BYTES, prefix_of

TIME = "2026-11-28T15:00:00.123Z"
RATE = 1024


def line(who: str, text: str) -> bytes:
    return f"{TIME} {who}#1 {text}\n".encode()


class Case:
    """A file, and a relay of it whose clock stands still."""

    def __init__(self, folder: Path, budget: int = RATE) -> None:
        self.path = folder / "output.log"
        self.now = 0.0
        self.relay = Relay(self.path, budget, lambda: self.now)
        self.close = self.relay.close

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def texts(self) -> list[str]:
        lines = b"".join(value for _, value in self.relay.take()).decode().splitlines()
        return [each.partition("#1 ")[2] for each in lines]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with closing(Case(tmp_path)) as made:
        yield made


def test_lines_are_grouped_by_task_in_their_order() -> None:
    data = line("a[0]", "1") + line("b[reduce]", "2") + line("a[1]", "3") + line("a[0]#1[3]", "4")
    assert list(records_of(data)) == [
        ("a", line("a[0]", "1") + line("a[1]", "3")), ("b", line("b[reduce]", "2")), ("a[0]#1", line("a[0]#1[3]", "4")),
    ]  # fmt: skip


@pytest.mark.parametrize("task_id", ["ü-1", "x" * 200, "a\u2028b", "[0]#1", "\U0001f600" * 200])
def test_any_task_is_found_by_what_its_lines_begin_with(task_id: str) -> None:
    prefix = prefix_of(task_id, 3, 1)
    data = TIME.encode() + b" " + prefix + b"hello\n"
    ((name, lines),) = records_of(data)
    assert (name, lines) == (prefix.decode().removesuffix("[3]#1 "), data)
    assert len(name.encode()) <= PREFIX_BYTES


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n", b"rubbish\n", b"\0\xff\n", line("", "no task"), line("a[x]", "no child"), line("a b[0]", "a blank"),
        TIME.encode() + b" a[0]#1\n", line("a" * 600 + "[0]", "too long"), line("a[99999999999]", "too many"),
        b"yesterday a[0]#1 no time\n",
    ],
)  # fmt: skip
def test_what_no_executor_writes_is_passed_over(text: bytes) -> None:
    assert list(records_of(text + line("a[0]", "good"))) == [("a", line("a[0]", "good"))]


def test_records_have_64_kib_at_most_and_whole_lines() -> None:
    many = [line("a[0]", f"{number} {'x' * 4000}") for number in range(40)]
    records = list(records_of(b"".join(many) + line("a[0]", "y" * 2 * RECORD_BYTES)))
    assert all(len(value) <= RECORD_BYTES and value.endswith(b"\n") for _, value in records)
    found = b"".join(value for _, value in records)
    assert found.startswith(b"".join(many))
    assert len(found) == sum(map(len, many)) + RECORD_BYTES
    assert len(records) == 4


def test_it_begins_at_the_end_and_goes_on(case: Case, tmp_path: Path) -> None:
    case.write(line("a[0]", "before"))
    with closing(Case(tmp_path)) as second:
        assert second.texts() == []
        second.write(line("a[0]", "after"))
        assert second.texts() == ["after"]
    assert case.texts() == ["before", "after"]
    case.write(line("a[0]", "one") + line("a[0]", "two")[:-4])
    assert case.texts() == ["one"]
    case.write(b"two\n"[-4:])
    assert case.texts() == ["two"]
    assert case.texts() == []


def test_files_that_were_rotated_are_read_to_their_ends(case: Case) -> None:
    case.write(line("a[0]", "one"))
    assert case.texts() == ["one"]
    case.write(line("a[0]", "two"))
    assert rotate(str(case.path), case.path.stat())
    case.write(line("a[0]", "three"))
    assert case.texts() == ["two", "three"]
    with case.path.with_name("output.log.1").open("ab") as late:  # of an executor that had not seen it yet
        late.write(line("a[0]", "late"))
    case.write(line("a[0]", "four"))
    assert case.texts() == ["late", "four"]
    assert len(case.relay._followed._files) == 1
    for number in range(3):
        assert rotate(str(case.path), case.path.stat())
        case.write(line("a[0]", f"new {number}"))
    assert case.texts() == ["new 0", "new 1", "new 2"]
    assert case.texts() == []
    for number in range(KEPT_FILES + 2):  # more than there are files
        assert rotate(str(case.path), case.path.stat())
        case.write(line("a[0]", f"{number}"))
    assert case.texts() == ["1", "2", "3", "4", "5"]


def test_beyond_the_budget_the_newest_is_kept_and_a_line_of_each_child_says_what_is_missing(case: Case) -> None:
    lines = [line(f"a[{number % 2}]", f"{number:04}") for number in range(1000)]
    case.write(b"".join(lines))
    kept = RATE * SAVED_S // len(lines[0])
    found = case.texts()
    missing = (1000 - kept) * len(lines[0])
    assert found[0] == found[2] == f"[up to {missing} bytes that this worker printed are left out here]"
    assert [each for each in found if each[0] != "["] == [f"{number:04}" for number in range(1000 - kept, 1000)]
    case.write(lines[0])
    assert case.texts() == []  # not even for this line
    case.now += 1
    assert case.texts() == []
    case.write(lines[1])
    assert case.texts() == [found[0].replace(str(missing), str(len(lines[0]))), "0001"]


def test_what_could_not_be_written_counts_as_left_out(case: Case) -> None:
    case.write(line("a[0]", "lost"))
    case.relay.lost(case.relay.take())
    case.relay.lost(case.relay.take())
    case.write(line("a[0]", "one"))
    size = len(line("a[0]", "lost"))
    first = case.relay.take()
    assert f"[up to {size} bytes ".encode() in first[0][1]
    case.relay.lost(first)
    case.write(line("a[0]", "two"))
    assert f"[up to {size + len(first[0][1])} bytes ".encode() in case.relay.take()[0][1]
    case.write(line("a[0]", "three"))
    assert case.texts() == ["three"]


def test_a_flood_takes_bounded_memory_and_disk(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = Case(tmp_path, 256 * 1024)
    request.addfinalizer(case.close)
    copy = copy_into(str(case.path))
    assert copy is not None
    chunk = line("a[0]", "x" * 1000) * 1000
    for _ in range(3 * KEPT_FILES * COPY_ROTATE_AT_BYTES // len(chunk)):
        copy.write(chunk)
    files = list(tmp_path.iterdir())
    assert len(files) == KEPT_FILES + 1
    assert sum(file.stat().st_size for file in files) <= (KEPT_FILES + 1) * (COPY_ROTATE_AT_BYTES + len(chunk))
    records = case.relay.take()
    assert 0 < sum(len(value) for _, value in records) <= SAVED_BYTES + 100


def test_no_line_is_lost_where_one_executor_rotates_and_another_has_not_seen_it(tmp_path: Path) -> None:
    with closing(Case(tmp_path, 16 * 1024 * 1024)) as case:
        one, two = copy_into(str(case.path)), copy_into(str(case.path))
        assert one is not None
        assert two is not None
        chunk = line("b[0]", "x" * 1000) * 300
        found: list[str] = []
        for number in range(40):
            one.write(chunk)
            two.write(line("a[0]", f"{number}"))
            if number % 10 == 9:
                time.sleep(2 * COPY_LOOK_S)  # as a turn does, for longer
                case.now += 1
                found += case.texts()
        for _ in range(2):
            case.now += 1
            found += case.texts()
        assert (tmp_path / "output.log.2").exists()
        assert sorted(int(each) for each in found if each[0] != "x") == [*range(40)]
        assert len(found) == 40 * 301


def test_a_line_without_an_end_does_not_stop_it(case: Case) -> None:
    case.write(b"x" * 3 * RECORD_BYTES)
    assert case.texts() == []
    case.now += SAVED_S
    case.write(b"\n" + line("a[0]", "one"))
    assert case.texts()[-1] == "one"


def test_what_a_dead_executor_left_is_copied_and_the_file_still_read(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    case = Case(tmp_path, 16 * 1024 * 1024)
    request.addfinalizer(case.close)
    left = line("a[0]", "x" * 1000) * 1000
    fd = os.open(tmp_path / "stdout", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    remains = Remains(fd, None, str(case.path))
    found: list[str] = []
    for number in range(6):  # more than one file takes
        remains.write(left + line("a[0]", f"{number}"))
        until_empty = time.monotonic() + 30
        while not (texts := case.texts()) or texts[-1] != f"{number}":
            found += texts
            case.now += 1
            assert time.monotonic() < until_empty, "it does not come"
        found += texts
    remains.close()
    os.close(fd)
    assert case.path.with_name("output.log.1").exists()
    assert [each for each in found if each[0] != "x"] == [f"{number}" for number in range(6)]


def test_no_copy_where_none_can_be_written(tmp_path: Path) -> None:
    assert copy_into(None) is None
    assert copy_into(str(tmp_path / "none" / "output.log")) is None
