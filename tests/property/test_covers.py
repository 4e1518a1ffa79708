"""``assert_covers`` finds a fault exactly where counting each integer finds one, in ranges and in values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.testing.covers import assert_covers

PIECE = st.tuples(st.integers(0, 12), st.integers(0, 5)).map(lambda each: range(each[0], sum(each)))
EXACT = st.lists(st.integers(0, 4), max_size=6).map(
    lambda sizes: [range(sum(sizes[:place]), sum(sizes[: place + 1])) for place in range(len(sizes))]
)
PIECES = st.lists(PIECE, max_size=5) | EXACT.flatmap(st.permutations)


@given(
    pieces=st.lists(PIECE, max_size=5) | EXACT.flatmap(st.permutations), end=st.integers(0, 12), values=st.booleans()
)
def test_a_fault_is_found_where_there_is_one(pieces: list[range], end: int, values: bool) -> None:
    template = {
        "name": "t", "split": {"range": {"first": 0, "last": len(pieces) - 1, "size": 1}},
        "child": {"handler": "a:b", "args": {"n": "${child.first}"}},
    }  # fmt: skip
    whole = range(end)

    def part(args: dict[str, int]) -> Iterable[int]:
        piece = pieces[args["n"]]
        return list(piece) if values else piece

    def check() -> None:
        assert_covers(template, part=part, whole=whole)

    if Counter(number for piece in pieces for number in piece) == Counter(whole):
        check()
    else:
        with pytest.raises(AssertionError, match=r"gap|overlap|not in the whole"):
            check()
