"""The tracker against a model: a set of settled offsets, handed from owner to owner through the text of a commit."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamsched.runtime.commit_metadata import decode_ranges
from streamsched.runtime.tracker import CommitPoint, OffsetState, Tracker


def settled_by(place: CommitPoint) -> tuple[int, set[int]]:
    """Read a place: its position, and the settled offsets above it."""
    offset, settled = place.position, set()
    for turn, length in enumerate(decode_ranges(place.settled_ranges)):
        if turn % 2:
            settled |= set(range(offset, offset + length))
        offset += length
    return place.position, settled


class TrackerMachine(RuleBasedStateMachine):
    """Owners follow one another; each reads, appends, settles and takes back."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker: Tracker[int] = Tracker(0)
        self.end = 0
        self.settled: set[int] = set()
        self.pending: set[int] = set()
        """Unsettled records that this owner knows of: met, or its own."""

    @property
    def read(self) -> int:
        return self.tracker.read

    @rule(gap=st.integers(0, 2), work=st.booleans())
    def others_write_and_the_owner_reads_on(self, gap: int, work: bool) -> None:
        """Read the next record; behind the end somebody writes it first. Offsets skipped are gaps."""
        at = self.read
        if at >= self.end:
            self.settled |= set(range(at, at + gap))
            at += gap
            self.end = at + 1
            known = OffsetState.NEW
        elif at in self.pending:
            known = OffsetState.OWN
        else:
            known = OffsetState.SETTLED if at in self.settled else OffsetState.NEW
        assert self.tracker.classify(at) is known
        if known is OffsetState.NEW and work:
            self.tracker.add(at, at)
            self.pending.add(at)
        elif known is OffsetState.NEW:
            self.settled.add(at)

    @rule(ahead=st.integers(0, 3))
    def append(self, ahead: int) -> None:
        """Append a record of our own, beyond what others wrote meanwhile."""
        at = self.end + ahead
        self.end = at + 1
        self.tracker.appended(at, at)
        self.pending.add(at)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), abort=st.booleans())
    def settle(self, data: st.DataObject, abort: bool) -> None:
        """Settle some records; where the transaction aborts, take it back."""
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.pending)), min_size=1))
        items = {offset: self.tracker.settle(offset) for offset in sorted(chosen)}
        assert items == {offset: offset for offset in chosen}
        if abort:
            self.tracker.restore(items)
        else:
            self.pending -= chosen
            self.settled |= chosen

    @rule()
    def hand_over(self) -> None:
        """The next owner begins from what the last commit says, and knows nothing else."""
        place = self.tracker.commit_point()
        self.tracker = Tracker(place.position, place.settled_ranges)
        self.pending = set()

    @invariant()
    def the_place_says_what_is_settled(self) -> None:
        position, above = settled_by(self.tracker.commit_point())
        assert set(range(position)) | above == self.settled
        assert position == self.tracker.low

    @invariant()
    def the_pending_are_all_there(self) -> None:
        assert set(self.tracker.items()) == self.pending
        assert len(self.tracker) == len(self.pending)
        met = sorted(offset for offset in self.pending if offset < self.read)
        assert self.tracker.oldest(3) == met[:3]


class TestTracker(TrackerMachine.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(max_examples=150, stateful_step_count=40)
