"""The journal as a scheduler reads it: folded into the view, with what that means for the partitions that it owns.

A partition is *ready* to be decided for once it is folded to the end that was found after its claim, or after it had
stood still. What cannot be decoded in owned partitions becomes dead letters, written with the next positions.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.schedule import Schedule
from streamsched.domain.task import Task
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.journal import JournalReader, in_words
from streamsched.log.port import Append, Log, LogUnreachable, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.claim import Claim
from streamsched.runtime.dead_letter import dead_letter
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import CALM_AFTER_S
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import CommitPoint
from streamsched.view.view import View

LAG: Final = 5_000
"""Offsets that an owned partition's committed position may lie behind what was folded: its next owner reads them."""
SAY_AGAIN_S: Final = 60.0
"""Seconds after which it is said again that a partition stands still."""

logger = logging.getLogger(__name__)


class JournalFold:
    """Reads the journal and the beats of nodes. ``claims`` are the partitions that its scheduler owns."""

    def __init__(
        self, *, log: Log, topics: Topics, codec: Codec, view: View, me: Identity, claims: Mapping[int, Claim],
        on_beat: Callable[[str, e.NodeBeat | None], None],
    ) -> None:  # fmt: skip
        self._log = log
        self._topics = topics
        self._event_reader = EventReader(codec, topics)
        self._records = Records(codec, topics)
        self._view = view
        self._me = me
        self._claims = claims
        self._on_beat = on_beat
        self.unready: dict[int, int] = {}
        """Partitions that are not folded up to this position yet: nothing is decided for them."""
        self.ready: set[int] = set()
        self.halted: set[int] = set()
        """Partitions that stand still at a record of an unknown schema, as far as the loop knows."""
        self._say_again = 0.0
        self._folded_at = me.clock.monotonic()
        """When the journal last had something new."""
        self._reset: set[int] = set()
        """Partitions in which all live children of some worker's partition came back."""
        self._letters: dict[tuple[int, int], Append] = {}
        """Dead letters of owned partitions, by partition and offset of what they are about, until they are written."""
        self.reader = JournalReader(log, topics, codec)
        self._beats = TopicPartition(topics.workers, 0)
        journal = topics.journal()
        starts = log.start([*journal, self._beats])
        places = {place: max(view.positions.get(place.partition, 0), starts[place]) for place in journal}
        self.reader.assign({**places, self._beats: starts[self._beats]})

    # --- read and fold ----------------------------------------------------------------------------------------------

    def fold(
        self, read: Sequence[tuple[Record, e.Event | Undecodable | None]]
    ) -> Iterator[tuple[str, Task | Schedule, e.Event]]:
        """Fold records one by one; yield what concerned a task or a schedule: its key, the new state, the event."""
        reached, has_news = defaultdict(int, self._view.positions), False
        for record, event in read:
            if event is None:
                self._take_beat(record)
                continue
            new = record.offset >= reached[record.partition]  # else it is read again for its dead letter
            if isinstance(event, Undecodable):
                self._set_aside(record, event)
            elif new:
                state = self._view.apply(event, record.partition)
                if state is not None:
                    yield (record.key or b"").decode(), state, event
                elif isinstance(event, e.PartitionReset):
                    self._reset.add(record.partition)
            if new:
                has_news = True
                reached[record.partition] = record.offset + 1
                self._view.moved(record.partition, record.offset + 1)
        if has_news:
            self._folded_at = self._me.clock.monotonic()

    def renewed(self) -> set[int]:
        """Return the partitions to look at as a whole: they became ready now, or were reset."""
        renewed, self._reset = self._reset & self.ready, set()
        for partition, end in list(self.unready.items()):
            position = self._position(partition)
            if position < end or partition in self.halted:
                continue
            self._view.moved(partition, max(position, self._view.positions.get(partition, 0)))
            del self.unready[partition]
            self.ready.add(partition)
            renewed.add(partition)
        return renewed

    def heed_halts(self) -> set[int]:
        """Return the partitions that stand still since now; where one continues, it is first folded to its end."""
        halts = self.reader.halts
        if not halts and not self.halted:
            return set()
        new = halts.keys() - self.halted
        if new or (halts and self._me.clock.monotonic() >= self._say_again):
            self._say_again = self._me.clock.monotonic() + SAY_AGAIN_S
            logger.error("%s", in_words(halts.values()))
        self.halted |= new
        self._stand_still(new)
        lifted = self.halted - halts.keys()
        owned = lifted & self._claims.keys()
        try:
            ends = self._log.end([TopicPartition(self._topics.events, partition) for partition in owned])
        except LogUnreachable:
            return new  # the next turn tries again
        self.halted -= lifted
        self.unready |= {place.partition: end for place, end in ends.items()}
        return new

    def _take_beat(self, record: Record) -> None:
        node_id = (record.key or b"").decode(errors="replace")
        try:
            self._on_beat(node_id, self._event_reader.beat(record))
        except Undecodable as error:
            logger.warning("beat passed over: %s", error)

    def _set_aside(self, record: Record, error: Undecodable) -> None:
        """Make the dead letter of a record that is not an event, if this node owns its partition."""
        claim = self._claims.get(record.partition)
        if claim is not None and record.offset >= claim.position:
            logger.error("dead letter: %s", error)
            letter = dead_letter(self._records, self._me, record, str(error))
            self._letters[record.partition, record.offset] = letter

    def _position(self, partition: int) -> int:
        return self.reader.position(TopicPartition(self._topics.events, partition))

    # --- what is written of it --------------------------------------------------------------------------------------

    def behind(self) -> set[int]:
        """Return partitions with dead letters to write, or with a committed position far behind the fold.

        Once nothing new has come for a while, any distance is far: the group's lag reads 0 then.
        """
        positions, claims, far = self._view.positions, self._claims, LAG
        if self._me.clock.monotonic() - self._folded_at >= CALM_AFTER_S:
            self._pass_markers()
            far = 1
        late = {each for each in self.ready if positions.get(each, 0) - claims[each].position >= far}
        return late | (self.ready & {partition for partition, _ in self._letters})

    def _pass_markers(self) -> None:
        """Note up to where each partition was read: what stands behind its last record are markers of transactions."""
        for partition in self.ready:
            if (position := self._position(partition)) > self._view.positions.get(partition, 0):
                self._view.moved(partition, position)

    def commit_points(self, partitions: Collection[int]) -> Mapping[int, CommitPoint]:
        """Return the position to commit for each partition, never beyond the reader: no dead letter is skipped."""
        positions, claims = self._view.positions, self._claims
        return {
            each: CommitPoint(max(claims[each].position, min(positions.get(each, 0), self._position(each))))
            for each in partitions
        }

    def letters_below(self, points: Mapping[int, CommitPoint]) -> list[Append]:
        """Return the dead letters that go with these positions: each record below them has had its own, once."""
        return [letter for at, letter in self._letters.items() if _is_below(at, points)]

    def committed(self, points: Mapping[int, CommitPoint]) -> None:
        """Forget the dead letters that were written with these positions."""
        self._letters = {at: letter for at, letter in self._letters.items() if not _is_below(at, points)}

    # --- partitions that come and go --------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Fold to the end before deciding."""
        back = {
            TopicPartition(self._topics.events, claim.partition): claim.position
            for claim in claims
            if claim.position < self._position(claim.partition)
        }
        if back:  # read again what others may have folded: no dead letter is below these positions yet
            starts = self._log.start(list(back))
            places = {place: self.reader.position(place) for place in (*self._topics.journal(), self._beats)}
            self.reader.assign(places | {place: max(at, starts[place]) for place, at in back.items()})
        self.unready |= {claim.partition: claim.end for claim in claims}

    def dropped(self, partitions: Collection[int]) -> None:
        """Decide nothing more for these partitions; they are still folded."""
        self._letters = {at: letter for at, letter in self._letters.items() if at[0] not in partitions}
        self._stand_still(partitions)

    def _stand_still(self, gone: Collection[int]) -> None:
        """Decide nothing for these partitions; what is to be set aside there is kept."""
        self.unready = {partition: end for partition, end in self.unready.items() if partition not in gone}
        self.ready.difference_update(gone)


def _is_below(at: tuple[int, int], points: Mapping[int, CommitPoint]) -> bool:
    partition, offset = at
    return partition in points and offset < points[partition].position
