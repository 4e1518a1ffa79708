"""The checker's model of one schedule: its times by arithmetic (one interval), and what may become of each.

A decision is held against the schedule as its events up to the basis left it. So every time between the making of a
schedule and the last that was decided is gone through, one after another.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamsched.domain import events as e
from tests.simulation.checker_backfill import Asked, Refilling
from tests.simulation.checker_task import TaskModel
from tests.simulation.checker_times import Wait, interval_of, task_of

ENDS: dict[type[e.Event], str] = {
    e.TaskSucceeded: "succeeded", e.TaskFailed: "failed", e.TaskCancelled: "cancelled", e.TaskRefused: "refused",
}  # fmt: skip
OWN = {
    "skip": ("fired", "skipped"), "allow_all": ("fired",), "terminate_other": ("fired",),
    "buffer_one": ("fired", "buffered", "dropped"), "buffer_all": ("fired", "buffered", "dropped"),
    "cancel_other": ("fired", "buffered"),
}  # fmt: skip
"""What may become of a time that is neither paused nor too late; without a task beside it, it fires."""


@dataclass(frozen=True)
class Stretch:
    """What holds for times after ``since``."""

    since: int
    every: int
    phase: int
    policy: dict[str, Any]
    paused: bool = False
    deleted: bool = False

    def after(self, moment: int) -> int:
        """Find its first time after a moment."""
        return moment + self.every - (moment - self.phase) % self.every

    def between(self, first: int, last: int) -> int:
        """Count its times after ``first``, up to ``last``."""
        return max(0, (last - self.phase) // self.every - (first - self.phase) // self.every)


@dataclass
class State:
    """A schedule as some of its events left it."""

    version: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    cursor: int = 0
    left: int | None = None
    running: dict[str, int] = field(default_factory=dict)
    """Unfinished tasks, with their redrives; those of a backfill are its own."""
    waiting: list[Wait] = field(default_factory=list)
    triggers: list[Wait] = field(default_factory=list)
    last_trigger: int = 0
    backfills: int = 0
    backfill: Refilling | None = None
    refilled: set[str] = field(default_factory=set)
    """Tasks that were made by backfills."""
    ended: dict[str, int] = field(default_factory=dict)
    """Up to which redrive each task has ended."""

    @property
    def gone(self) -> bool:
        """Whether there is none, or none any more."""
        return not self.stretches or self.stretches[-1].deleted

    def is_free(self, moment: int) -> bool:
        """Tell whether the schedule itself has nothing more to do with a time."""
        found = self.following(self.cursor)
        return moment <= self.cursor or found is None or found[0] > moment

    def following(self, moment: int) -> tuple[int, Stretch] | None:
        """Find the first time after a moment, and what holds for it."""
        if self.left == 0:
            return None
        for number, stretch in enumerate(self.stretches):
            until = self.stretches[number + 1].since if number + 1 < len(self.stretches) else None
            at = stretch.after(max(moment, stretch.since))
            if not stretch.deleted and (until is None or at <= until):
                return at, stretch
        return None

    def turn(self, at: int, stretch: Stretch) -> None:
        """Let something else hold from now on."""
        since = max([at, self.cursor, *(each.since for each in self.stretches[-1:])])
        self.stretches.append(replace(stretch, since=since))


class ScheduleModel:
    """Follows one schedule through its events. Offsets are those of its journal partition."""

    def __init__(self, schedule_id: str, faults: list[str]) -> None:
        self.schedule_id = schedule_id
        self.asked: Counter[Asked] = Counter()
        """What its decisions, and those about its backfills, say that they ask for."""
        self.told: dict[str, list[tuple[str, int]]] = {}
        """What it heard of each task: how it ended, or that it goes on, and as which redrive."""
        self.to_cancel: set[tuple[str, int]] = set()
        """Redrives of tasks that had to make way for another task."""
        self.effective: set[str] = set()
        """Who had a backfill begin."""
        self._faults = faults
        self._state = State()
        self._held: list[tuple[int, e.Event]] = []
        self._decided = -1
        self._outcomes: Counter[Wait] = Counter()

    def see(self, offset: int, event: e.Event) -> None:
        """Take the next event."""
        if isinstance(event, e.TicksDecided | e.BackfillDecided):
            if not (self._decided < event.basis <= offset):
                self._fault(f"decided at {offset} from {event.basis} on, where another lies at {self._decided}")
            self._decided = offset
            self._apply(event.basis)
            if isinstance(event, e.TicksDecided):
                self._judge(event)
            else:
                self._judge_refill(event)
        elif isinstance(event, e.TickEnded):
            self.told.setdefault(event.task_id, []).append((event.outcome, event.redrive))
        elif isinstance(event, e.TickReopened):
            self.told.setdefault(event.task_id, []).append(("reopened", event.redrive))
        self._held.append((offset, event))

    def close(self) -> None:
        """Judge what it came to: it was deleted, and all that was due before has its outcome."""
        self._apply(None)
        state = self._state
        if not state.stretches:
            return
        if state.stretches[-1].deleted and (found := state.following(state.cursor)) is not None:
            self._fault(f"nothing became of {found[0]}")
        if not state.stretches[-1].deleted:
            self._fault("goes on")
        if state.running or state.waiting or state.triggers:
            self._fault(f"runs {state.running} and has {state.waiting} and {state.triggers} left")
        if state.backfill is not None and not state.backfill.done(state.ended):
            self._fault(f"{state.backfill} goes on")
        for wait, times in self._outcomes.items():
            if times != 1:
                self._fault(f"{wait} has {times} outcomes")

    def settle(self, asked: Counter[Asked], tasks: Mapping[str, TaskModel], cancelled: set[tuple[str, int]]) -> None:
        """Hold it against what was asked of tasks in its name, and what became of them."""
        for each in self.asked.keys() | asked.keys():
            if (self.asked[each], asked[each]) != (1, 1):
                self._fault(f"{each} decided {self.asked[each]} times, and asked for {asked[each]} times")
        made = Counter(each.task_id for each in self.asked if not each.redrive)
        for task_id in made.keys() | self.told.keys():
            if made[task_id] != 1:
                self._fault(f"{task_id} was fired {made[task_id]} times")
            told, wanted = self.told.get(task_id, []), list(_news_of(tasks[task_id])) if task_id in tasks else []
            if told != wanted:
                self._fault(f"{task_id} went through {wanted}, and was told to have gone through {told}")
        if spared := self.to_cancel - cancelled:
            self._fault(f"{sorted(spared)} had to make way, and were not cancelled")

    # --- what an event does -----------------------------------------------------------------------------------------

    def _apply(self, basis: int | None) -> None:
        """Let everything have its effect that lies before the basis."""
        while self._held and (basis is None or self._held[0][0] < basis):
            _, event = self._held.pop(0)
            match event:
                case e.ScheduleSet():
                    self._set(event)
                case e.SchedulePaused():
                    self._pause(event.at, event.paused)
                case e.ScheduleTriggered():
                    self._trigger(event.at)
                case e.ScheduleDeleted():
                    self._delete(event.at)
                case e.TicksDecided():
                    self._decide(event)
                case e.TickEnded():
                    self._end(event)
                case e.TickReopened():
                    self._reopen(event)
                case e.BackfillRequested():
                    self._begin_backfill(event)
                case e.BackfillCancelled():
                    self._cancel_backfill(event.backfill)
                case e.BackfillDecided():
                    self._refill(event)

    def _set(self, event: e.ScheduleSet) -> None:
        state, new = self._state, self._state.gone
        if event.expected != (0 if new else state.version):
            return
        first = not state.stretches
        state.version += 1
        if first or state.left == 0:
            # Nothing was due while there was no run left.
            state.cursor = max(state.cursor, event.at)
        policy = json.loads(event.policy)
        every, phase = interval_of(event.spec)
        state.turn(event.at, Stretch(0, every, phase, policy, paused=not new and state.stretches[-1].paused))
        state.left = policy["limited_runs"] or None

    def _pause(self, at: int, paused: bool) -> None:
        if not self._state.gone and self._state.stretches[-1].paused != paused:
            self._state.turn(at, replace(self._state.stretches[-1], paused=paused))

    def _trigger(self, at: int) -> None:
        if not self._state.gone:
            self._state.last_trigger = max(at, self._state.last_trigger + 1)
            self._state.triggers.append(("trigger", self._state.last_trigger))

    def _delete(self, at: int) -> None:
        if not self._state.gone:
            self._state.turn(at, replace(self._state.stretches[-1], paused=False, deleted=True))
            self._cancel_backfill(self._state.backfills)

    def _decide(self, event: e.TicksDecided) -> None:
        state = self._state
        for run in event.ticks:
            wait = (run.kind, run.first)
            for known in (state.waiting, state.triggers):
                if wait in known:
                    known.remove(wait)
            if run.outcome == "buffered":
                state.waiting.append(wait)
            elif run.outcome == "fired":
                state.running[task_of(self.schedule_id, wait)] = 0
                if run.kind == "tick" and state.left:
                    state.left -= 1
        state.cursor = max(state.cursor, event.upto)

    def _end(self, event: e.TickEnded) -> None:
        state, task_id = self._state, event.task_id
        state.ended[task_id] = max(state.ended.get(task_id, -1), event.redrive)
        if task_id not in state.running:
            if event.redrive == 0 and task_id not in state.refilled:
                self._fault(f"{event} ends what does not run")
            return
        del state.running[task_id]
        if event.outcome in ("failed", "refused") and not state.gone and state.stretches[-1].policy["pause_on_failure"]:
            self._pause(event.at, True)

    def _reopen(self, event: e.TickReopened) -> None:
        """Let a task run that goes on, unless it is a backfill's."""
        state = self._state
        if state.backfill is None or event.task_id not in state.backfill.unfinished(state.ended):
            state.running[event.task_id] = event.redrive

    def _begin_backfill(self, event: e.BackfillRequested) -> None:
        state = self._state
        free = state.backfill is None or state.backfill.done(state.ended)
        if free and not state.gone and event.backfill == state.backfills + 1:
            state.backfills += 1
            state.backfill = Refilling.of(event)
            self.effective.add(event.by)

    def _cancel_backfill(self, number: int) -> None:
        state = self._state
        if state.backfill is not None and number == state.backfills and not state.backfill.done(state.ended):
            state.backfill.cancelled = True

    def _refill(self, event: e.BackfillDecided) -> None:
        state = self._state
        fired = [run.first for run in event.ticks if run.outcome == "fired"]
        state.refilled |= {task_of(self.schedule_id, ("tick", moment)) for moment in fired}
        state.cursor = max([state.cursor, *fired])  # no such time becomes one of the schedule's own
        if state.backfill is not None and event.backfill == state.backfills:
            state.backfill.take(event)

    # --- decisions --------------------------------------------------------------------------------------------------

    def _judge_refill(self, event: e.BackfillDecided) -> None:
        """Go through a decision about a backfill."""
        state = self._state
        if state.backfill is None:
            self._fault(f"{event} of no backfill")
            return
        known = {each.task_id for each in self.asked}
        for fault in state.backfill.faults(
            event, ended=state.ended, is_free=state.is_free, waiting=state.waiting, known=known
        ):
            self._fault(fault)
        self.asked.update(state.backfill.asked(event))

    def _judge(self, event: e.TicksDecided) -> None:
        """Go through a decision, time by time, from the state at its basis."""
        state = self._state
        judged = _Judged(state.cursor, {**state.running}, [*state.waiting], [*state.triggers], state.left)
        for run in event.ticks:
            wait = (run.kind, run.first)
            if wait in judged.triggers or wait in judged.waiting:
                self._known(run, wait, judged)
            elif run.kind == "trigger":
                self._fault(f"{run} was not asked for")
            else:
                for _ in range(run.count):
                    self._own(event, run, judged)
                if judged.cursor != run.last:
                    self._fault(f"{run} should end at {judged.cursor}")
        if event.upto != judged.cursor:
            self._fault(f"{event} tells of times up to {judged.cursor}")
        if not event.ticks:
            self._fault(f"{event} tells of nothing")

    def _known(self, run: e.Ticks, wait: Wait, judged: _Judged) -> None:
        asked = wait in judged.triggers
        (judged.triggers if asked else judged.waiting).remove(wait)
        if run.count != 1 or run.last != run.first:
            self._fault(f"{run} is of one time that waited")
        last = self._state.stretches[-1]
        if run.outcome == "buffered" and asked:
            judged.waiting.append(wait)
        elif run.outcome == "fired":
            if not asked and last.paused:
                self._fault(f"{run} though it is paused")
            self._fire(run, wait, last, judged)
        elif run.outcome in ("dropped", "skipped"):
            self._outcomes[wait] += 1
        else:
            self._fault(f"{run} waited, or was asked for")

    def _own(self, event: e.TicksDecided, run: e.Ticks, judged: _Judged) -> None:
        """Hold the next time against what is told of it."""
        found = None if judged.left == 0 else self._state.following(judged.cursor)
        if found is None or found[0] > run.last or (run.count == 1 and found[0] != run.first):
            self._fault(f"{run}, but the next time after {judged.cursor} is {found and found[0]}")
            return
        at, stretch = found
        judged.cursor = at
        wait, policy = ("tick", at), stretch.policy
        if at > event.at:
            self._fault(f"{run} at {event.at}, before it is due")
        runs = policy["max_catchup_runs"]
        late = at < event.at - policy["catchup_window_ms"] or bool(runs and stretch.between(at, event.at) >= runs)
        if stretch.paused:
            wanted: tuple[str, ...] = ("suppressed",)
        elif late:
            wanted = ("missed",)
        elif judged.running or judged.waiting or (policy["overlap"] == "cancel_other" and self._state.waiting):
            wanted = OWN[policy["overlap"]]
        else:
            wanted = ("fired",)
        if run.outcome not in wanted:
            self._fault(f"{at}: {run.outcome} is none of {wanted}, decided at {event.at}: {stretch}, {judged}")
        if run.outcome == "fired":
            self._fire(run, wait, stretch, judged)
        elif run.outcome == "buffered":
            if policy["overlap"] == "cancel_other":
                self.to_cancel |= set(judged.running.items())
            if judged.waiting and policy["overlap"] != "buffer_all":
                self._fault(f"{run} beside {judged.waiting}")
            judged.waiting.append(wait)
        else:
            self._outcomes[wait] += 1

    def _fire(self, run: e.Ticks, wait: Wait, stretch: Stretch, judged: _Judged) -> None:
        self._outcomes[wait] += 1
        task_id = task_of(self.schedule_id, wait)
        self.asked[Asked(task_id, f"schedule {self.schedule_id}")] += 1
        overlap = stretch.policy["overlap"]
        if judged.running and overlap == "terminate_other":
            self.to_cancel |= set(judged.running.items())
        elif judged.running and overlap != "allow_all":
            self._fault(f"{run} beside {judged.running}: {overlap}")
        judged.running[task_id] = 0
        if run.kind == "tick" and judged.left is not None:
            if judged.left == 0:
                self._fault(f"{run} beyond the limit")
            judged.left -= 1

    def _fault(self, what: str) -> None:
        self._faults.append(f"{self.schedule_id}: {what}")


@dataclass
class _Judged:
    """What a decision has changed so far."""

    cursor: int
    running: dict[str, int]
    waiting: list[Wait]
    triggers: list[Wait]
    left: int | None


def _news_of(task: TaskModel) -> Iterator[tuple[str, int]]:
    """Walk what a schedule must hear of a task, in order."""
    for redrive, end in enumerate(task.ends):
        if redrive and redrive in task.dispatched:
            yield "reopened", redrive
        yield ENDS[type(end)], redrive
