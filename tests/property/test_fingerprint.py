"""Fingerprints (design-life.md, section 8): one for failures of one bug, others for other lines; cheap for any text."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain.fingerprint import DIGITS, KEPT, fingerprint, normalised
from streamsched.worker.errors import describe

NUMBERS = st.one_of(
    st.integers().map(str), st.integers().map(hex), st.integers().map("{:,}".format), st.floats(0, 1e300).map(repr),
    st.floats(0, 1).map("{:.1%}".format),
)  # fmt: skip
IDS = st.one_of(
    st.uuids(allow_nil=True).map(str),
    st.uuids().map(lambda made: made.hex),
    st.binary(min_size=4, max_size=20).map(bytes.hex),
    st.just(str(UUID("abcdefab-abcd-abcd-abcd-abcdefabcdef"))),
    st.integers(0).map("order-{}".format),
    st.datetimes().map(lambda moment: moment.isoformat()),
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=12)
PATHS = st.lists(NAMES, min_size=1, max_size=5).flatmap(
    lambda parts: st.sampled_from(("/" + "/".join(parts), "C:\\" + "\\".join(parts), "s3://bucket/" + "/".join(parts)))
)
QUOTED = st.text(max_size=40).map(repr)
CHANGING = st.tuples(NUMBERS, IDS, PATHS, QUOTED)


def message(parts: tuple[str, str, str, str]) -> str:
    number, name, path, quoted = parts
    return f"can't read {path}: {quoted} has {number} rows for {name}"


@given(CHANGING, CHANGING)
def test_failures_of_one_bug_have_one_fingerprint(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    frames = ("jobs.py:12 in load",)
    assert fingerprint("E", frames, message(one)) == fingerprint("E", frames, message(other))  # type: ignore[arg-type]


@given(st.lists(st.integers(), min_size=1), st.lists(st.integers(), min_size=1))
def test_lists_of_numbers_are_alike_however_long(one: list[int], other: list[int]) -> None:
    assert normalised(f"bad rows {one}") == normalised(f"bad rows {other}") == "bad rows [#]"


def test_what_stays_of_a_message() -> None:
    said = (
        """can't open '/tmp/a b' or "x 'y'": HTTP 404 of https://h/p?q=1 (try 3 of 1,000) [1, 2, 3] in deadbeefcafe"""
    )
    assert normalised(said) == "can't open '' or '': HTTP # of / (try # of #) [#] in #"
    assert normalised("no  such\ncolumn: price") == "no such column: price"


@given(st.text())
def test_any_text_has_a_fingerprint_of_bounded_size(text: str) -> None:
    assert len(fingerprint(text, (text, text), text)) == DIGITS
    assert len(normalised(text)) <= KEPT


def raised(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return describe(error).fingerprint
    raise AssertionError("it raised nothing")


def first(value: object) -> None:
    raise ValueError(f"bad value {value!r}")


def second(value: object) -> None:
    if value:
        raise ValueError(f"bad value {value!r}")
    raise ValueError(f"bad value {value!r}")


@given(st.integers() | st.text(max_size=20), st.integers() | st.text(max_size=20))
def test_a_raise_has_one_fingerprint_whatever_its_value_and_another_line_has_another(
    one: object, other: object
) -> None:
    texts = [value for value in (one, other) if isinstance(value, str)]
    same = raised(lambda: first(one)), raised(lambda: first(one))
    assert same[0] != raised(lambda: second(1)) != raised(lambda: second(0))
    if len(texts) in (0, 2):  # a text is quoted, a number is not
        assert len({raised(lambda value=value: first(value)) for value in (one, other)}) == 1  # type: ignore[misc]


def test_hostile_messages_cost_no_more_than_others() -> None:
    for text in (
        "'" * 10**6,
        "'\\" * 10**6,
        "\"'`" * 10**6,
        "a" * 10**7,
        "#, " * 10**6,
        "\ud800/" * 10**6,
        "0x" * 10**6,
    ):
        before = time.process_time()
        assert len(fingerprint("E", (), text)) == DIGITS
        assert time.process_time() - before < 5  # a bound for what hangs, far above what any of them takes
