"""What split children find in files is disjoint and complete, and going on anywhere changes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import convert

from streamsched.domain.options import InputFile
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.outside import OutsideSplitter
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.sources.generators import GENERATORS
from streamsched.worker.sources.inputs import opened
from streamsched.worker.sources.records import filled

NAMES = st.text("ab.-_é ", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
LINE = st.text('ab,é\u2028 \r\t"\\{}1', max_size=12)
SHARED = settings(max_examples=60, deadline=None)


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def alive() -> None: ...


def entries_of(kind: str, fields: dict[str, Any], data: st.DataObject) -> list[Any]:
    """Return all entries, and see that going on behind any of them gives the same rest, and that each adjoins."""
    splitter = SPLITTERS[kind]
    assert issubclass(splitter, OutsideSplitter)
    entries = list(GENERATORS[kind](fields, None, alive))
    assert json.loads(json.dumps(entries)) == entries
    before = None
    for entry in entries:
        assert splitter.follows(before, entry)
        before = entry
    if entries:
        at = data.draw(st.integers(0, len(entries) - 1))
        last = {**entries[at], "inputs": entries[at]["inputs"][-1:]}
        assert list(GENERATORS[kind](fields, last, alive)) == entries[at + 1 :]
    return entries


def inputs_of(entry: Any) -> list[InputFile]:
    return convert(entry["inputs"], list[InputFile])


@SHARED
@given(
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.integers(0, 50), max_size=8),
    st.integers(1, 4), st.data(),
)  # fmt: skip
def test_files_are_covered_once(tree: dict[str, int], count: int, data: st.DataObject) -> None:
    with folder() as root:
        for name, size in tree.items():
            path = root / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(size))
            except (NotADirectoryError, FileExistsError, IsADirectoryError):
                assume(False)
        shown = [name for name in tree if not any(part.startswith(".") for part in name.split("/"))]
        wanted = sorted((f"{root}/{name}" for name in shown), key=lambda path: path.split("/"))
        fields: dict[str, Any] = {"count": count, "bytes": 0, "empty": not wanted, "verify": True}
        for globs in ([str(root)], [f"{root}/**"], [f"{root}/*", f"{root}/*/**", f"{root}/**/*"]):
            entries = entries_of("files", {**fields, "globs": globs}, data)
            assert [each["path"] for entry in entries for each in entry["inputs"]] == wanted
            assert [len(entry["inputs"]) for entry in entries[:-1]] == [count] * (len(entries) - 1)
        by_bytes = entries_of("files", {**fields, "globs": [str(root)], "count": 0, "bytes": 60}, data)
        assert [each["path"] for entry in by_bytes for each in entry["inputs"]] == wanted
        assert all(entry["weight"] <= 60 for entry in by_bytes)
        assert sum(entry["weight"] for entry in by_bytes) == sum(tree[name] for name in shown)
        star = entries_of("files", {**fields, "globs": [f"{root}/*/a*"], "empty": True}, data)
        assert {each["path"] for entry in star for each in entry["inputs"]} == {
            str(path) for path in root.glob("*/a*") if path.is_file() and not path.parent.name.startswith(".")
        }


def text_of(lines: list[str], ends: list[str], *, last: bool) -> str:
    text = "".join(line.replace("\n", "") + end for line, end in zip(lines, ends, strict=True))
    return text if last else text.removesuffix("\n").removesuffix("\r")


@SHARED
@given(st.data(), st.lists(LINE, max_size=12), st.integers(1, 30), st.booleans(), st.booleans())
def test_the_records_of_all_ranges_are_those_of_the_file(
    data: st.DataObject, lines: list[str], size: int, last: bool, marked: bool
) -> None:
    ends = data.draw(st.lists(st.sampled_from(["\n", "\r\n"]), min_size=len(lines), max_size=len(lines)))
    form = data.draw(st.sampled_from(["text", "jsonl", "csv"]))
    if form == "jsonl":
        lines = [json.dumps(line) if line.strip() else " " for line in lines]
    elif form == "csv":
        lines = ["a,b"] + [f'{len(line)},"{line.replace(chr(34), chr(34) * 2)}"' for line in lines]
        ends = ["\n", *ends]
    text = text_of(lines, ends, last=last)
    with folder() as root:
        path = root / "in"
        path.write_bytes(("\ufeff" if marked else "").encode() + text.encode())
        fields = {
            "globs": [str(path)], "size": size, "format": form, "empty": not path.stat().st_size, "verify": True,
        }  # fmt: skip
        found: list[Any] = []
        for entry in entries_of("bytes", fields, data):
            (of,) = inputs_of(entry)
            context = ChildContext(LocalTransport())
            with opened(context, "{}", [of], alive):
                records = context.records()
                places = [records.offset]
                mine = []
                for record in records:
                    mine.append(record)
                    places.append(records.offset)
            at = data.draw(st.integers(0, len(mine)))
            state = json.dumps({"offset": places[at]}) if at else None
            for resume in (True, False):
                context = ChildContext(LocalTransport(), state=state)
                with opened(context, "{}", [of], alive):
                    records = context.records()
                    assert list(context.resume(records, every=1) if resume else records) == mine[at:]
            found += mine
    whole: list[str]
    *whole, rest = text.split("\n")
    whole = [line.removesuffix("\r") for line in whole] + [rest] * bool(rest)
    if marked and not text:
        whole = [""]
    if form == "text":
        assert found == whole
    elif form == "jsonl":
        assert found == [json.loads(line) for line in whole if line.strip()]
    else:
        assert found == list(csv.DictReader(io.StringIO("\n".join(whole))))


@SHARED
@given(st.data(), st.lists(LINE, max_size=20), st.integers(1, 5), st.booleans(), st.booleans())
def test_lines_are_covered_once(data: st.DataObject, lines: list[str], size: int, last: bool, marked: bool) -> None:
    ends = data.draw(st.lists(st.sampled_from(["\n", "\r\n"]), min_size=len(lines), max_size=len(lines)))
    text = text_of(lines, ends, last=last)
    wanted = [line.removesuffix("\r") for line in text.split("\n") if line.encode().strip()]
    with folder() as root:
        path = root / "in"
        path.write_bytes(("\ufeff" if marked else "").encode() + text.encode())
        fields = {"file": str(path), "size": size, "empty": not wanted, "verify": True}
        entries = entries_of("lines", fields, data)
        items: list[str] = []
        for index, entry in enumerate(entries):
            variables = SPLITTERS["lines"].entry_variables(entry)  # type: ignore[attr-defined]
            form = f'{{"all":{variables["items"]},"text":"<{variables["items~"]}>"}}'
            made = json.loads(filled(form, inputs_of(entry)))
            assert made["text"] == f"<{json.dumps(made['all'], separators=(',', ':'))}>"
            assert entry["first"] == len(items)
            assert len(made["all"]) == entry["weight"] == (size if index < len(entries) - 1 else len(made["all"]))
            items += made["all"]
        assert items == wanted
