"""``logs``: the lines of a task or a child, across files that were rotated, then those that come."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from streamsched.queries.output import Printed

TIME = "2026-11-28T15:00:00.123Z"


def line(who: str, text: str) -> str:
    return f"{TIME} {who}#1 {text}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


def read(printed: Printed) -> list[str]:
    return [each.partition("#1 ")[2] for each in printed.read()]


def found(path: Path, task_id: str, child: str | None = None) -> list[str]:
    with closing(Printed(path, task_id, child)) as printed:
        return read(printed)


def test_the_lines_of_a_task_and_of_a_child(path: Path) -> None:
    path.write_text(
        line("a[0]", "zero") + line("a[10]", "ten") + line("a[reduce]", "all") + line("ab[0]", "other")
        + line("a[0]#1[3]", "a task with a strange id") + "rubbish\n" + line("a[1]", "a[0]#1 ")
    )  # fmt: skip
    assert found(path, "a") == ["zero", "ten", "all", "a[0]#1 "]
    assert found(path, "a", "10") == ["ten"]
    assert found(path, "a", "1") == ["a[0]#1 "]
    assert found(path, "a", "reduce") == ["all"]
    assert found(path, "a[0]#1") == ["a task with a strange id"]
    assert found(path, "b") == []


def test_rotated_files_come_first_and_new_lines_later(path: Path) -> None:
    for number in (2, 1):
        path.with_name(f"output.log.{number}").write_text(line("a[0]", f"old {number}"))
    path.write_text(line("a[0]", "new")[:-3])
    printed = Printed(path, "a")
    assert read(printed) == ["old 2", "old 1"]
    with path.open("a") as file:
        file.write("ew\n" + line("a[0]", "last of it"))
    path.rename(path.with_name("output.log.3"))
    assert read(printed) == ["new", "last of it"]
    path.write_text(line("a[0]", "in another file"))
    assert read(printed) == ["in another file"]
    assert read(printed) == []
    printed.close()


def test_a_file_that_comes_later_is_read(path: Path) -> None:
    printed = Printed(path, "a")
    assert read(printed) == []
    path.write_text(line("a[0]", "first"))
    assert read(printed) == ["first"]
    printed.close()


def test_a_task_whose_id_is_long_or_not_printable(path: Path) -> None:
    from streamsched.worker.voices import prefix_of

    for name in ("x" * 300, "a\nb"):
        path.write_text(f"{TIME} {prefix_of(name, 0, 1).decode()}text\n")
        assert found(path, name) == ["text"]
