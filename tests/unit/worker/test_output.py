"""What is printed is written line by line, and nothing of it is lost, mixed or kept for ever."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.worker import voices
from streamsched.worker.jobs import JobCompleted
from streamsched.worker.output import CHUNK_BYTES, MEMORY_BYTES, Output, remains
from streamsched.worker.pool import ExecutorPool
from streamsched.worker.sink import Sink
from streamsched.worker.streams import Stream
from tests.unit.worker.pool_case import Case, make_job, unstamped

pytestmark = pytest.mark.slow
STAMP = len(b"2026-11-28T15:00:00.123Z ")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "output"


def written(file: Path, write: Callable[[Output], None]) -> str:
    """Write to a file as child 1 of t, and return its lines without their times."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        output = Output(Sink(fd))
        output.begin("t", 1, 1)
        write(output)
    finally:
        os.close(fd)
    return unstamped(file)


def test_a_line_has_its_time_task_child_and_attempt(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def write(output: Output) -> None:
        monkeypatch.setattr(voices, "_time_ns", lambda: 1_795_878_000_123_999_999)
        output.write(b"a\n")
        monkeypatch.setattr(voices, "_time_ns", lambda: 1_795_878_001_000_000_000)
        output.begin("t", 1, 12)
        output.write(b"b\n")
        output.end()

    written(file, write)
    assert file.read_text() == "2026-11-28T15:00:00.123Z t[1]#1 a\n2026-11-28T15:00:01.000Z t[1]#12 b\n"


def test_a_task_id_does_not_break_lines(file: Path) -> None:
    def write(output: Output) -> None:
        output.begin("a\nb\x1b\ud800" + "x" * 10_000, 1, 1)
        output.write(b"text\n")
        output.end()

    (line,) = written(file, write).splitlines()
    assert line.startswith("a\\nb\\x1b\\ud800xxx")
    assert line.endswith("[1]#1 text")


def test_each_line_has_its_child_and_the_last_one_an_end(file: Path) -> None:
    def write(output: Output) -> None:
        print("a", 1, file=Stream(output, 1, "stdout"))
        output.write(b"b\n\nc")
        output.end()
        output.end()
        output.begin("u", 2, 3)
        output.write(b"d\n")
        output.end()

    assert written(file, write) == "t[1]#1 a 1\nt[1]#1 b\nt[1]#1 \nt[1]#1 c\nu[2]#3 d\n"


def test_a_flush_writes_whole_lines_only(file: Path) -> None:
    def write(output: Output) -> None:
        stream = Stream(output, 1, "stdout")
        stream.write("a\nb")
        stream.flush()
        assert unstamped(file) == "t[1]#1 a\n"
        stream.write("c\nd")
        output.flush_if_writable()
        assert unstamped(file) == "t[1]#1 a\nt[1]#1 bc\n"
        stream.buffer.write(b"\xffe\n")
        output.end()

    assert written(file, write) == "t[1]#1 a\nt[1]#1 bc\nt[1]#1 d\ufffde\n"


def test_much_is_written_before_the_end(file: Path) -> None:
    def write(output: Output) -> None:
        for i in range(5000):
            output.write(b"%d\n" % i)
        assert file.stat().st_size > 0
        for _ in range(1000):
            output.write(b"x" * 100)
        output.end()

    lines = written(file, write).splitlines()
    assert lines[:5000] == [f"t[1]#1 {i}" for i in range(5000)]
    assert "".join(line.removeprefix("t[1]#1 ") for line in lines[5000:]) == "x" * 100_000


@pytest.mark.parametrize("size", [1, 7, 4096, 100_000])
@pytest.mark.parametrize("text", ["a\n" * 9000, "é" * 9000 + "\n", "short\n" + "€" * 9000 + "\nshort\n", "\n"])
def test_chunks_are_whole_lines_that_a_pipe_takes_at_once(text: str, size: int) -> None:
    class Chunks(Sink):
        def write(self, data: bytes) -> None:
            chunks.append(data)

    chunks: list[bytes] = []
    output = Output(Chunks(1))
    output.begin("t", 1, 1)
    data = text.encode()
    for at in range(0, len(data), size):
        output.write(data[at : at + size])
    output.end()
    assert all(0 < len(chunk) <= CHUNK_BYTES and chunk.endswith(b"\n") for chunk in chunks)
    assert all(chunk.decode() for chunk in chunks)
    assert "\ufffd" not in b"".join(chunks).decode()
    lines = [line.partition("#1 ")[2] for line in b"".join(chunks).decode().splitlines()]
    assert "".join(lines) == text.replace("\n", "")
    assert all(line for line in lines) or text == "\n"


@given(st.text("ab"), st.lists(st.sampled_from(["", "a", "é", "x" * 4000, "x" * 9000])), st.integers(1, 700))
def test_many_lines_at_once_are_the_same_as_one_after_the_other(begun: str, lines: list[str], times: int) -> None:
    whole = "".join(f"{line}\n" for line in lines * times)[:200_000] + "rest"

    def told(pieces: Iterable[str]) -> list[bytes]:
        with tempfile.TemporaryFile() as file:
            output = Output(Sink(file.fileno()))
            output.begin("t", 1, 1)
            for piece in (begun, *pieces):
                output.write(piece.encode())
            output.end()
            file.seek(0)
            return [line[STAMP:] for line in file.read().split(b"\n")]

    assert told([whole]) == told(whole.splitlines(keepends=True))


def test_garbage_that_looks_like_the_middle_of_a_character_ends_too(file: Path) -> None:
    def write(output: Output) -> None:
        output.write(b"\x80" * 20_000)
        output.write(b"a")
        output.write(b"\x80" * 20_000 + b"\n")
        output.end()

    assert written(file, write).count("\ufffd") == 40_000


def test_text_that_has_no_utf_8_is_shown(file: Path) -> None:
    def write(output: Output) -> None:
        Stream(output, 1, "stdout").write("bad \ud800\n")
        output.end()

    assert written(file, write) == "t[1]#1 bad \\ud800\n"


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["\r 10%", "\r 20%", "\n"], [" 10%", " 20%"]),
        (["\r 10%\r 20%\r\n", "next\n"], [" 10%", " 20%", "next"]),
        (["10%\r", "20%\r", "\n", "next\n"], ["10%", "20%", "next"]),
        (["a\r\nb\r\n"], ["a", "b"]),
        (["a\r", "\nb\r", "\n"], ["a", "b"]),
        (["a\n", "\rb", "\n\rc\n"], ["a", "b", "c"]),
        (["\r", "\r\r", "x"], ["x"]),
    ],
)
def test_each_state_of_a_progress_bar_is_a_line(file: Path, pieces: list[str], lines: list[str]) -> None:
    def write(output: Output) -> None:
        for piece in pieces:
            output.write(piece.encode())
        output.end()

    assert written(file, write) == "".join(f"t[1]#1 {line}\n" for line in lines)


