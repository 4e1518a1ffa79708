"""Long values are cut for people, with how much is left out; short ones are shown as they are."""

from __future__ import annotations

import json

import pytest

from streamsched.cli.abridged import abridged
from streamsched.cli.task_text import PARAMS, told_params


def test_what_is_short_is_shown_as_it_is() -> None:
    value = {"n": 1, "files": ["a", "b"], "text": 'é"', "none": None}
    assert abridged(value, 100) == json.dumps(value, ensure_ascii=False)
    assert told_params(value, "elsewhere") == [("parameters", json.dumps(value, ensure_ascii=False))]


def test_each_long_part_says_how_much_is_left_out() -> None:
    value = {"files": [f"in/{n:05}" for n in range(10_000)], "text": "x" * 50_000, "n": 7}
    told = abridged(value, 120)
    assert told.startswith('{"files": ["in/00000", ')
    assert ", ... 9,99" in told
    assert '"text": "xxx' in told
    assert '..." (49,9' in told
    assert told.endswith(' more characters), "n": 7}')
    lines = told_params(value, "streamsched status t --json")
    assert [name for name, _ in lines] == ["parameters", ""]
    assert lines[1][1] == "all of them: streamsched status t --json"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 250_000,
        list(range(50_000)),
        {f"name-{n}": n for n in range(20_000)},
        {"k" * 100_000: {"k" * 100_000: ["x" * 50_000]}},
        [[[["x" * 10_000] * 10] * 10] * 10],
        {f"n{n}": ["x" * 200] * 20 for n in range(60)},
        ["\x1b[31m\u202e" * 10_000],
    ],
    ids=["text", "numbers", "names", "keys", "nested", "many", "hostile"],
)
def test_it_is_never_much_longer(value: object) -> None:
    (_, text), *_ = told_params(value, "")
    assert len(text) <= 2 * PARAMS * 6  # a sign may be written as an escape
    assert "more" in text
    assert text.isprintable()
