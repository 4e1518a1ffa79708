"""Splitters with a split child, as far as they are pure: their input, and the arguments that an entry gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain import size
from streamsched.domain.bounds import PAYLOAD_LIMIT
from streamsched.domain.errors import InputError
from streamsched.domain.placeholders import encode
from streamsched.domain.refusal import TemplateError, dotted
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.outside import OutsideSplitter
from streamsched.domain.splitting import EntryArguments, item_limit, outside, plan, split_input
from streamsched.domain.template import RetryPolicy, Template, version
from streamsched.domain.variables import resolve_params
from streamsched.files.template_file import load_template, template_of

Entry = dict[str, Any]
PARAMS = {
    "n": {"type": "integer", "default": 5},
    "name": {"type": "string", "default": "64kB"},
    "paths": {"type": "array", "default": ["a", "b"]},
}


def template(split: dict[str, Any], args: dict[str, Any] | None = None) -> Template:
    return template_of({"name": "t", "params": PARAMS, "split": split, "child": {"handler": "a:b", "args": args or {}}})


def resolved(split: dict[str, Any], args: dict[str, Any] | None = None) -> Any:
    made = template(split, args)
    assert Template.from_json(made.to_json()) == made
    found = plan(made, resolve_params(made, {}))
    assert (found.children, found.split) == (0, True)
    return json.loads(found.document)


def filled(split: dict[str, Any], args: dict[str, Any], entry: object, index: int = 0) -> Any:
    made = template(split, args)
    params = resolve_params(made, {})
    return json.loads(EntryArguments(made, params, plan(made, params).document)(index, entry))


def files(*sizes: int) -> Entry:
    inputs = [{"path": f"in/{n}", "size": each, "tag": "1"} for n, each in enumerate(sizes)]
    return {"inputs": inputs, "weight": sum(sizes)}


def span(start: int, end: int, of: int, path: str = "a") -> Entry:
    return {
        "inputs": [{"path": path, "size": of, "tag": "1", "start": start, "end": end, "format": "text"}],
        "weight": end - start,
    }


def lines(first: int, count: int, start: int, end: int) -> Entry:
    return {**span(start, end, 100), "first": first, "weight": count}


def test_the_input_is_filled_in_and_its_paths_are_absolute() -> None:
    here = Path.cwd()
    assert resolved({"by": "jobs:pieces", "args": {"n": "${n}", "x": ["<${name}>"]}}) == {
        "by": {"function": "jobs:pieces", "args": {"n": 5, "x": ["<64kB>"]}}
    }
    assert resolved({"files": {"glob": ["./in/*.png", "/abs/*", "s3://b/k"], "count": "${n}"}}) == {
        "files": {
            "globs": [f"{here}/in/*.png", "/abs/*", "s3://b/k"],
            "count": 5, "bytes": 0, "empty": False, "verify": True,
        }
    }  # fmt: skip
    assert resolved({"files": {"glob": "${name}/x", "bytes": "${name}"}})["files"] | {"empty": True} == {
        "globs": [f"{here}/64kB/x"], "count": 0, "bytes": 64_000, "empty": True, "verify": True,
    }  # fmt: skip
    assert resolved({"files": {"glob": "${paths}"}})["files"]["globs"] == [f"{here}/a", f"{here}/b"]
    assert resolved({"files": {"glob": "a"}})["files"]["count"] == 1
    assert resolved({"bytes": {"files": "a.csv", "format": "csv", "one_line": True}})["bytes"] == {
        "globs": [f"{here}/a.csv"], "size": 64_000_000, "format": "csv_one_line", "empty": False, "verify": True,
    }  # fmt: skip
    assert resolved({"bytes": {"files": "a", "size": "${n}"}})["bytes"]["size"] == 5
    assert resolved({"lines": {"file": "${name}.txt", "size": 3, "verify": False}}) == {
        "lines": {"file": f"{here}/64kB.txt", "size": 3, "empty": False, "verify": False}
    }


def test_a_list_in_a_file_is_cut_by_lines() -> None:
    short, long = template({"list": "@list.txt"}), template({"list": {"items": "@list.txt", "size": "${n}"}})
    assert (short.split.kind, long.split.kind) == ("lines", "lines")
    assert (short, long) == (
        template({"lines": {"file": "list.txt"}}),
        template({"lines": {"file": "list.txt", "size": "${n}"}}),
    )
    with pytest.raises(Exception, match="chunks of size 1"):
        template({"list": {"items": "@list.txt", "size": 2}}, {"x": "${child.item}"})
    dynamic = template({"lines": {"file": "list.txt", "size": "${n}"}}, {"x": "<${child.item}>"})
    with pytest.raises(TemplateError, match="chunks of size 1, the size is 5"):
        plan(dynamic, {"n": 5})
    assert plan(dynamic, {"n": 1}).split


def test_a_template_has_one_version_wherever_it_lies(tmp_path: Path) -> None:
    text = "name: t\nsplit: {files: {glob: 'in/*'}}\nchild: {handler: 'a:b'}\n"
    made = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "job.yaml").write_text(text)
        made.append(load_template(folder / "job.yaml"))
    one, two = made
    assert one != two
    assert version(one) == version(two)
    assert json.loads(plan(one, {}).document)["files"]["globs"] == [f"{tmp_path}/one/in/*"]


def test_what_the_split_child_runs() -> None:
    made = template({"by": "jobs:pieces", "timeout": "5m", "retry": {"max_attempts": 2}})
    own = made.splitting
    assert own is not None
    assert (own.handler, own.timeout_ms, own.retry) == ("jobs:pieces", 300_000, RetryPolicy(max_attempts=2))
    assert made.handlers == ("a:b", "jobs:pieces")
    assert Template.from_json(made.to_json()) == made
    built_in = template({"lines": {"file": "a"}})
    assert built_in.splitting is not None
    assert (built_in.splitting.handler, built_in.splitting.retry) == ("", built_in.child.retry)
    assert built_in.handlers == ("a:b",)
    assert template({"list": {"items": [1]}}).splitting is None
    assert json.loads(split_input(plan(made, {}).document)) == {"function": "jobs:pieces", "args": {}}


def test_the_arguments_of_an_entry() -> None:
    args = {"x": "${child.item}", "text": "<${child.item}> ${child.index}"}
    for item in (None, 1, -0.5, 'a"b', "\udc80", [1, {"a": "${n} %s"}], {"weight": 1, "inputs": 2}):
        shown = item if isinstance(item, str) else encode(item)
        assert filled({"by": "a:b"}, args, item, 7) == {"x": item, "text": f"<{shown}> 7"}
    args = {"p": "${child.items}", "s": "${child.size}", "t": "<${child.items}>"}
    told = filled({"files": {"glob": "a"}}, args, files(3, 4))
    assert told == {"p": ["in/0", "in/1"], "s": 7, "t": '<["in/0","in/1"]>'}
    args = {"f": "${child.file}", "r": "${child.file}:${child.start}-${child.end}", "s": "${child.size}"}
    assert filled({"bytes": {"files": "a"}}, args, span(3, 10, 20)) == {"f": "a", "r": "a:3-10", "s": 7}
    args = {"f": "${child.first}", "l": "${child.last}"}
    assert filled({"lines": {"file": "a", "size": 3}}, args, lines(3, 2, 0, 9)) == {"f": 3, "l": 4}


@pytest.mark.parametrize("entry", [None, 5, {}, {"inputs": 3}, {"inputs": [{"path": "a"}]}, [1]])
@pytest.mark.parametrize("split", [{"files": {"glob": "a"}}, {"bytes": {"files": "a"}}, {"lines": {"file": "a"}}])
def test_an_entry_that_no_generator_made_is_refused(split: dict[str, Any], entry: object) -> None:
    own = {"files": "${child.items}", "bytes": "${child.start}", "lines": "${child.last}"}[next(iter(split))]
    with pytest.raises(TemplateError, match="not a plan of a splitter known here"):
        filled(split, {"x": own}, entry)


def test_a_plan_of_another_splitter_is_refused() -> None:
    made = template({"by": "a:b"})
    with pytest.raises(TemplateError, match="it is for lines, the template has by"):
        EntryArguments(made, {}, '{"lines":{}}')


def test_what_room_the_arguments_leave_an_item() -> None:
    assert item_limit(template({"by": "a:b"}), {}) == PAYLOAD_LIMIT - 2
    made = template({"by": "a:b"}, {"x": "${child.item}", "y": "${child.item}", "n": "${child.index}"})
    limit = item_limit(made, {})
    widest = "x" * (limit - 2)
    assert outside(made).entry_size(widest) == limit
    arguments = EntryArguments(made, {}, plan(made, {}).document)
    assert PAYLOAD_LIMIT - 25 <= len(arguments(10**7, widest)) <= PAYLOAD_LIMIT
    with pytest.raises(TemplateError, match="no room") as caught:
        plan(template({"by": "a:b"}, {"a": "x" * (PAYLOAD_LIMIT - 25), "n": "${child.index}"}), {})
    assert dotted(caught.value.path) == "child.args"


def test_which_entries_adjoin() -> None:
    one, two = files(1, 2), files(1)
    two["inputs"][0]["path"] = "in/9"
    cases: dict[str, list[tuple[Entry | None, Entry, bool]]] = {
        "files": [(None, one, True), (one, two, True), (two, one, False), (one, one, False)],
        "bytes": [
            (None, span(0, 5, 9), True), (None, span(1, 5, 9), False),
            (span(0, 5, 9), span(5, 9, 9), True), (span(0, 5, 9), span(6, 9, 9), False),
            (span(0, 5, 9), span(4, 9, 9), False), (span(0, 5, 9), span(5, 9, 10), False),
            (span(5, 9, 9), span(0, 3, 3, "b"), True), (span(0, 5, 9), span(0, 3, 3, "b"), False),
            (span(5, 9, 9, "b"), span(0, 3, 3, "a"), False), (span(5, 9, 9, "a-b"), span(0, 3, 3, "a/b"), False),
        ],
        "lines": [
            (None, lines(0, 2, 0, 9), True), (None, lines(1, 2, 0, 9), False),
            (lines(0, 2, 0, 9), lines(2, 2, 9, 12), True), (lines(0, 2, 0, 9), lines(3, 2, 9, 12), False),
            (lines(0, 2, 0, 9), lines(2, 2, 10, 12), False),
        ],
    }  # fmt: skip
    for kind, rows in cases.items():
        splitter = SPLITTERS[kind]
        assert issubclass(splitter, OutsideSplitter)
        for before, entry, adjoins in rows:
            assert splitter.follows(before, entry) is adjoins, (kind, before, entry)


@pytest.mark.parametrize(
    ("split", "params", "path", "said"),
    [
        ({"files": {"glob": "${paths}"}}, {"paths": []}, "split.files.glob", "has no path"),
        ({"files": {"glob": "${paths}"}}, {"paths": [1]}, "split.files.glob", "1 is not a path"),
        ({"files": {"glob": "${name}"}}, {"name": ""}, "split.files.glob", "is not a path"),
        ({"files": {"glob": "a", "bytes": "${name}"}}, {"name": "much"}, "split.files.bytes", "'much' is not a size"),
        ({"files": {"glob": "a", "count": "${n}"}}, {"n": 0}, "split.files.count", "at least 1"),
        ({"lines": {"file": "${name}"}}, {"name": ""}, "split.lines.file", "is not a path"),
        ({"by": "a:b", "args": {"x": "${paths}"}}, {"paths": ["x" * 200_000] * 2}, "split.args", "above 256 KiB"),
    ],
)
def test_values_that_cannot_work_are_refused(split: dict[str, Any], params: Any, path: str, said: str) -> None:
    made = template(split)
    with pytest.raises(TemplateError, match=said) as caught:
        plan(made, resolve_params(made, params))
    assert dotted(caught.value.path) == path


def test_sizes() -> None:
    texts = ("64MB", "1.5 GiB", "500kB", "12", "7B", "1 KiB", "0.5KB")
    assert [*map(size.read, texts)] == [64 * 10**6, 3 * 2**29, 500_000, 12, 7, 1024, 500]
    assert [size.read(each) for each in (9, True, "MB", "-1MB", "1 PB", "1e3", "", None, "1.MB")] == [9] + [None] * 8


def offsets(partition: int, start: int, end: int, of: int, tag: str = "id") -> Entry:
    at = {"path": f"orders/{partition}", "size": of, "tag": tag, "start": start, "end": end, "format": "topic"}
    return {"inputs": [at], "weight": end - start}


def test_the_bounds_of_a_topic_are_names_or_times() -> None:
    assert resolved({"topic": {"name": "orders"}})["topic"] == {
        "name": "orders", "begin": "earliest", "end": "latest", "size": 10_000, "empty": False,
    }  # fmt: skip
    given = {"name": "${name}.x", "from": "1970-01-01T00:00:01Z", "to": "1970-01-01T01:00:02+01:00", "size": "${n}"}
    assert resolved({"topic": given})["topic"] == {
        "name": "64kB.x", "begin": 1000, "end": 2000, "size": 5, "empty": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": ".."}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 250}, "name"),
        ({"name": "a", "from": "latest"}, "from"),
        ({"name": "a", "from": "2026-01-31"}, "from"),
        ({"name": "a", "to": "earliest"}, "to"),
        ({"name": "a", "to": 5}, "to"),
        ({"name": "a", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"name": "a", "size": 0}, "size"),
        ({"name": "a", "empty": "yes"}, "empty"),
        ({"name": "${m}"}, "name"),
        ({"name": "${name}/"}, "name"),
    ],
)
def test_a_topic_that_cannot_be_is_refused(given: dict[str, Any], where: str) -> None:
    with pytest.raises((TemplateError, InputError)) as caught:
        resolved({"topic": given})
    assert f"split.topic.{where}" in str(caught.value)


def test_a_span_of_offsets_gives_arguments() -> None:
    names = ("topic", "partition", "start", "end", "size")
    args = {name: f"${{child.{name}}}" for name in names} | {"text": "<${child.topic}>"}
    found = filled({"topic": {"name": "orders"}}, args, offsets(3, 10, 25, 100))
    assert found == {"topic": "orders", "partition": 3, "start": 10, "end": 25, "size": 15, "text": "<orders>"}


def test_spans_of_offsets_adjoin() -> None:
    follows = outside(template({"topic": {"name": "orders"}})).follows
    first = offsets(0, 5, 10, 20)
    assert follows(None, first)
    assert follows(first, offsets(0, 10, 20, 20))
    assert follows(offsets(0, 10, 20, 20), offsets(2, 0, 4, 4))
    for wrong in (offsets(0, 11, 20, 20), offsets(0, 9, 20, 20), offsets(1, 0, 5, 5), offsets(0, 10, 20, 20, "new")):
        assert not follows(first, wrong)
    assert not follows(offsets(2, 10, 20, 20), offsets(1, 0, 4, 4))
