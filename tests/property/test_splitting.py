"""Children are pairwise disjoint and together cover the input, whatever the input (invariant 2)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain.bounds import CHILDREN_LIMIT, PAYLOAD_LIMIT
from streamsched.domain.calendar.zone import load
from streamsched.domain.placeholders import encode
from streamsched.domain.refusal import dotted
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.dates import EVERY, DatesCut, DatesSplit
from streamsched.domain.splitters.grid import GridSplit
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import ChildArguments, Plan, plan
from streamsched.domain.template import ChildSpec, Param, Template, TemplateError
from streamsched.domain.variables import resolve_params

RANGE = Template(
    name="range",
    params={name: Param(type="integer") for name in ("first", "last", "size")},
    split=RangeSplit(first="${first}", last="${last}", size="${size}"),
    child=ChildSpec(
        handler="a:b",
        args={
            "first": "${child.first}",
            "last": "${child.last}",
            "size": "${child.size}",
            "index": "${child.index}",
            "text": "${child.first}-${child.last}",
        },
    ),
)
LIST = Template(
    name="list",
    params={"items": Param(type="array"), "size": Param(type="integer")},
    split=ListSplit(items="${items}", size="${size}"),
    child=ChildSpec(
        handler="a:b",
        args={
            "items": "${child.items}",
            "first": "${child.first}",
            "last": "${child.last}",
            "text": "<${child.items}>",
        },
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def cut(template: Template, params: Mapping[str, object]) -> tuple[Plan, ChildArguments]:
    resolved = resolve_params(template, params)
    made = plan(template, resolved)
    return made, ChildArguments(Template.from_json(template.to_json()), resolved, made.document)


@given(first=st.integers(-1000, 1000), count=st.integers(-10, 300), size=st.integers(1, 400))
def test_a_range_is_covered_once(first: int, count: int, size: int) -> None:
    last = first + count - 1
    made, arguments = cut(RANGE, {"first": first, "last": last, "size": size})
    seen: list[int] = []
    for index in range(made.children):
        child = json.loads(arguments(index))
        assert child["index"] == index
        assert child["size"] == child["last"] - child["first"] + 1
        assert 1 <= child["size"] <= size
        assert child["text"] == f"{child['first']}-{child['last']}"
        seen += range(child["first"], child["last"] + 1)
    assert seen == list(range(first, last + 1))
    for outside in (-1, made.children):
        with pytest.raises(IndexError):
            arguments(outside)


@given(
    first=st.integers(-(2**63), 2**63 - 1),
    last=st.integers(-(2**63), 2**63 - 1),
    size=st.integers(1, 2**63 - 1),
)
def test_large_ranges_fit_together_at_every_seam(first: int, last: int, size: int) -> None:
    params = {"first": first, "last": last, "size": size}
    if (last - first) // size + 1 > CHILDREN_LIMIT:
        with pytest.raises(TemplateError, match="the limit is 10,000,000"):
            cut(RANGE, params)
        return
    made, arguments = cut(RANGE, params)
    if last < first:
        assert made.children == 0
        return
    assert json.loads(arguments(0))["first"] == first
    assert json.loads(arguments(made.children - 1))["last"] == last
    for index in {1, made.children // 2, made.children - 1} - {0, made.children}:
        assert json.loads(arguments(index))["first"] == json.loads(arguments(index - 1))["last"] + 1


@given(items=st.lists(JSON, max_size=30), size=st.integers(1, 40))
def test_a_list_is_covered_once(items: list[object], size: int) -> None:
    made, arguments = cut(LIST, {"items": items, "size": size})
    seen: list[object] = []
    for index in range(made.children):
        child = json.loads(arguments(index))
        assert child["first"] == len(seen)
        seen += child["items"]
        assert child["last"] == len(seen) - 1
        assert 1 <= len(child["items"]) <= size
        assert child["text"] == f"<{encode(child['items'])}>"
    assert encode(seen) == encode(items)
    assert made.children == -(-len(items) // size)


@given(value=JSON, text=st.text())
def test_any_value_arrives_as_it_was(value: object, text: str) -> None:
    template = Template(
        name="t",
        params={"box": Param(type="array"), "text": Param(type="string")},
        split=ListSplit(items="${box}"),
        child=ChildSpec(
            handler="a:b",
            args={
                "whole": "${box}",
                "item": "${child.item}",
                "text": "a${text}b",
                "inner": "<${child.item}>",
            },
        ),
    )
    _, arguments = cut(template, {"box": [value], "text": text})
    shown = value if isinstance(value, str) else encode(value)
    assert encode(json.loads(arguments(0))) == encode(
        {"whole": [value], "item": value, "text": f"a{text}b", "inner": f"<{shown}>"}
    )


@given(
    first=st.integers(-2000, 2000),
    count=st.integers(1, 500),
    size=st.integers(1, 100),
    pad=st.integers(0, 80),
)
def test_what_was_validated_is_never_above_the_limit(first: int, count: int, size: int, pad: int) -> None:
    args = {**RANGE.child.args, "pad": "x" * (PAYLOAD_LIMIT - 120 + pad)}
    template = Template(name="t", params=RANGE.params, split=RANGE.split, child=ChildSpec(handler="a:b", args=args))
    try:
        made, arguments = cut(template, {"first": first, "last": first + count - 1, "size": size})
    except TemplateError:
        return
    for index in {0, made.children // 2, made.children - 1}:
        assert len(arguments(index)) <= PAYLOAD_LIMIT


@given(st.data(), st.integers(-100, 100), st.lists(JSON, min_size=1, max_size=30), st.integers(1, 7))
def test_a_slice_gives_the_children_of_the_whole(
    data: st.DataObject, first: int, items: list[object], size: int
) -> None:
    made: dict[str, dict[str, object]] = {
        "range": {"first": first, "last": first + len(items) - 1, "size": size},
        "list": {"items": items, "size": size},
        "grid": {"axes": {"a": items, "b": {"first": first, "last": first}}, "size": size},
        "dates": {
            "start": "2024-01-31",
            "end": f"2024-02-{len(items) % 28 + 1:02}",
            "every": "day",
            "zone": "Asia/Tokyo",
        },
    }
    wanted_of = {
        "range": ["first", "last", "size"],
        "list": ["first", "last", "items", "items~"],
        "grid": ["points", "points~"],
        "dates": ["start", "end~", "date", "date~"],
    }
    assert made.keys() == {kind for kind, splitter in SPLITTERS.items() if not splitter.outside}
    for kind, fields in made.items():
        wanted = {"index", *wanted_of[kind]}
        whole = SPLITTERS[kind].cut(wanted, **fields)
        begin = data.draw(st.integers(0, whole.children - 1))
        end = data.draw(st.integers(begin, whole.children - 1))
        text = encode(whole.slice(begin, end))
        part = SPLITTERS[kind].cut(wanted, **json.loads(text))
        inner = SPLITTERS[kind].cut(wanted, **part.slice(end, end))
        assert (part.children, inner.children) == (end - begin + 1, 1)
        assert [part.variables(index) for index in range(begin, end + 1)] == [
            whole.variables(index) for index in range(begin, end + 1)
        ]
        assert inner.variables(end) == whole.variables(end)
        assert {name: width <= whole.widths()[name] for name, width in part.widths().items()} == dict.fromkeys(
            wanted, True
        )
        assert [part.weight(index) for index in range(begin, end + 1)] == [
            whole.weight(index) for index in range(begin, end + 1)
        ]
        assert sum(map(whole.weight, range(whole.children))) == (whole.children if kind == "dates" else len(items))


VALUES = st.lists(JSON, max_size=4, unique_by=encode)
AXES = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True),
    VALUES | st.builds(lambda first, count: {"first": first, "last": first + count - 1},
                       st.integers(-20, 20), st.integers(-1, 5)),
    min_size=1, max_size=3,
)  # fmt: skip


@given(axes=AXES, size=st.integers(1, 9))
def test_a_grid_is_covered_once(axes: dict[str, Any], size: int) -> None:
    child = ChildSpec(
        handler="a:b", args={"points": "${child.points}", "text": "<${child.points}>", "n": "${child.index}"}
    )
    template = Template(name="t", split=GridSplit(axes=literal(axes), size=size), child=child)
    made, arguments = cut(template, {})
    axis_of: dict[str, Sequence[Any]] = {
        name: range(axis["first"], axis["last"] + 1) if isinstance(axis, dict) else axis for name, axis in axes.items()
    }
    seen: list[Any] = []
    for index in range(made.children):
        text = arguments(index)
        told = json.loads(text)
        assert (told["n"], told["text"]) == (index, f"<{encode(told['points'])}>")
        assert 1 <= len(told["points"]) <= size
        seen += told["points"]
    names = sorted(axes)
    assert encode(seen) == encode(
        [dict(zip(names, each, strict=True)) for each in product(*(axis_of[name] for name in names))]
    )


@given(axes=AXES.filter(all))
def test_the_values_of_a_point_arrive_as_they_were(axes: dict[str, Any]) -> None:
    args = {name: {"value": f"${{child.point.{name}}}", "text": f"<${{child.point.{name}}}>"} for name in axes}
    template = Template(name="t", split=GridSplit(axes=literal(axes)), child=ChildSpec(handler="a:b", args=args))
    made, arguments = cut(template, {})
    whole = Template(name="t", split=template.split, child=ChildSpec(handler="a:b", args={"all": "${child.points}"}))
    _, points = cut(whole, {})
    for index in range(made.children):
        [point] = json.loads(points(index))["all"]
        told = json.loads(arguments(index))
        for name, value in point.items():
            shown = value if isinstance(value, str) else encode(value)
            assert encode(told[name]) == encode({"value": value, "text": f"<{shown}>"})


def literal(value: Any) -> Any:
    """Write a value so that nothing in it is a placeholder."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [literal(each) for each in value]
    return {literal(key): literal(each) for key, each in value.items()} if isinstance(value, dict) else value


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Kathmandu",
    "Pacific/Apia",
]
MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2031, 1, 1)).map(lambda at: at.replace(second=0, microsecond=0))  # noqa: DTZ001


