"""Owed decisions: one task of two children in one partition of the journal, and its schedulers one after another.

A scheduler folds the journal and pays what the folded state owes, one decision at a time. The workers are not here:
each dispatch has one outcome, at any time; so may the task be cancelled, or the children's partition be reset.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from tests.model.claim import Action, Protocol, Record, Role, State, Step, Txn, actions_of, active
from tests.model.explore import Model
from tests.model.judge import Judged, judge
from tests.model.task import Fold, Task

BACK: Final = (0, 1)
"""The dispatch (child, ordinal) that may come back instead of ending its child."""
FAILS: Final = (1, 1)
"""The dispatch that may fail for good."""
ROOM: Final = 2
"""Records that nobody has folded yet, up to which others write."""


class Ledger(NamedTuple):
    """What everybody has folded of the journal, so that the model need not keep it."""

    task: Task
    judged: Judged
    facts: frozenset[str] = frozenset()


def ledger_of(state: State) -> Ledger:
    assert isinstance(state.ledger, Ledger)
    return state.ledger


def owed_model(broken: Collection[str] = ()) -> Model[State]:
    """Make the model, with what is broken on purpose."""
    decider = Decider(broken)
    world: dict[str, Action] = {
        "the task is cancelled": once("cancel"),
        "the children's partition is reset": once("reset"),
        "an outcome is written": outcome,
    }
    return Model(
        initial=State(log=(), doubts=0, ledger=Ledger(Task(), Judged())),
        actors=[*actions_of(decider.protocol.steps | decider.steps), world],
        active=active,
        fault=fault,
        done=done,
        brief=decider.brief,
    )


class Decider:
    """What a scheduler does with a partition that it owns. It knows which record of its own it has yet to read."""

    def __init__(self, broken: Collection[str]) -> None:
        self._broken = broken
        self._fold = Fold(broken)
        role = Role(
            begin=lambda state, mark: (-1,),
            published=lambda state, index, txn: state,
            believed=lambda state, index, txn: state,
            restored=lambda state, index, txn: state.change(index, known=(-1,)),
            squeezed=lambda known, at: (known[0] - (known[0] > at),),
        )
        self.protocol = Protocol(role, broken)
        self.steps: dict[str, Step] = {
            "folds to the end": self.catch_up,
            "folds a record": self.fold,
            "decides": self.decide,
        }
        # It has nothing to hand over, so that this would be to be evicted.
        del self.protocol.steps["hands over"]

    def catch_up(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if self.protocol.free(state, index) and owner.read < owner.end <= state.stable:
            yield state.change(index, read=owner.end)

    def fold(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if self.protocol.free(state, index) and self._ready(state, index) and owner.read < state.stable:
            flight = -1 if owner.known[0] == owner.read else owner.known[0]
            yield state.change(index, read=owner.read + 1, known=(flight,))

    def decide(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if not self.protocol.free(state, index) or not self._ready(state, index):
            return
        if owner.known[0] < 0 or "two in flight" in self._broken:
            task = ledger_of(state).task
            for record in state.log[: owner.read]:
                task = self._fold.evolve(task, record.what)
            for events in self._fold.owed(task):
                flying = state.change(index, known=(len(state.log) + len(events) - 1,))
                yield self.protocol.begin(flying, index, Txn("decision"), *events)

    def _ready(self, state: State, index: int) -> bool:
        owner = state.owners[index]
        return owner.read >= owner.end or "decided before the end" in self._broken

    def brief(self, state: State) -> State:
        """Leave out what the owner has folded. Where there is none, all: whoever comes folds that before it decides."""
        unowned = 0 if "decided before the end" in self._broken else state.stable
        count = min((owner.read for owner in state.owners if owner.stage == "own"), default=unowned)
        if not count:
            return state
        ledger, read = ledger_of(state), state.log[:count]
        for what, _ in read:
            ledger = Ledger(self._fold.evolve(ledger.task, what), judge(ledger.judged, what), ledger.facts)
        facts = ledger.facts | {what[0] for what, _ in read if what[0] in ("cancel", "reset")}
        owners = tuple(
            owner._replace(
                read=owner.read - count,
                end=max(0, owner.end - count),
                known=(max(-1, owner.known[0] - count),),
            )
            if owner.stage == "own"
            else owner
            for owner in state.owners
        )
        return state._replace(log=state.log[count:], ledger=ledger._replace(facts=facts), owners=owners)


# --- the workers and the user, from outside ---------------------------------------------------------------------------


def append(state: State, *event: Any) -> State:
    return state._replace(log=(*state.log, Record(event)))


def open_to_others(state: State) -> bool:
    return state.owned and len(state.log) < ROOM


def once(kind: str) -> Action:
    def action(state: State) -> Iterator[State]:
        known = ledger_of(state).facts | {record.what[0] for record in state.log}
        if open_to_others(state) and kind not in known:
            yield append(state, kind, ())

    return action


def outcome(state: State) -> Iterator[State]:
    """Write the outcome of a dispatch that has none: it is done, fails, comes back, or was told to stop."""
    seen = ledger_of(state).judged
    for record in state.log:
        if record.writer < 0:
            seen = judge(seen, record.what)
    for dispatch in seen.running if open_to_others(state) else ():
        yield append(state, "done", dispatch)
        if dispatch == FAILS:
            yield append(state, "failed", dispatch)
        if dispatch == BACK:
            yield append(state, "back", dispatch)
        if dispatch in seen.told:
            yield append(state, "stopped", dispatch)


def fault(state: State) -> str:
    return state.fault or ledger_of(state).judged.fault


def done(state: State) -> bool:
    return not state.log and ledger_of(state).judged.over
