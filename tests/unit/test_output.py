from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streamsched.worker.jobs import JobCompleted
from streamsched.worker.output import CHUNK, LONGEST, Output, Stream, chunks
from streamsched.worker.pool import ExecutorPool
from tests.unit.pool_case import Case, make_job

pytestmark = pytest.mark.unit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "output"


def written(file: Path, write: Callable[[Output], None]) -> str:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        output = Output(fd)
        output.begin("t", 1)
        write(output)
    finally:
        os.close(fd)
    return file.read_text(encoding="utf-8")


def test_each_line_has_its_child_and_the_last_one_an_end(file: Path) -> None:
    def write(output: Output) -> None:
        print("a", 1, file=Stream(output, 1))
        output.write("b\n\nc")
        output.end()
        output.end()
        output.begin("u", 2)
        output.write("d\n")
        output.end()

    assert written(file, write) == "t[1] a 1\nt[1] b\nt[1] \nt[1] c\nu[2] d\n"


def test_a_flush_writes_whole_lines_only(file: Path) -> None:
    def write(output: Output) -> None:
        stream = Stream(output, 1)
        stream.write("a\nb")
        stream.flush()
        assert file.read_text() == "t[1] a\n"
        stream.write("c\nd")
        output.flush_if_writable()
        assert file.read_text() == "t[1] a\nt[1] bc\n"
        stream.buffer.write(b"\xffe\n")
        output.end()

    assert written(file, write) == "t[1] a\nt[1] bc\nt[1] d\ufffde\n"


def test_much_is_written_before_the_end(file: Path) -> None:
    def write(output: Output) -> None:
        for i in range(5000):
            output.write(f"{i}\n")
        assert file.stat().st_size > 0
        output.write("x" * LONGEST)
        output.end()

    lines = written(file, write).splitlines()
    assert lines[:5000] == [f"t[1] {i}" for i in range(5000)]
    assert "".join(line.removeprefix("t[1] ") for line in lines[5000:]) == "x" * LONGEST


@pytest.mark.parametrize("text", ["a\n" * 9000, "é" * 9000 + "\n", "short\n" + "€" * 5000 + "\nshort\n", "\n"])
def test_chunks_are_whole_lines_that_a_pipe_takes_at_once(text: str) -> None:
    found = list(chunks(text.encode(), b"> "))
    assert all(0 < len(chunk) <= CHUNK and chunk.endswith(b"\n") for chunk in found)
    assert all(chunk.decode() for chunk in found)
    whole = b"".join(found).decode().replace("\n> ", "")
    assert whole == text


def test_text_that_has_no_utf_8_is_shown(file: Path) -> None:
    def write(output: Output) -> None:
        output.write("bad \ud800\n")
        output.end()

    assert written(file, write) == "t[1] bad \\ud800\n"


def test_nobody_reads_any_more() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(writer)
    output.write("a\n")
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
    output = Output(writer)
    output.begin("t", 1)
    output.write("x\n" * 500_000)
    output.end()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert size == 500_000 * len("t[1] x\n")


def test_what_threads_write_is_complete(file: Path) -> None:
    def write(output: Output) -> None:
        def many(name: int) -> None:
            for i in range(5000):
                output.write(f"{name} {i}\n")

        threads = [threading.Thread(target=many, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        output.end()

    lines = written(file, write).splitlines()
    assert sorted(lines) == sorted(f"t[1] {n} {i}" for n in range(4) for i in range(5000))


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
    assert file.read_text(encoding="utf-8").splitlines() == [
        "T[5] line 0",
        "T[5] line 1",
        "T[5] line 2",
        "T[5] to stderr",
        "T[5] bytes é",
        "T[5] INFO pool_handlers.talk: logged 1",
        "T[5] INFO elsewhere: logged too",
        "T[5] no end",
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
