"""Children are pairwise disjoint and together cover the input, whatever the input (invariant 2)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain.bounds import CHILDREN_LIMIT, PAYLOAD_LIMIT
from streamsched.domain.placeholders import encode
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import ChildArguments, Plan, plan
from streamsched.domain.template import (
    ChildSpec,
    Param,
    Template,
    TemplateError,
    resolve_params,
)

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
    }
    assert made.keys() == SPLITTERS.keys()
    for kind, fields in made.items():
        wanted = {"index", "first", "last", *(["items", "items~"] if kind == "list" else ["size"])}
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
        assert sum(map(whole.weight, range(whole.children))) == len(items)


def test_an_executor_imports_splitters_without_the_rest() -> None:
    code = (
        "import streamsched.domain.splitters, sys; "
        "print(*sorted(m for m in sys.modules if m.startswith('streamsched.') or m in ('difflib', 'pydantic_core')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = {name.removeprefix("streamsched.domain.").partition(".")[0] for name in done.stdout.split()}
    assert names == {"streamsched", "errors", "kinds", "placeholders", "refusal", "splitters", "values", "visible"}


def test_a_plan_of_equal_input_has_an_equal_digest() -> None:
    one, _ = cut(RANGE, {"first": 1, "last": 10, "size": 3})
    two, _ = cut(RANGE, {"size": 3, "last": 10, "first": 1})
    other, _ = cut(RANGE, {"first": 1, "last": 10, "size": 4})
    assert one == two
    assert one.digest != other.digest