@given(
    start=MOMENTS,
    hours=st.integers(-30, 2_000),
    every=st.sampled_from(EVERY),
    zone=st.sampled_from(ZONES),
    dated=st.booleans(),
)
def test_dates_are_covered_once(start: datetime, hours: int, every: str, zone: str, dated: bool) -> None:
    texts = [each.date().isoformat() if dated else each.isoformat() for each in (start, start + timedelta(hours=hours))]
    split = DatesSplit(start=texts[0], end=texts[1], every=every, zone=zone)
    args = {name: f"${{child.{name}}}" for name in ("start", "end", "date")}
    made, arguments = cut(Template(name="t", split=split, child=ChildSpec(handler="a:b", args=args)), {})
    known = load(zone)  # of the tzdata package, as all nodes have it; the system's may be of another year
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=known).astimezone(UTC) for text in texts)
    assert (made.children == 0) is (end <= begin)
    at = begin
    for index in range(made.children):
        told = json.loads(arguments(index))
        first, last = (datetime.fromisoformat(told[name]) for name in ("start", "end"))
        assert first == at
        assert first < last or (zone == "Pacific/Apia" and told["date"] == "2011-12-31")
        assert told["date"] == first.astimezone(known).date().isoformat()
        assert first.utcoffset() == first.astimezone(known).utcoffset()
        at = last
    assert at == (end if made.children else begin)


