"""``assert_covers`` names the first gap or overlap of children."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamsched import ChildContext
from streamsched.testing import assert_covers


def template(split: dict[str, Any], args: dict[str, Any] | None = None) -> dict[str, Any]:
    params = {"n": {"type": "integer", "default": 10}}
    return {"name": "t", "params": params, "split": split, "child": {"handler": "a:b", "args": args or {}}}


RANGE = template({"range": {"first": 1, "last": "${n}", "size": 4}}, {"a": "${child.first}", "b": "${child.last}"})


@pytest.mark.parametrize(
    "split",
    [
        {"range": {"first": -5, "last": "${n}", "size": "${ceil_div(n, 3)}"}},
        {"range": {"first": 1, "last": 0, "size": 4}},
        {"list": {"items": ["a", "b", "a", {"c": 1}], "size": 2}},
        {"grid": {"axes": {"x": [1, 2], "y": {"first": 1, "last": 3}}, "size": 4}},
        {"dates": {"start": "2024-03-30", "end": "2024-04-02T12:00", "every": "day", "zone": "Europe/Berlin"}},
        {"dates": {"start": "2024-01-01", "end": "2024-01-01"}},
    ],
)
def test_the_splitters_cover_what_stands_in_the_template(split: dict[str, Any]) -> None:
    assert_covers(template(split))


@pytest.mark.parametrize(
    ("low", "high", "fault"),
    [
        (0, 1, ""),
        (0, 0, "a gap: 4 is in no child, behind child 0"),
        (0, 2, "child 0 and child 1 overlap: both have 5"),
        (-1, 1, "child 0 has 0, which is not in the whole"),
        (1, 1, "a gap: 1 is in no child"),
    ],
)
def test_what_arguments_say_is_held_against_what_the_template_says(low: int, high: int, fault: str) -> None:
    def part(args: dict[str, int]) -> range:
        return range(args["a"] + low, args["b"] + high)

    def cover() -> None:
        assert_covers(RANGE, {"n": 12}, part=part)

    if fault:
        with pytest.raises(AssertionError, match=f"^{fault}$"):
            cover()
    else:
        cover()


def test_a_gap_or_surplus_at_the_end() -> None:
    def part(args: dict[str, int]) -> range:
        return range(args["a"], args["b"] + 1)

    with pytest.raises(AssertionError, match=r"a gap: 11\.\.12 is in no child, behind child 2"):
        assert_covers(RANGE, part=part, whole=range(1, 13))
    with pytest.raises(AssertionError, match=r"child 2 has 10, which is not in the whole"):
        assert_covers(RANGE, part=part, whole=range(1, 10))
    with pytest.raises(AssertionError, match=r"child 2 has 9\.\.10, which is not in the whole"):
        assert_covers(RANGE, part=part, whole=range(1, 9))


def test_values() -> None:
    def part(args: dict[str, int]) -> list[int]:
        return [each % 9 for each in range(args["a"], args["b"] + 1)]

    with pytest.raises(AssertionError, match="children 0 and 2 overlap: both have 1"):
        assert_covers(RANGE, part=part, whole=range(9))
    with pytest.raises(AssertionError, match="child 2 has 0, which is not in the whole"):
        assert_covers(RANGE, part=part)
    with pytest.raises(AssertionError, match="child 0 has 5, twice"):
        assert_covers(RANGE, part=lambda args: [5, 5], whole=[5])
    assert_covers(RANGE, part=part, whole=[1, *range(9)])
    with pytest.raises(AssertionError, match=r"a gap: 77 is in no child \(and 1 more\)"):
        assert_covers(RANGE, part=part, whole=[1, *range(9), 77, 78])


def pieces(ctx: ChildContext, names: list[str], size: int) -> Iterator[list[str]]:
    """Cut a list."""
    for first in range(0, len(names), size):
        yield names[first : first + size]


def clumsy(ctx: ChildContext, names: list[str], size: int) -> Iterator[list[str]]:
    """Cut a list, and take the first of the next piece along."""
    for first in range(0, len(names), size):
        yield names[first : first + size + 1]


calls: list[int] = []


def fickle(ctx: ChildContext, names: list[str], size: int) -> Iterator[str]:
    """Yield something else each time."""
    calls.append(1)
    yield from names[: len(calls)]


def test_a_splitter_of_your_own() -> None:
    args = {"names": ["a", "b", "c"], "size": 2}
    assert_covers(pieces, args, whole="abc")
    assert_covers(pieces, args, part=lambda entry: [f"{each}!" for each in entry], whole=["a!", "b!", "c!"])
    with pytest.raises(AssertionError, match='children 0 and 1 overlap: both have "c"'):
        assert_covers(clumsy, args, whole="abc")
    with pytest.raises(AssertionError, match="entry 1 is missing, and 'b' when the splitter is run again"):
        assert_covers(fickle, args, whole="abc")
    with pytest.raises(ValueError, match="give whole="):
        assert_covers(pieces, args)