def test_stdout_and_stderr_do_not_share_a_line(file: Path) -> None:
    def write(output: Output) -> None:
        out, err = Stream(output, 1, "stdout"), Stream(output, 2, "stderr")
        print("working ...", end="", file=out)
        print("a warning", file=err)
        print("done", file=out)
        output.end()

    assert written(file, write) == "t[1]#1 working ...\nt[1]#1 a warning\nt[1]#1 done\n"


def test_lines_of_threads_do_not_mix(file: Path) -> None:
    def write(output: Output) -> None:
        turn = threading.Barrier(2)

        def other() -> None:
            turn.wait()
            output.write(b"other")
            turn.wait()
            turn.wait()
            output.write(b"\n")

        thread = threading.Thread(target=other)
        thread.start()
        output.write(b"mine")
        turn.wait()
        turn.wait()
        output.write(b"\n")
        turn.wait()
        thread.join()
        output.end()

    assert written(file, write) == "t[1]#1 mine\nt[1]#1 other\n"


def test_a_thread_that_is_left_behind_keeps_its_child(file: Path) -> None:
    def write(output: Output) -> None:
        again = threading.Event()
        gone = threading.Event()

        def talk() -> None:
            for _ in range(3):
                again.wait()
                again.clear()
                output.write(b"of child 1\n")
                gone.set()

        thread = threading.Thread(target=talk)
        thread.start()
        for child in (2, 3, 4):
            output.begin("t", child, 1)
            output.write(b"mine ")
            again.set()
            assert gone.wait(20)
            gone.clear()
            output.write(b"and mine\n")
            output.end()
        thread.join()
        output.begin("t", 5, 1)
        thread = threading.Thread(target=output.write, args=(b"of child 5\n",))
        thread.start()
        thread.join()
        output.end()

    lines = written(file, write).splitlines()
    assert [line for line in lines if "of child" in line] == ["t[1]#1 of child 1"] * 3 + ["t[5]#1 of child 5"]
    assert sum("mine" in line for line in lines) == 6
    assert not any("mine" in line and "t[1]" in line for line in lines)


