"""A view that is rebuilt up to any position or time is, byte for byte, the one that had folded so far then."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamsched.audit.replay import ends_of, history, merged, rebuild
from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, TransactionAborted
from streamsched.log.topics import Topics
from streamsched.runtime.records import Records
from streamsched.testing.clock import VirtualClock
from streamsched.view.follow import Follower
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import journals, request, template

CODEC = Codec()


class Listening:
    """A member's listener that has nothing to say."""

    def on_assigned(self, partitions: Collection[int]) -> None: ...

    def on_revoked(self, partitions: Collection[int]) -> None: ...

    def on_lost(self, partitions: Collection[int]) -> None: ...


class Past:
    """A journal in the making, a live view that follows it, and what the view was at many moments."""

    def __init__(self, partitions: int) -> None:
        self.topics = Topics(event_partitions=partitions, child_partitions=1)
        self.records = Records(CODEC, self.topics)
        self.refuse = False
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now, faults=self)
        self.log = self.cluster.connect("client")
        self.log.create_topics(self.topics.specs())
        self.store = MemoryStore()
        self.live = Follower(log=self.log, topics=self.topics, codec=CODEC, view=View(self.store, CODEC))
        self.moments: list[tuple[int, dict[int, int], dict[bytes, bytes]]] = []

    def at(self, step: str, client: str) -> None:
        """Abort a transaction whose records are in the log already (the hook of the memory log)."""
        if self.refuse and step == "commit.offsets":
            raise TransactionAborted("made up")

    def write(self, appends: list[Append], *, how: str) -> None:
        """Write records plainly, in a transaction (a marker follows), or in one that is aborted (a gap)."""
        self.clock.advance(0.01)
        if how == "plain":
            self.log.append(appends)
            return
        member = self.log.member("group", self.topics.children, Listening())
        member.poll()
        self.refuse = how == "aborted"
        try:
            self.log.writer("writer").commit(appends, {}, member)
        except TransactionAborted:
            assert self.refuse
        finally:
            self.refuse = False
            member.leave()

    def remember(self) -> None:
        """Note the live view as it is now."""
        self.live.catch_up(self.topics.journal())
        self.live.view.flush()
        self.moments.append((self.clock.now(), dict(self.live.view.positions), dict(self.store.scan(b""))))

    def rebuilt(self, *, position: int | None = None, time: int | None = None) -> dict[bytes, bytes]:
        store = MemoryStore()
        ends = ends_of(self.log, self.topics.journal(), position=position, time=time)
        rebuild(View(store, CODEC), self.log, self.topics, CODEC, ends)
        return dict(store.scan(b""))


@st.composite
def pasts(draw: st.DrawFn, partitions: int) -> Past:
    """Let a few tasks' events come to pass in turn, with rubbish, markers and gaps between."""
    past = Past(partitions)
    stories = [draw(journals(f"task-{number}", 15)) for number in range(draw(st.integers(1, 3)))]
    past.remember()
    while stories:
        story = draw(st.sampled_from(stories))
        count = draw(st.integers(1, 4))
        events, story[:] = story[:count], story[count:]
        appends = [_append(past, event) for event in events]
        if draw(st.integers(0, 5)) == 0:
            appends.append(Append(past.topics.events, draw(st.integers(0, partitions - 1)), b"k", b"rubbish"))
        past.write(appends, how=draw(st.sampled_from(("plain", "transaction", "transaction", "aborted"))))
        if draw(st.booleans()):
            past.remember()
        stories = [left for left in stories if left]
    past.remember()
    return past


def _state(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: value for key, value in rows.items() if key[:1] != b"p"}


def _append(past: Past, event: e.Event) -> Append:
    task_id = getattr(event, "task_id", None)
    if task_id is not None:
        return past.records.journal(event, task_id)
    return Append(past.topics.events, 0, None, CODEC.encode(event))


@settings(max_examples=30)
@given(pasts(3))
def test_up_to_a_time(past: Past) -> None:
    for time, positions, rows in past.moments:
        assert _state(past.rebuilt(time=time)) == _state(rows)
        # It ends before the first later record; the view of that time had not seen the gaps before it yet.
        ends = ends_of(past.log, past.topics.journal(), time=time)
        begin = {place: positions[place.partition] for place in ends}
        assert all(begin[place] <= ends[place] for place in ends)
        assert list(merged(past.log, ends, begin)) == []


@settings(max_examples=30)
@given(pasts(1))
def test_up_to_a_position(past: Past) -> None:
    for _, positions, rows in past.moments:
        assert past.rebuilt(position=positions[0]) == rows
    assert past.rebuilt() == past.moments[-1][2]
    assert past.rebuilt(position=positions[0] + 1_000) == past.moments[-1][2]


@settings(max_examples=15)
@given(pasts(1))
def test_inside_a_transaction(past: Past) -> None:
    """Every offset is a position: the view then is the fold of the events before it, one after the other."""
    ends = past.log.end(past.topics.journal())
    store = MemoryStore()
    view = View(store, CODEC)
    for record, event in history(past.log, past.topics, CODEC, ends):
        view.moved(0, record.offset)
        view.flush()
        assert past.rebuilt(position=record.offset) == dict(store.scan(b""))
        if isinstance(event, e.Event):
            view.apply(event, 0)


def test_a_record_of_a_newer_version_ends_the_fold_of_its_partition() -> None:
    past = Past(2)
    before, after = (
        next(f"{stem}{n}" for n in range(99) if past.topics.journal_of(f"{stem}{n}").partition == 0) for stem in "ab"
    )
    elsewhere = next(f"c{n}" for n in range(99) if past.topics.journal_of(f"c{n}").partition == 1)
    past.write([past.records.journal(replace(request(template()), task_id=before), before)], how="plain")
    past.write([Append(past.topics.events, 0, b"k", b"\xc3\x01" + b"\xfe" * 20)], how="plain")
    past.write([past.records.journal(replace(request(template()), task_id=after), after)], how="plain")
    past.write([past.records.journal(replace(request(template()), task_id=elsewhere), elsewhere)], how="plain")
    rows = past.rebuilt()
    tasks = {key[1:-1].decode() for key in rows if key[:1] == b"t"}
    assert tasks == {before, elsewhere}
    assert int.from_bytes(rows[b"p" + bytes(2)]) == 1