@pytest.mark.parametrize(
    ("every", "start", "end", "zone", "lengths"),
    [
        ("day", "2024-03-30", "2024-04-02", "Europe/Berlin", [24, 23, 24]),
        ("day", "2024-10-26", "2024-10-29", "Europe/Berlin", [24, 25, 24]),
        ("hour", "2024-10-27", "2024-10-28", "Europe/Berlin", [1] * 25),
        ("week", "2024-01-01", "2024-01-16", "UTC", [168, 168, 24]),
        ("month", "2024-01-31", "2024-05-01", "UTC", [29 * 24, 31 * 24, 30 * 24, 24]),
        ("day", "2018-11-03", "2018-11-06", "America/Sao_Paulo", [24, 23, 24]),
        ("day", "2024-01-01T06:00", "2024-01-02T07:00", "UTC", [24, 1]),
        ("hour", "2024-10-27T02:30:00+01:00", "2024-10-27T02:30:00Z", "Europe/Berlin", [1]),
        ("day", "2024-01-02", "2024-01-01", "UTC", []),
    ],
)
def test_days_have_the_length_that_they_have(every: str, start: str, end: str, zone: str, lengths: list[int]) -> None:
    whole = DatesCut({"start", "end"}, start, end, every, zone)
    told = [whole.variables(index) for index in range(whole.children)]
    spans = [[datetime.fromisoformat(json.loads(str(each[name]))) for name in ("start", "end")] for each in told]
    assert [(last - first) / timedelta(hours=1) for first, last in spans] == lengths


