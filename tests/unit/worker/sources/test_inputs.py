"""Inputs that are missing, empty, changed, unreadable or not what their format says; and what is read of sound ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain.options import InputFile
from streamsched.worker import errors
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.sources import generators, records, storage
from streamsched.worker.sources.errors import BadRecord, InputChanged, InputEmpty, InputMissing
from streamsched.worker.sources.generators import GENERATORS
from streamsched.worker.sources.inputs import opened
from streamsched.worker.sources.records import RangeRecords, check_inputs, filled
from tests.support.splits import Died, Worker


def alive() -> None: ...


def fields(kind: str, path: Path | str, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "files": {"globs": [str(path)], "count": 1, "bytes": 0},
        "bytes": {"globs": [str(path)], "size": 10, "format": "text"},
        "lines": {"file": str(path), "size": 1},
    }[kind]
    return {**own, "empty": False, "verify": True, **more}


def span(path: Path, start: int = 0, end: int | None = None, form: str = "text", **more: Any) -> InputFile:
    of = storage.look(str(path))
    return InputFile(*of, start=start, end=of.size if end is None else end, format=form, **more)


def touched(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def read(of: InputFile, alive: Callable[[], None] = alive) -> list[Any]:
    with closing(RangeRecords(of, None, alive)) as found:
        return list(found)


@pytest.fixture
def context_of() -> Iterator[Callable[..., ChildContext]]:
    with ExitStack() as stack:

        def make(of: InputFile, state: str | None = None) -> ChildContext:
            context = ChildContext(LocalTransport(), state=state)
            stack.enter_context(opened(context, "{}", [of], alive))
            return context

        yield make


# --- the split child ---


@pytest.mark.parametrize("kind", GENERATORS)
def test_missing_and_empty_inputs_are_named(kind: str, tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    with pytest.raises(InputMissing, match=r"none\.txt: there is no such file"):
        list(GENERATORS[kind](fields(kind, missing), None, alive))
    (tmp_path / "empty").write_text("")
    if kind != "files":
        with pytest.raises(InputEmpty, match="empty: there is nothing to do; where that may be, write empty: true"):
            list(GENERATORS[kind](fields(kind, tmp_path / "empty"), None, alive))
        assert list(GENERATORS[kind](fields(kind, tmp_path / "empty", empty=True), None, alive)) == []
    if kind != "lines":
        with pytest.raises(InputEmpty, match=r"\*.png: there is nothing to do"):
            list(GENERATORS[kind](fields(kind, tmp_path / "*.png"), None, alive))
        assert list(GENERATORS[kind](fields(kind, tmp_path / "*.png", empty=True), None, alive)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(InputMissing, match="shut: may not be read here"):
        list(GENERATORS["files"](fields("files", tmp_path / "shut" / "*"), None, alive))


def test_what_a_file_system_refuses_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "in"
    path.write_text("a\n")
    of = span(path)
    for name, act in (
        ("scandir", lambda: list(GENERATORS["files"](fields("files", tmp_path), None, alive))),
        ("stat", lambda: storage.look(str(path))),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            with pytest.raises(InputMissing, match=r"may not be read here \(Permission denied\)"):
                act()
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputMissing, match="in: may not be read here"):
        RangeRecords(of, None, alive)


def test_pipes_hidden_files_and_links_to_folders_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    os.mkfifo(root / "pipe")
    for name in ("a", ".hidden", "sub/b", "[x]"):
        (root / name).write_text("x")
    (root / "loop").symlink_to(root)
    (root / "link").symlink_to(root / "a")
    (tmp_path / "other").symlink_to(root)

    def found(glob: str) -> list[str]:
        entries = GENERATORS["files"](fields("files", f"{tmp_path}/{glob}"), None, alive)
        return [each["path"].removeprefix(f"{tmp_path}/") for entry in entries for each in entry["inputs"]]

    assert found("in") == ["in/[x]", "in/a", "in/link", "in/sub/b"]
    assert found("other/*") == ["other/[x]", "other/a", "other/link"]
    assert found("in/.*") == ["in/.hidden"]
    assert found("in/[x]") == ["in/[x]"]
    assert found("in/[a-b]") == ["in/a"]
    assert found("in/**/?") == ["in/a", "in/sub/b"]
    with pytest.raises(InputMissing, match="pipe: there is no such file or folder"):
        found("in/pipe")


@pytest.mark.parametrize("change", [lambda path: path.write_text("other\n" * 9), touched, Path.unlink])
@pytest.mark.parametrize("kind", GENERATORS)
def test_a_file_that_changes_while_it_is_split_is_named(
    kind: str, change: Callable[[Path], object], tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("line\n" * 5)
    given = fields(kind, tmp_path / ("a.txt" if kind == "lines" else "*.txt"))
    worker = Worker()

    def few(*args: Any) -> Any:
        for number, entry in enumerate(whole(*args)):
            yield entry
            if number == 0:
                assert worker.context is not None
                worker.wait(0)
                raise Died

    whole = GENERATORS[kind]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(generators, "GENERATORS", {**GENERATORS, kind: few})
        patched.setattr("streamsched.worker.sources.split.GENERATORS", {**GENERATORS, kind: few})
        with pytest.raises(Died):
            worker.attempt(kind, given)
    assert len(worker.entries) == 1
    change(tmp_path / "a.txt")
    error = InputMissing if change is Path.unlink else InputChanged
    with pytest.raises(error, match=r"a\.txt"):
        worker.attempt(kind, given)
    assert InputChanged.__name__ == "input_changed"
    assert errors.describe(InputChanged("x")).error_type == "input_changed"
    assert not errors.describe(InputChanged("x")).retryable


def test_a_list_that_grows_while_it_is_read_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "list"

    def rewrite(text: str) -> None:
        path.write_text(text)

    for text in ("a\n" * 4, "a\n"):
        path.write_text("a\n" * 3)
        entries = GENERATORS["lines"](fields("lines", path), None, partial(rewrite, text))
        with pytest.raises(InputChanged, match="list"):
            list(entries)


def test_too_much_for_one_child_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "list"
    monkeypatch.setattr(generators, "CHILD_LIMIT", 100)
    path.write_text("0123456789\n" * 20)
    with pytest.raises(errors.PayloadTooLarge, match="choose a smaller size"):
        list(GENERATORS["lines"](fields("lines", path, size=50), None, alive))
    monkeypatch.setattr(generators, "LINE_LIMIT", 50)
    path.write_text("a\n" + "x" * 60)
    with pytest.raises(BadRecord, match="list: the line at byte 2 has more than 1 MiB"):
        list(GENERATORS["lines"](fields("lines", path), None, alive))
    monkeypatch.setattr(generators, "FILES_LIMIT", 1_000)
    for number in range(20):
        (tmp_path / f"f{number}").write_text("x")
    with pytest.raises(errors.PayloadTooLarge, match="choose a smaller count"):
        list(GENERATORS["files"](fields("files", tmp_path / "f*", count=20), None, alive))
    assert len(list(GENERATORS["files"](fields("files", tmp_path / "f*", count=0, bytes=20), None, alive))) > 1


# --- its children ---


def test_a_child_looks_at_its_files_before_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("a\n")
    sound, blind = span(path), span(path, verify=False)
    check_inputs([sound], alive)
    touched(path)
    with pytest.raises(InputChanged, match=f"{path} has been changed since the task was split"):
        check_inputs([sound], alive)
    check_inputs([blind], alive)
    with pytest.raises(InputChanged, match="in has been changed"):
        RangeRecords(blind, None, alive)
    path.write_text("ab\n")
    with pytest.raises(InputChanged, match="has 3 bytes, and had 2 when the task was split"):
        check_inputs([sound], alive)
    path.unlink()
    with pytest.raises(InputMissing, match="in: there is no such file"):
        check_inputs([sound], alive)


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("text", b"good\nb\xffd\n", "byte 6 is not UTF-8, in the record at byte 5"),
        ("jsonl", b'{"a": 1}\n{"a": \n', "the record at byte 9 is not JSON"),
        ("jsonl", b"NaN\n", "the record at byte 0 is not JSON"),
        ("csv", b'a,b\n1,"x\ny"\n', "the record at byte 4 has an open quote: is there a line break in a quoted field?"),
        ("csv", b"a,b\n1,2,3\n", "the record at byte 4 has 3 fields, the header 2"),
        ("csv", b'a,"b\n1,2\n', "the record at byte 0 has an open quote"),
        ("csv", b"a,b\n1\n", "the record at byte 4 has 1 fields, the header 2"),
    ],
)
def test_a_bad_record_is_named_with_its_place(form: str, data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "in.data"
    path.write_bytes(data)
    with pytest.raises(BadRecord, match=said) as caught:
        read(span(path, form=form), alive)
    assert "in.data" in str(caught.value)
    assert not errors.describe(caught.value).retryable


def test_quotes_may_be_plain_characters(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('size,n\n5" pipe,1\n')
    assert read(span(path, form="csv_one_line"), alive) == [{"size": '5" pipe', "n": "1"}]


def test_a_record_may_be_longer_than_its_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "in"
    monkeypatch.setattr(records, "BUFFER", 7)
    path.write_text(f"a\n{'x' * 50}\nb\n")
    found = [read(span(path, start, min(start + 10, 55)), alive) for start in range(0, 55, 10)]
    assert found == [["a", "x" * 50], [], [], [], [], ["b"]]
    monkeypatch.setattr(records, "RECORD_LIMIT", 30)
    with pytest.raises(BadRecord, match="the record at byte 2 has more than 64 MiB"):
        read(span(path), alive)


def test_a_file_that_is_cut_off_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("line\n" * 500_000)
    with closing(RangeRecords(span(path), None, alive)) as reading:
        next(reading)
        os.truncate(path, 5)
        with pytest.raises(InputMissing, match=r"in ends at byte .*, and had 2,500,000"):
            list(reading)
    of = span(path, 0, 5, "lines")
    os.truncate(path, 2)
    with pytest.raises(InputMissing, match="in ends at byte 2, before the 5 of this child"):
        filled('{"x":"\ue000items\ue001"}', [of])


def test_records_go_on_at_the_offset_of_the_last_checkpoint(
    tmp_path: Path, context_of: Callable[..., ChildContext]
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f"{n}\n" for n in range(10)))
    first = context_of(span(path, form="jsonl"))
    records, total = first.records(), 0
    for record in records:
        total += record
        first.checkpoint({"offset": records.offset, "total": total})
        if record == 4:
            break
    told = first.unsaved()
    assert told is not None
    again = context_of(span(path, form="jsonl"), told[0])
    assert again.last_checkpoint == {"offset": 10, "total": 10}
    assert again.last_checkpoint["total"] + sum(again.records()) == 45
    with pytest.raises(ValueError, match=r'no "offset": write ctx.checkpoint\(\{"offset": records.offset'):
        context_of(span(path), '{"total":1}').records()
    with pytest.raises(errors.NonRetryable, match="the last checkpoint has the offset 21, which"):
        context_of(span(path), '{"offset":21}').records()
    with pytest.raises(RuntimeError, match="this child has no records"):
        ChildContext(LocalTransport()).records()


def test_resume_takes_checkpoints_of_records(tmp_path: Path, context_of: Callable[..., ChildContext]) -> None:
    path = tmp_path / "in"
    path.write_text("".join(f"{n}\n" for n in range(10)))
    first = context_of(span(path, 4, 20))
    for record in first.resume(first.records(), every=2):
        if record == "7":
            break
    told = first.unsaved()
    assert told is not None
    assert told[0] == '{"offset":12}'
    again = context_of(span(path, 4, 20), told[0])
    assert list(again.resume(again.records())) == ["6", "7", "8", "9"]


def test_a_stop_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("a\n" * 10)
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise errors.StopChild

    with pytest.raises(errors.StopChild):
        read(span(path), stop)


def test_lines_fill_the_arguments(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b'"a" \\\n\nb\xff\r\n')
    of = span(path, form="lines")
    assert filled('{"x":1}', [of]) == '{"x":1}'
    one, two = filled('{"x":"\ue000items\ue001"}', [of]), filled('{"x":"<\ue000items~\ue001>"}', [of])
    assert one == r'{"x":["\"a\" \\","b\udcff"]}'
    assert two == r'{"x":"<[\"\\\"a\\\" \\\\\",\"b\\udcff\"]>"}'
    with pytest.raises(errors.BadArguments, match="this child has 2"):
        filled('{"x":"\ue000item\ue001"}', [of])
    assert filled('{"x":"\ue000item\ue001","y":"<\ue000item~\ue001>"}', [span(path, 0, 7, "lines")]) == (
        r'{"x":"\"a\" \\","y":"<\"a\" \\>"}'
    )