def test_a_signal_handler_may_print_while_its_thread_prints(file: Path) -> None:
    def write(output: Output) -> None:
        def on_alarm(_number: int, _frame: FrameType | None) -> None:
            alarms.append(1)
            output.write(b"alarm\n")

        before = signal.signal(signal.SIGALRM, on_alarm)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while len(alarms) < 100:
                output.write(b"line ")
                output.write(b"whole\n")
                lines.append(1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        output.end()

    alarms: list[int] = []
    lines: list[int] = []
    text = written(file, write)
    assert text.count("alarm\n") == len(alarms)
    assert text.count("whole\n") == len(lines)


class Interrupted(Sink):
    """A signal handler prints while it writes, once for each of these texts, the last one first."""

    def __init__(self, fd: int, texts: list[bytes]) -> None:
        super().__init__(fd)
        self.texts = texts
        self.output = Output(self)

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.texts:
            self.output.write(self.texts.pop())


def test_a_signal_handler_may_print_while_the_last_line_is_written(file: Path) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    output = Interrupted(fd, [b"no end", b"alarm\n"]).output
    output.begin("t", 1, 1)
    output.write(b"a\n")
    output.end()
    output.begin("t", 2, 1)
    output.write(b"b\n")
    output.end()
    os.close(fd)
    assert unstamped(file) == "t[1]#1 a\nt[1]#1 alarm\nt[1]#1 no end\nt[2]#1 b\n"


def test_a_flush_writes_what_a_signal_handler_has_printed(file: Path) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    output = Interrupted(fd, [b"alarm\n"]).output
    output.begin("t", 1, 1)
    output.forked()  # each write is written through, so nothing else is left
    output.write(b"a\n")
    output.flush()
    os.close(fd)
    assert unstamped(file) == "t[1]#1 a\nt[1]#1 alarm\n"


def test_a_write_that_is_broken_off_harms_no_other(file: Path) -> None:
    class Breaks(Sink):
        broken = True

        def write(self, data: bytes) -> None:
            if self.broken:
                raise TimeoutError
            super().write(data)

    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    sink = Breaks(fd)
    output = Output(sink)
    output.write(b"a\n")
    with pytest.raises(TimeoutError):  # as a signal handler may raise it
        output.flush()
    sink.broken = False
    output.write(b"b\n")
    output.end()
    os.close(fd)
    assert re.findall(r"Z (.)\n", file.read_text()) == ["a", "b"]


def test_what_is_not_written_outlives_the_process() -> None:
    memory = memoryview(bytearray(MEMORY_BYTES))
    output = Output(Sink(-1), memory)
    output.begin("t", 1, 1)
    assert remains(memory) == b""
    output.write(b"whole\nhalf \xff")
    left = remains(memory).decode()
    assert re.sub(r"(?m)^\S+Z ", "", left) == "t[1]#1 whole\nt[1]#1 half \ufffd\n"
    output.end()
    assert remains(memory) == b""


@pytest.mark.parametrize("word", [b"\xff" * 8, b"\x00" * 7 + b"\xff", bytes(range(200, 208))])
def test_a_memory_that_was_overwritten_harms_nothing(word: bytes) -> None:
    memory = memoryview(bytearray(MEMORY_BYTES))
    memory[:8] = word
    assert len(remains(memory)) <= MEMORY_BYTES + 1


def test_gigabytes_without_an_end_of_line_cost_no_memory() -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    output = Output(Sink(fd))
    output.begin("t", 1, 1)
    stream = Stream(output, 1, "stdout")
    text = "x" * 50_000_000
    tracemalloc.start()
    try:
        stream.write(text)
        stream.buffer.write(memoryview(bytes(1)).cast("B"))
        for _ in range(1000):
            stream.write("y" * 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    output.end()
    os.close(fd)
    assert peak < 1_000_000


def test_nobody_reads_any_more() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(Sink(writer))
    output.write(b"a\n")
    output.end()
    os.close(writer)


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 0

    def read() -> None:
        nonlocal size
        while data := os.read(reader, 65536):
            size += len(data)

    thread = threading.Thread(target=read)
    thread.start()
    output = Output(Sink(writer))
    output.begin("t", 1, 1)
    output.write(b"x\n" * 100_000)
    output.end()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert size == 100_000 * len("2026-11-28T15:00:00.123Z t[1]#1 x\n")


def test_what_threads_write_is_complete(file: Path) -> None:
    def write(output: Output) -> None:
        def many(name: int) -> None:
            for i in range(5000):
                output.write(b"%d %d\n" % (name, i))

        threads = [threading.Thread(target=many, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        output.end()

    lines = written(file, write).splitlines()
    assert sorted(lines) == sorted(f"t[1]#1 {n} {i}" for n in range(4) for i in range(5000))


def test_prints_and_logs_of_a_handler_are_captured(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    with file.open("ab") as sink:
        pool = ExecutorPool(1, allow=["pool_handlers"], output_fd=sink.fileno())
        try:
            case = Case(pool)
            case.one(make_job("talk", args={"lines": 3}, task_id="T", child=5), JobCompleted)
            case.one(make_job("child_process"), JobCompleted)
        finally:
            pool.close(5.0)
    assert unstamped(file).splitlines() == [
        "T[5]#1 line 0",
        "T[5]#1 line 1",
        "T[5]#1 line 2",
        "T[5]#1 to stderr",
        "T[5]#1 bytes é",
        "T[5]#1 INFO pool_handlers.talk: logged 1",
        "T[5]#1 INFO elsewhere: logged too",
        "T[5]#1 no end",
        "<built-in function default_int_handler>",
    ]


def test_a_slow_reader_holds_up_its_executor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    reader, writer = os.pipe()
    pool = ExecutorPool(1, allow=["pool_handlers"], output_fd=writer)
    try:
        case = Case(pool)
        job = make_job("talk", args={"lines": 100_000})
        pool.submit([job])
        case.until(lambda: case.runs(job))
        for _ in range(10):
            case.news += pool.poll(0.01)
        assert case.runs(job)
        pool.kill([job.key])
        os.set_blocking(reader, False)
        case.until(lambda: len(pool.pids()) == 1 and pool.room() == 1)
    finally:
        pool.close()
        os.close(reader)
        os.close(writer)
