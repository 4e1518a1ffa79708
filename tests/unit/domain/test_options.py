"""The options of a child say its stage, and so how people number it."""

from __future__ import annotations

import pytest

from streamsched.domain.options import REDUCE, SPLIT, Options, ReduceInput, SplitOptions, index_of, write_options


@pytest.mark.parametrize(
    ("child", "options", "index"),
    [
        (5, None, 5),
        (5, Options(inputs=()), 4),
        (0, Options(SPLIT, split=SplitOptions("by", "{}", 9)), 0),
        (7, Options(REDUCE, reduce=ReduceInput("", 0, 0, 0, 7)), 0),
    ],
)
def test_people_count_from_zero_inside_a_stage(child: int, options: Options | None, index: int) -> None:
    assert index_of(child, None if options is None else write_options(options)) == index
