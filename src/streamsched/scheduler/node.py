"""The scheduler's loop: fold the journal, decide what is owed, commit, and only then believe it by reading it back.

One step: serve the group → read → fold → decide → one transaction with all decisions and their records. Nothing of a
decision touches the state before it was read back; until then its task is *in flight* and not looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import Debt, owed
from streamsched.domain.routing import needed_by
from streamsched.domain.schedule import Schedule
from streamsched.domain.task import Load, Task
from streamsched.domain.template import TemplateError
from streamsched.log.adapter import LogAdapter
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.intake import Intake
from streamsched.log.journal import JournalReader, in_words
from streamsched.log.port import (
    Append,
    LogError,
    LogUnreachable,
    Record,
    TopicPartition,
    TransactionAborted,
    WriterFenced,
)
from streamsched.log.topics import Topics
from streamsched.runtime import beginning, metrics
from streamsched.runtime.beats import Condition, Pulse
from streamsched.runtime.claim import Claim
from streamsched.runtime.clock_check import Agreement, ClockCheck
from streamsched.runtime.dead_letter import dead_letter
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import Place
from streamsched.scheduler import aggregator
from streamsched.scheduler.barrier import Barrier
from streamsched.scheduler.dispatcher import Dispatcher, first_of
from streamsched.scheduler.planner import plan_task
from streamsched.scheduler.routing import Routing
from streamsched.scheduler.ticker import Ticked, Ticker
from streamsched.scheduler.timers import Agenda
from streamsched.view.view import View

BATCH: Final = 4_000
"""Records read in one step."""
PLANNING_S: Final = 0.5
"""Time for plans in one turn, the last one apart: what a plan costs is up to its template, and beats must not wait."""
ROUND_BYTES: Final = 16 * 1024 * 1024
"""Of the work in one transaction: with so much the round ends, however many children were chosen."""
DECISIONS: Final = 2_000
"""Tasks looked at in one step: a transaction, and the silence of its node, stay short whatever has piled up."""
FLUSH_INTERVAL: Final = 0.5
"""Seconds between writes of the view; what was not written is folded again after a restart."""
LAG: Final = 5_000
"""Offsets that an owned partition's committed position may lie behind what was folded: its next owner reads them."""
SAY_AGAIN_S: Final = 60.0
"""Seconds after which it is said again that a partition stands still."""
CATCH_UP: Final = 0.005
"""Seconds to wait for the journal while the end of a newly claimed partition has not been reached."""

RAN: Final = frozenset({e.ChildStarted, e.ChildCheckpointed, e.ChildCompleted, e.ChildFailed})
"""What tells that a worker has run a child."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Decision:
    """Events of one task's decision, in order, and the work-log records that go with them."""

    task: Task
    events: tuple[e.Event, ...]
    work: tuple[Append, ...] = ()
    releases: tuple[e.Release, ...] = ()


@dataclass(frozen=True, slots=True)
class _Flight:
    """A decision that was committed and not read back yet."""

    last_event: bytes
    partition: int
    releases: tuple[e.Release, ...]


