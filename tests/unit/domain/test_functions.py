"""Functions in the integers of a split: what they make, and what has no value."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain.param import Param
from streamsched.domain.placeholders import INTEGER_LIMIT
from streamsched.domain.refusal import TemplateError
from streamsched.domain.splitters.grid import GridSplit
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.port import Splitter, resolve_integer
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import plan
from streamsched.domain.template import ChildSpec, Template

INTEGERS = st.integers(-INTEGER_LIMIT, INTEGER_LIMIT - 1)
PATH = ("split", "range", "size")


def template(split: Splitter) -> Template:
    params = {"n": Param(type="integer"), "parts": Param(type="integer")}
    return Template(name="job", params=params, split=split, child=ChildSpec(handler="a:b"))


@given(n=INTEGERS, by=st.integers(1, INTEGER_LIMIT - 1))
def test_they_are_what_mathematics_says(n: int, by: int) -> None:
    params = {"n": n, "by": by}
    assert resolve_integer("${ceil_div(n, by)}", params, PATH) == ceil(Fraction(n, by))
    assert resolve_integer("${min( n ,by)}", params, PATH) == min(n, by)
    assert resolve_integer(f"${{max({n},by)}}", params, PATH) == max(n, by)


@given(n=st.integers(1, 10_000), parts=st.integers(1, 100))
def test_a_range_in_so_many_parts(n: int, parts: int) -> None:
    made = plan(template(RangeSplit(first=1, last="${n}", size="${ceil_div(n, parts)}")), {"n": n, "parts": parts})
    size = -(-n // parts)
    assert made.children == -(-n // size) <= parts


@pytest.mark.parametrize(
    ("split", "children"),
    [
        (RangeSplit(first="${min(n, 3)}", last="${max(n, 12)}", size=1), 10),
        (ListSplit(items=list(range(10)), size="${ceil_div(n, 3)}"), 3),
        (GridSplit(axes={"a": {"first": 1, "last": "${min(n, 4)}"}, "b": ["x"]}, size="${max(1, 2)}"), 2),
    ],
)
def test_each_integer_of_a_splitter_takes_them(split: Splitter, children: int) -> None:
    made = template(split)
    assert plan(made, {"n": 10, "parts": 0}).children == children
    assert Template.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("${ceil_div(n, parts)}", "split.range.size: ceil_div(0, 0) has no value: it divides by 0; give other values"),
        ("${ceil_div(n, -2)}", "ceil_div(0, -2) has no value: it divides by -2"),
        ("${min(n, 5)}", "split.range.size must be an integer of at least 1; give 1, not 0"),
        ("${max(1, 9999999999999999999)}", "must be an integer; give one of 64 bits, not 9999999999999999999"),
    ],
)
def test_what_has_no_value_is_refused(size: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        plan(template(RangeSplit(first=1, last=10, size=size)), {"n": 0, "parts": 0})
    assert said in str(caught.value)
