"""The mark beside a committed position: text there and back, within what a broker takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.runtime.commit_metadata import INITIAL, CommitMetadata, decode_metadata, decode_ranges, encode_ranges
from streamsched.runtime.tracker import CommitPoint, Tracker


@pytest.mark.parametrize("released", [True, False])
def test_a_mark_comes_back_equal(released: bool) -> None:
    mark = CommitMetadata("streamsched.workers.node.3", 7, 123_456, released, encode_ranges([3, 1, 1_000_000]))
    assert decode_metadata(mark.encode()) == mark


def test_the_initial_mark_is_released_and_empty() -> None:
    assert decode_metadata(INITIAL.encode()) == INITIAL
    assert INITIAL.released
    assert decode_ranges(INITIAL.settled_ranges) == []


@pytest.mark.parametrize(
    "text", ["", "²", "0 a 1 2 held -", "2 a 1 2 held -", "1 a 1 2 kept -", "1 a 1 2 held", "1 a b 2 held -", "garbage"]
)
def test_what_somebody_else_committed_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_metadata(text)


@given(st.lists(st.integers(0, 2**40)))
def test_runs_come_back_equal(lengths: list[int]) -> None:
    assert list(decode_ranges(encode_ranges(lengths))) == lengths


def test_some_1300_isolated_offsets_fit_a_mark() -> None:
    tracker: Tracker[int] = Tracker(0)
    for offset in range(2_600):
        tracker.classify(offset)
        if offset % 2 == 0:
            tracker.add(offset, offset)
    place = tracker.commit_point()
    assert place.fits
    assert place.crowded
    assert (
        len(CommitMetadata("n" * 250, 2**40, 2**40, released=True, settled_ranges=place.settled_ranges).encode()) < 4096
    )
    assert not CommitPoint(0, "x" * 4000).fits