class Scheduler:
    """One scheduler node. ``step`` is one turn of the loop; nothing happens between steps."""

    def __init__(
        self,
        *,
        log: LogAdapter,
        topics: Topics,
        codec: Codec,
        view: View,
        me: Identity,
        pause: Callable[[float], None],
    ) -> None:
        self._log = log
        self._topics = topics
        self._intake = Intake(codec, topics)
        self._records = Records(codec, topics)
        self.view = view
        self._me = me
        self._routing = Routing()
        self._agenda = Agenda()
        self._dispatcher = Dispatcher(me)
        self._flights: dict[str, _Flight] = {}
        self._reserved = Load()
        self._unready: dict[int, int] = {}
        """Partitions that are not folded up to this position yet: nothing is decided for them."""
        self._ready: set[int] = set()
        self._halted: set[int] = set()
        """Partitions that stand still at a record of an unknown schema, as far as this was heeded."""
        self._say_again = 0.0
        self._letters: dict[int, dict[int, Append]] = {}
        """Dead letters of owned partitions, by the offset of what they are about, until they are written."""
        self._next_flush = 0.0
        self._reader = JournalReader(log, topics, codec)
        self._ticker = Ticker(view, self._records, me, Barrier(log, self._reader, topics.journal(), self._halted))
        self._ownership = Ownership(
            log=log, coordination=log, group=topics.scheduler_group, topic=topics.events, node_id=me.node_id,
            tenant=self, clock=me.clock, pause=pause, begin_anew=partial(beginning.of_journal, log, topics, codec),
        )  # fmt: skip
        self.pulse = Pulse(
            log=log,
            records=self._records,
            me=me,
            role="scheduler",
            ownership=self._ownership,
            partitions=topics.event_partitions,
        )
        self._clock_check = ClockCheck(log, me.clock, "nothing is decided until they agree")
        self._clock = Agreement.UNKNOWN
        self.stopped = False
        """Whether the loop is to end; call ``stop`` then."""
        self._beats = TopicPartition(topics.workers, 0)
        journal = topics.journal()
        starts = log.start([*journal, self._beats])
        places = {place: max(view.positions.get(place.partition, 0), starts[place]) for place in journal}
        self._reader.assign({**places, self._beats: starts[self._beats]})

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; tells whether anything happened."""
        self._ownership.poll()
        now = self._me.clock.now()
        at_most = min(timeout, CATCH_UP if self._unready else self._ownership.turn, self.pulse.until_due())
        wait = at_most
        if self._clock is Agreement.AGREES:
            wait = min(self._agenda.wait(now, at_most), self._ticker.wait(now, at_most))
        records = self._reader.poll(BATCH, wait)
        self._fold(records)
        self._heed_halts()
        self._catch_up()
        decided = self._decide()
        self.waiting()
        if self._me.clock.monotonic() >= self._next_flush:
            self._next_flush = self._me.clock.monotonic() + FLUSH_INTERVAL
            self.view.flush()
        return bool(records) or decided

    def drain(self) -> None:
        """Let the loop end. May be called from a signal handler."""
        self.stopped = True

    @property
    def node_id(self) -> str:
        """What this node is called in its beats."""
        return self._me.node_id

    def stop(self) -> None:
        """Hand everything over and leave."""
        self._ownership.leave()
        self.pulse.stop()
        self._reader.close()
        self.view.close()

    # --- read and fold ----------------------------------------------------------------------------------------------

    def _fold(self, records: Sequence[tuple[Record, e.Event | Undecodable | None]]) -> None:
        touched: dict[str, Task] = {}
        schedules: dict[str, Schedule] = {}
        positions = self.view.positions
        for record, event in records:
            kind = type(event)
            if event is None:
                self._hear(record)
                continue
            if kind is Undecodable:
                self._set_aside(record, cast(Undecodable, event))
            if record.offset < positions.get(record.partition, 0):
                continue  # it was folded before the claim, and is read again for what is to be set aside
            if kind in e.OF_SCHEDULE:
                schedules |= self._apply_to_schedule(cast(e.OfSchedule, event), record.partition)
            elif kind is not Undecodable:
                self._apply(cast(e.Event, event), record.partition, touched)
            self.view.moved(record.partition, record.offset + 1)
        for task_id, task in touched.items():
            if task.terminal:
                self._routing.drop(task_id)
                self._dispatcher.forget(task_id)
            elif self.view.homes[task_id] in self._ready:
                self._agenda.touch(task)
        for schedule_id, schedule in schedules.items():
            if self.view.schedule_homes[schedule_id] in self._ready:
                self._ticker.touch(schedule)

    def _set_aside(self, record: Record, error: Undecodable) -> None:
        """Make the dead letter of what is no event, where this node owns its partition."""
        claim = self._ownership.claims.get(record.partition)
        if claim is not None and record.offset >= claim.position:
            log.error("dead letter: %s", error)
            letter = dead_letter(self._records, self._me, record, str(error))
            self._letters.setdefault(record.partition, {})[record.offset] = letter

    def _apply(self, event: e.Event, partition: int, touched: dict[str, Task]) -> None:
        """Fold an event, and note which tasks it touched."""
        task = self.view.apply(event, partition)
        if isinstance(task, Task):
            task_id = task.task_id
            touched[task_id] = task
            flight = self._flights.get(task_id)
            if flight is not None and flight.last_event == event.event_id:
                self._land(task_id)
            kind = type(event)
            if kind is e.ChildReturned or (kind in RAN and self._routing.doubts):
                self._routing.learn(task, event, self._me.clock.monotonic())
        elif isinstance(event, e.PartitionReset):
            homes = self.view.homes
            touched |= {task_id: self.view.active[task_id] for task_id, home in homes.items() if home == partition}

    def _apply_to_schedule(self, event: e.Event, partition: int) -> dict[str, Schedule]:
        """Fold an event of a schedule."""
        schedule = self.view.apply(event, partition)
        if not isinstance(schedule, Schedule):
            return {}
        self._ticker.read_back(schedule, event)
        return {schedule.schedule_id: schedule}

    def _heed_halts(self) -> None:
        """Decide nothing where a partition stands still; where it goes on, first fold it to its end as it is now."""
        halts = self._reader.halts
        if not halts and not self._halted:
            return
        new = halts.keys() - self._halted
        if new or (halts and self._me.clock.monotonic() >= self._say_again):
            self._say_again = self._me.clock.monotonic() + SAY_AGAIN_S
            log.error("%s", in_words(halts.values()))
        if new:
            self._halted |= new
            self._stand_still(new)
        lifted = self._halted - halts.keys()
        owned = lifted & self._ownership.claims.keys()
        try:
            ends = self._log.end([TopicPartition(self._topics.events, partition) for partition in owned])
        except LogUnreachable:
            return  # the next turn tries again
        self._halted -= lifted
        self._unready |= {place.partition: end for place, end in ends.items()}

    def _hear(self, record: Record) -> None:
        node_id = (record.key or b"").decode(errors="replace")
        try:
            self._routing.heard(node_id, self._intake.beat(record), self._me.clock.monotonic())
        except Undecodable as error:
            log.warning("beat passed over: %s", error)

    def _catch_up(self) -> None:
        """Fold to the end that was found after the claim, then look at every task that goes on."""
        for partition, end in list(self._unready.items()):
            place = TopicPartition(self._topics.events, partition)
            if self._reader.position(place) < end or partition in self._halted:
                continue
            self.view.moved(partition, max(self._reader.position(place), self.view.positions.get(partition, 0)))
            del self._unready[partition]
            self._ready.add(partition)
            for task_id, home in self.view.homes.items():
                if home == partition:
                    self._agenda.touch(self.view.active[task_id])
            for schedule_id, home in self.view.schedule_homes.items():
                if home == partition:
                    self._ticker.touch(self.view.schedules[schedule_id])

    # --- decide and commit ------------------------------------------------------------------------------------------

    def _decide(self) -> bool:
        now = self._me.clock.now()
        self._clock = self._clock_check.look(now)
        if self._clock is not Agreement.AGREES:
            behind = self._behind()  # positions and dead letters ask no clock
            return bool(behind) and self._commit((), (), behind)
        decisions: list[_Decision] = []
        taken, until = self._agenda.take(now, DECISIONS), self._me.clock.monotonic() + PLANNING_S
        for place, task_id in enumerate(taken, 1):
            task = self.view.active.get(task_id)
            if task is None or task_id in self._flights or self.view.homes[task_id] not in self._ready:
                continue
            debt = owed(task, now)
            if debt is Debt.DISPATCH:
                self._routing.want(task_id)
            else:
                self._routing.drop(task_id)
            if debt is not None and debt is not Debt.DISPATCH:
                decisions.append(self._pay(task, debt))
            if debt is Debt.PLAN and self._me.clock.monotonic() >= until:
                self._agenda.put_back(taken[place:])
                break
        decisions = self._feed(decisions, now)
        ticked = self._ticker.decide(now, self._ready)
        behind = self._behind()
        return bool(decisions or ticked or behind) and self._commit(decisions, ticked, behind)

    def _behind(self) -> set[int]:
        """Find partitions that have dead letters to write, or lie so far back that a successor would read for long."""
        claims, positions = self._ownership.claims, self.view.positions
        return {
            partition
            for partition in self._ready
            if partition in self._letters or positions.get(partition, 0) - claims[partition].position >= LAG
        }

    def _pay(self, task: Task, debt: Debt) -> _Decision:
        basis = self._basis(task)
        if debt is Debt.PLAN:
            planned = plan_task(task, self._me, basis)
            return _Decision(task, (planned,), self._ticker.ended(task, planned))
        if debt is Debt.CANCEL:
            return _Decision(task, (aggregator.cancel_rest(task, self._me, basis),))
        if debt is Debt.END:
            ended = aggregator.end(task, self._me, basis)
            return _Decision(task, (ended,), self._ticker.ended(task, ended))
        stopping = aggregator.stop(task, self._me, basis)
        return _Decision(task, (stopping,), tuple(self._markers(stopping)))

    def _feed(self, decisions: list[_Decision], now: int) -> list[_Decision]:
        """Add a round of dispatches: for hungry tasks, and for tasks that are being planned in this very round."""
        planned = {
            decision.task.task_id: (decision, self._as_planned(decision))
            for decision in decisions
            if isinstance(decision.events[0], e.TaskPlanned)
        }
        moment = self._me.clock.monotonic()
        hungry = [
            task
            for task_id in self._routing.hungry(moment)
            if task_id not in self._flights
            # It may have been cancelled since, and not been looked at.
            if (task := self.view.active.get(task_id)) is not None and owed(task, now) is Debt.DISPATCH
        ]
        tasks = hungry + [task for _, task in planned.values()]
        if not tasks:
            return decisions
        workers = self._routing.present(moment)
        routes = self._routing.routes(tasks, workers, moment)
        load = Load(self.view.load)
        for partition, count in self._reserved.items():
            load[partition] += count
        chosen = self._dispatcher.choose(tasks, workers, load, now, routes)
        fed = [decision for decision in decisions if decision.task.task_id not in chosen]
        by_id, left = {task.task_id: task for task in tasks}, ROUND_BYTES
        for task_id, releases in chosen.items():
            task = by_id[task_id]
            decision = planned[task_id][0] if task_id in planned else _Decision(task, ())
            if left <= 0:  # the next round goes on here
                fed += [decision] if decision.events else []
                continue
            try:
                work, size = self._work(task, releases, left)
            except TemplateError as error:
                # Not what this version has planned. Whoever can read it dispatches it, or a person cancels it.
                log.error("task %s stands still: its children cannot be made: %s", task.task_id, error)
                self._routing.drop(task.task_id)
                fed += [decision] if decision.events else []
                continue
            left -= size
            releases = first_of(releases, len(work))
            dispatched = self._me.sign(
                e.ChildrenDispatched,
                task_id=task.task_id,
                releases=releases,
                basis=self._basis(decision.task),
            )
            work += self._ticker.reopened(decision.task)
            fed.append(_Decision(decision.task, (*decision.events, dispatched), work, releases))
            # Served tasks go to the end of the queue: they wait until this round was read back anyway.
            self._routing.drop(task.task_id)
            if (route := routes[requirement := needed_by(task)]).trial:
                self._routing.placed(requirement, releases, route, moment)
        return fed

    def _work(self, task: Task, releases: Sequence[e.Release], limit: int) -> tuple[tuple[Append, ...], int]:
        """Make the work of these releases, up to the record with which it has ``limit`` bytes; also tell how many."""
        made, size = [], 0
        for partition, record in self._dispatcher.records(task, releases):
            made.append(append := self._records.work(record, task.task_id, partition, record.traceparent))
            size += len(append.value or b"")
            if size >= limit:
                break
        return tuple(made), size

    def _as_planned(self, decision: _Decision) -> Task:
        """Work out the state in which a plan that is being decided will leave its task."""
        task = Task(decision.task.request, Load())
        evolve(task, decision.events[0], task.load)
        return task

    def _markers(self, stopping: e.ChildrenStopping) -> list[Append]:
        by_partition: dict[int, list[e.Release]] = {}
        for release in stopping.releases:
            if release.partition >= self._topics.child_partitions:
                continue  # nobody dispatched anything to where there is no partition
            by_partition.setdefault(release.partition, []).append(release)
        return [
            self._records.work(
                replace(stopping, event_id=self._me.ids(), releases=tuple(releases)), stopping.task_id, partition
            )
            for partition, releases in by_partition.items()
        ]

    def _commit(self, decisions: Sequence[_Decision], ticked: Sequence[Ticked], behind: Collection[int]) -> bool:
        """Write decisions, their records, and what there is to tell of their partitions and of those behind."""
        appends: list[Append] = []
        homes = set(behind)
        for decision in decisions:
            task_id = decision.task.task_id
            home = self.view.homes[task_id]
            homes.add(home)
            trace = decision.task.request.traceparent
            appends += [self._records.journal(event, task_id, trace) for event in decision.events]
            appends += decision.work
            self._flights[task_id] = _Flight(decision.events[-1].event_id, home, decision.releases)
            for release in decision.releases:
                self._reserved[release.partition] += release.last - release.first + 1
        for each in ticked:
            homes.add(each.home)
            appends += each.appends
        places = self._places(homes)
        try:
            self._ownership.commit(appends + self._letters_below(places), places)
            self._told(places)
            metrics.DECISIONS.add(len(decisions) + len(ticked))
        except (TransactionAborted, WriterFenced) as error:
            log.warning("decisions put off: %s", error)
            for decision in decisions:
                self._land(decision.task.task_id)
                self._agenda.touch(decision.task)
            for each in ticked:
                self._ticker.put_off(each)
        return True

    def _letters_below(self, places: Mapping[int, Place]) -> list[Append]:
        """List the dead letters that go with these positions: what lies below is told, and once."""
        return [
            letter
            for partition, place in places.items()
            for offset, letter in self._letters.get(partition, {}).items()
            if offset < place.position
        ]

    def _told(self, places: Mapping[int, Place]) -> None:
        for partition, place in places.items():
            letters = self._letters.pop(partition, {})
            if left := {offset: letter for offset, letter in letters.items() if offset >= place.position}:
                self._letters[partition] = left

    def _places(self, partitions: Collection[int]) -> Mapping[int, Place]:
        """Say up to where these partitions are read: what was folded ahead of the claim is still to be looked at."""
        return {
            partition: Place(
                max(
                    self._ownership.claims[partition].position,
                    min(
                        self.view.positions.get(partition, 0),
                        self._reader.position(TopicPartition(self._topics.events, partition)),
                    ),
                )
            )
            for partition in partitions
        }

    def _basis(self, task: Task) -> int:
        return self.view.positions.get(self.view.homes[task.task_id], 0)

    def _land(self, task_id: str) -> None:
        flight = self._flights.pop(task_id, None)
        for release in flight.releases if flight else ():
            self._reserved[release.partition] -= release.last - release.first + 1

    # --- tenant -----------------------------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Fold to the end before deciding."""
        self._read_again(claims)
        self._unready |= {claim.partition: claim.end for claim in claims}

    def _read_again(self, claims: Sequence[Claim]) -> None:
        """Go back to the committed positions, which others may have folded beyond: no dead letter is below them yet."""
        journal = self._topics.journal()
        places = {place: self._reader.position(place) for place in (*journal, self._beats)}
        back = {
            place: claim.position
            for claim in claims
            for place in (TopicPartition(self._topics.events, claim.partition),)
            if claim.position < places[place]
        }
        if back:
            starts = self._log.start(list(back))
            self._reader.assign(places | {place: max(at, starts[place]) for place, at in back.items()})

    def hand_over(self, partitions: Collection[int]) -> None:
        """Write the release mark: decisions in flight are committed, nothing else is left to do."""
        places = self._places(partitions)
        try:
            self._ownership.commit(self._letters_below(places), places, release=True)
        except LogError as error:
            log.warning("partitions %s were not released in order: %s", sorted(partitions), error)
        self.dropped(partitions)

    def waiting(self) -> None:
        """Beat."""
        state = "wrong clock" if self._clock is Agreement.DIFFERS else "running"
        self.pulse.beat(lambda: Condition(state), state)

    def dropped(self, partitions: Collection[int]) -> None:
        """Decide nothing more for these partitions; folding goes on."""
        for partition in partitions:
            self._letters.pop(partition, None)
        self._stand_still(set(partitions))

    def _stand_still(self, gone: Collection[int]) -> None:
        """Decide nothing for these partitions; what is to be set aside there is kept."""
        self._unready = {partition: end for partition, end in self._unready.items() if partition not in gone}
        self._ready.difference_update(gone)
        self._ticker.dropped(gone)
        for task_id in [task_id for task_id, flight in self._flights.items() if flight.partition in gone]:
            self._land(task_id)
        for task_id in [task_id for task_id in self._routing.waiting() if self.view.homes.get(task_id) in gone]:
            self._routing.drop(task_id)