@pytest.mark.parametrize(
    ("split", "args", "path", "said"),
    [
        (GridSplit(axes={"a": [1, 2]}, size=2), "${child.point.a}", "child.args.x", "chunks of size 1"),
        (GridSplit(axes={"a": [1]}), "${child.point.b}", "child.args.x", "did you mean child.point.a?"),
        (GridSplit(axes={"a": [1]}), "${child.item}", "child.args.x", "unknown in child.args with a grid splitter"),
        (GridSplit(axes={"a": "${box}", "b": "${n}"}, size="${n}"), "", "split.grid.axes.b", "type integer, not array"),
        (GridSplit(axes={f"a{n}": {"first": 1, "last": 10**6} for n in range(3)}), "", "split.grid", "10,000,000"),
        (GridSplit(axes={"a": {"first": -(2**63), "last": 2**63 - 1}}), "", "split.grid", "10,000,000"),
        (GridSplit(axes={"a": ["x" * 2**18]}), "${child.point.a}", "child.args", "the limit is 262,144"),
        (GridSplit(axes={"a": {"first": 1, "last": 9**6}}, size=9**6), "${child.points}", "child.args", "the limit is"),
        (DatesSplit(start="${text}", end="2024-01-01"), "", "split.dates.start", "'soon' is not a time"),
        (DatesSplit(start="1900-01-01", end="2198-12-31", zone="${text}"), "", "split.dates.zone", "no zone 'soon'"),
        (DatesSplit(start="1900-01-01", end="2198-12-31", every="${text}"), "", "split.dates.every", "not a unit"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused_with_its_field(split: Splitter, args: str, path: str, said: str) -> None:
    params = {"text": Param(type="string"), "n": Param(type="integer"), "box": Param(type="array")}
    with pytest.raises(TemplateError) as caught:
        cut(
            Template(name="t", params=params, split=split, child=ChildSpec(handler="a:b", args={"x": args})),
            {"text": "soon", "n": 1, "box": []},
        )
    assert dotted(caught.value.path) == path
    assert said in str(caught.value)


def test_plans_that_nobody_made_are_refused() -> None:
    for document in (
        '{"dates":{"start":"2024-01-01","end":"2024-01-02","every":"year","zone":"UTC"}}',
        '{"dates":{"start":"2024-01-01","end":"9999-12-31","every":"month","zone":"UTC"}}',
        '{"dates":{"start":"2024-01-01","end":"2024-01-02","every":"day"}}',
        '{"dates":{"start":1,"end":"2024-01-02","every":"day","zone":"UTC"}}',
        '{"dates":{"start":"2024-01-01","end":"2024-01-02","every":"day","zone":"No/Where"}}',
        '{"grid":{"axes":{"a":{"first":1}},"size":1}}',
        '{"grid":{"axes":{"a":[1]},"size":0}}',
        '{"grid":{"axes":[1],"size":1}}',
    ):
        template = DATES if document.startswith('{"dates"') else GRID
        with pytest.raises(TemplateError, match="not a plan of a splitter known here"):
            ChildArguments(template, {}, document)
    template = Template(name="t", split=GRID.split, child=ChildSpec(handler="a:b", args={"a": "${child.point.a}"}))
    arguments = ChildArguments(template, {}, '{"grid":{"axes":{"b":[1]},"size":1}}')
    with pytest.raises(TemplateError, match="not a plan of a splitter known here"):
        arguments(0)


def test_a_child_that_names_no_point_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GridSplit.cut, "_point", None)
    cut = GridSplit.cut({"index"}, {"a": {"first": 1, "last": 10**15}}, 10**15)
    assert (cut.children, cut.variables(0), cut.weight(0)) == (1, {"index": 0}, 10**15)


def test_small_letters_of_a_time_and_a_zone_that_left_out_a_day() -> None:
    assert DatesSplit.cut((), "2024-01-31t06:00:00z", "2024-02-02", "day", "UTC").children == 2
    cut = DatesSplit.cut({"end"}, "2011-06-01", "2012-01-10T00:30", "day", "Pacific/Apia")
    assert cut.variables(cut.children - 1) == {"end": '"2012-01-10T00:30:00+14:00"'}
    assert cut.variables(cut.children - 2) != cut.variables(cut.children - 1)


DATES = Template(name="t", split=DatesSplit(start="2024-01-01", end="2024-01-02"), child=ChildSpec(handler="a:b"))
GRID = Template(name="t", split=GridSplit(axes={"a": [1]}), child=ChildSpec(handler="a:b"))


def test_an_executor_imports_splitters_without_the_rest() -> None:
    code = (
        "import streamsched.domain.splitters, sys; "
        "print(*sorted(m for m in sys.modules if m.startswith('streamsched.') or m in ('difflib', 'pydantic_core')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = {name.removeprefix("streamsched.domain.").partition(".")[0] for name in done.stdout.split()}
    assert names == {
        "streamsched",
        "errors",
        "kinds",
        "placeholders",
        "refusal",
        "size",
        "splitters",
        "values",
        "visible",
    }


def test_a_plan_of_equal_input_has_an_equal_digest() -> None:
    one, _ = cut(RANGE, {"first": 1, "last": 10, "size": 3})
    two, _ = cut(RANGE, {"size": 3, "last": 10, "first": 1})
    other, _ = cut(RANGE, {"first": 1, "last": 10, "size": 4})
    assert one == two
    assert one.digest != other.digest
