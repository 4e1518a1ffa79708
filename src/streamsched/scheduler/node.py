"""The scheduler's loop: serve the group → read → fold → decide → one transaction with all decisions and their records.

A decision changes the state only when it is read back. Until then its key is *in flight* and not looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from streamsched.domain.events import Event
from streamsched.domain.followups import followups
from streamsched.domain.schedule import Schedule
from streamsched.domain.task import Task
from streamsched.log.adapter import LogAdapter
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.port import Append, LogError, Record, TopicPartition, TransactionAborted, WriterFenced
from streamsched.log.topics import Topics
from streamsched.runtime import beginning, eviction, metrics
from streamsched.runtime.beats import HeartbeatSender, NodeStatus
from streamsched.runtime.claim import Claim
from streamsched.runtime.clock_check import WRONG_CLOCK, Agreement, ClockCheck
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.scheduler import measures
from streamsched.scheduler.barrier import Barrier
from streamsched.scheduler.decider import Decider
from streamsched.scheduler.decisions import Decision
from streamsched.scheduler.journal import JournalFold
from streamsched.scheduler.schedules import ScheduleDecider
from streamsched.scheduler.tasks import TaskDecider
from streamsched.view.view import View

BATCH: Final = 4_000
"""Records read in one step."""
FLUSH_INTERVAL_S: Final = 0.5
"""Seconds between writes of the view; what was not written is folded again after a restart."""
CATCH_UP_S: Final = 0.005
"""Seconds to wait for the journal while the end of a newly claimed partition has not been reached."""

logger = logging.getLogger(__name__)


class Scheduler:
    """One scheduler node. ``step`` is one turn of the loop."""

    def __init__(
        self, *, log: LogAdapter, topics: Topics, codec: Codec, view: View, me: Identity, pause: Callable[[float], None]
    ) -> None:
        self.view = view
        self._me = me
        self._records = records = Records(codec, topics)
        self._ownership = Ownership(
            log=log, coordination=log, group=topics.scheduler_group, topic=topics.events, node_id=me.node_id,
            partition_handler=self, clock=me.clock, pause=pause,
            begin_anew=partial(beginning.of_journal, log, topics, codec), fenced=partial(eviction.fenced, log, topics),
        )  # fmt: skip
        tasks = TaskDecider(view, records, me, topics)
        self._journal = JournalFold(
            log=log, topics=topics, codec=codec, view=view, me=me, claims=self._ownership.claims, on_beat=tasks.on_beat
        )
        barrier = Barrier(log, self._journal.reader, topics.journal(), self._journal.halted)
        self._deciders: dict[type, Decider] = {  # by the state that ``View.apply`` returns for their events
            Task: tasks,
            Schedule: ScheduleDecider(view, records, me, barrier),
        }
        self.heartbeats = HeartbeatSender(
            log=log, records=records, me=me, role="scheduler", ownership=self._ownership,
            partitions=topics.event_partitions,
        )  # fmt: skip
        self._clock_check = ClockCheck(log, me.clock, "nothing is decided until they agree")
        self._clock = Agreement.UNKNOWN
        self.stopped = False
        """Whether the loop is to end; call ``stop`` then."""
        self._next_flush = 0.0

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; return whether anything happened."""
        self._ownership.poll()
        now = self._me.clock.now()
        turn = CATCH_UP_S if self._journal.unready else self._ownership.turn
        wait = min(timeout, turn, self.heartbeats.until_due())
        if self._clock is Agreement.AGREES:
            wait = self.until_due(now, wait)
        read = self._journal.reader.poll(BATCH, wait)
        self._fold(read)
        decided = self._decide()
        self.waiting()
        if self._me.clock.monotonic() >= self._next_flush:
            begun = self._me.clock.monotonic()
            self._next_flush = begun + FLUSH_INTERVAL_S
            if self.view.flush():
                metrics.FLUSH_SECONDS.observe(self._me.clock.monotonic() - begun)
        return bool(read) or decided

    def until_due(self, now: int, at_most: float) -> float:
        """Return how many seconds may pass before there is something to decide."""
        return min(decider.wait(now, at_most) for decider in self._deciders.values())

    def drain(self) -> None:
        """End the loop. May be called from a signal handler."""
        self.stopped = True

    @property
    def node_id(self) -> str:
        """The id of this node in its beats."""
        return self._me.node_id

    @property
    def unready(self) -> str:
        """Why it does not decide for all that is its own; empty if it does."""
        if self.stopped:
            return "it is about to stop"
        if self._clock is Agreement.DIFFERS:
            return "its clock differs from the log's"
        if self._journal.unready:
            return f"{len(self._journal.unready)} partitions of the journal are not folded to their end yet"
        return self._ownership.unclaimed

    @property
    def deciding(self) -> frozenset[int]:
        """The partitions of the journal that it decides for; any thread may ask."""
        return frozenset(self._journal.ready)

    @property
    def folding(self) -> int:
        """How many partitions of the journal it owns, and has not folded to their end yet."""
        return len(self._journal.unready)

    def behind(self, ends: Mapping[TopicPartition, int]) -> int:
        """Return how many offsets of the journal it has not folded, up to these ends; any thread may ask."""
        reader = self._journal.reader
        return sum(max(0, end - reader.position(place)) for place, end in ends.items())

    def stop(self) -> None:
        """Hand all partitions over and leave the group."""
        self._ownership.leave()
        self.heartbeats.stop()
        self._journal.reader.close()
        self.view.close()

    def _fold(self, read: Sequence[tuple[Record, Event | Undecodable | None]]) -> None:
        touched: dict[Decider, dict[str, None]] = {decider: {} for decider in self._deciders.values()}
        for key, state, event in self._journal.fold(read):
            decider = self._deciders[type(state)]
            if key in decider.in_flight:
                decider.landed(key, state, event)
            touched[decider][key] = None  # a call less for each event
            if type(event) in decider.learns:
                decider.learn(state, event)
        for decider, keys in touched.items():
            for key in keys:
                decider.touch(key)
        self._lost(self._journal.heed_halts())
        for partition in self._journal.renewed():
            for decider in self._deciders.values():
                decider.touch_all(partition)

    def _decide(self) -> bool:
        """Make and commit all decisions that are owed now; return whether there were any."""
        now = self._me.clock.now()
        self._clock = self._clock_check.look(now)
        decided = [
            (decider, decision)
            for decider in (self._deciders.values() if self._clock is Agreement.AGREES else ())
            for decision in decider.decide(now, self._journal.ready)
        ]
        behind = self._journal.behind()  # positions and dead letters ask no clock
        return bool(decided or behind) and self._commit(decided, behind)

    def _commit(self, decided: Sequence[tuple[Decider, Decision]], behind: Collection[int]) -> bool:
        """Write decisions and their records, and the positions and dead letters of all these partitions."""
        appends: list[Append] = []
        for decider, decision in decided:
            appends += self._records_of(decision)
            decider.in_flight.add(decision)
        points = self._journal.commit_points({*behind, *(decision.home for _, decision in decided)})
        try:
            self._ownership.commit(appends + self._journal.letters_below(points), points)
            self._journal.committed(points)
            measures.note(decision for _, decision in decided)
        except (TransactionAborted, WriterFenced) as error:
            logger.warning("decisions put off: %s", error)
            for decider, decision in decided:
                decider.in_flight.aborted(decision)
                decider.touch(decision.key)
        return True

    def _records_of(self, decision: Decision) -> Iterator[Append]:
        """Yield the records of a decision: its events, what must be written beside each of them, and its work."""
        trace = decision.state.request.traceparent if isinstance(decision.state, Task) else None
        for event in decision.events:
            yield self._records.journal(event, decision.key, trace)
            for each in followups(decision.state, event):
                fields = {**each.fields, **decision.given.get(each.key, {})}
                yield self._records.journal(self._me.sign(each.event, **fields), each.key)
        yield from decision.work

    # --- partition handler ------------------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Fold to the end before deciding."""
        self._journal.claimed(claims)

    def hand_over(self, partitions: Collection[int]) -> None:
        """Commit the positions as released. The next owner decides what is still owed, as endings put off."""
        points = self._journal.commit_points(partitions)
        try:
            self._ownership.commit(self._journal.letters_below(points), points, release=True)
        except LogError as error:
            logger.warning("partitions %s were not released in order: %s", sorted(partitions), error)
        self.dropped(partitions)

    def waiting(self) -> None:
        """Beat."""
        state = WRONG_CLOCK if self._clock is Agreement.DIFFERS else "running"
        self.heartbeats.beat(lambda: NodeStatus(state), state)

    def dropped(self, partitions: Collection[int]) -> None:
        """Decide nothing more for these partitions; they are still folded."""
        self._journal.dropped(partitions)
        self._lost(partitions)

    def _lost(self, partitions: Collection[int]) -> None:
        if partitions:
            for decider in self._deciders.values():
                decider.lost(partitions)
