"""The pending set: two children in one partition of the work log, and the workers that own it one after another.

A worker reads, holds what is unsettled, and settles it with an outcome, with a checkpoint that takes its place, or
(a stop marker) alone. The scheduler is not here: a child that was returned is dispatched anew, and a stop marker for
all live children may appear at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from tests.model.claim import Action, Protocol, Record, Role, State, Step, Txn, actions_of, active, squeezed
from tests.model.explore import Model

CHECKPOINTED: Final = 0
RETURNED: Final = 1
"""What may befall which child, beside its outcome."""
CHECKPOINTS: Final = 1
LAST_ORDINAL: Final = 2


class Child(NamedTuple):
    """What the journal says of a child: its live dispatch, or 0; whether it waits for another; its checkpoints."""

    live: int = 1
    ordinal: int = 1
    waits: bool = False
    sequence: int = 0


class Ledger(NamedTuple):
    children: tuple[Child, ...] = (Child(), Child())
    cancelled: bool = False

    def change(self, index: int, **fields: Any) -> Ledger:
        child = self.children[index]._replace(**fields)
        return self._replace(children=(*self.children[:index], child, *self.children[index + 1 :]))


def pending_model(broken: Collection[str] = ()) -> Model[State]:
    """Make the model, with what is broken on purpose."""
    work = Work(broken)
    world: dict[str, Action] = {"the task is cancelled": cancel, "a returned child is dispatched anew": dispatch}
    first = tuple(Record(("child", child, 1, 0)) for child in range(2))
    return Model(
        initial=State(log=first, ledger=Ledger()),
        actors=[*actions_of(work.protocol.steps | work.steps), world],
        active=active,
        fault=fault,
        done=done,
    )


class Work:
    """What a worker does with a partition that it owns. It knows the records that it holds, as bits."""

    def __init__(self, broken: Collection[str]) -> None:
        self._broken = broken
        role = Role(
            begin=lambda state, mark: (0,),
            published=self.published,
            believed=self.believed,
            restored=self.restored,
            squeezed=lambda known, at: (squeezed(known[0], at),),
        )
        self.protocol = Protocol(role, broken)
        self.steps: dict[str, Step] = {
            "reads a record": self.read,
            "writes an outcome": self.outcome,
            "writes a checkpoint": self.checkpoint,
            "settles a stop marker": self.marker,
        }

    def read(self, state: State, index: int) -> Iterator[State]:
        owner, at, stable = state.owners[index], state.owners[index].read, state.stable
        if self.protocol.free(state, index) and at < stable:
            held = owner.known[0]
            known = held | (0 if "settled ignored" in self._broken else owner.seen.settled)
            while at < stable and known >> at & 1:
                at += 1
            if at < stable:
                at, held = at + 1, held | 1 << at
            yield state.change(index, read=at, known=(held,))

    def outcome(self, state: State, index: int) -> Iterator[State]:
        for at, what in self._held(state, index, "child"):
            for kind in ("returned",) * (what[1] == RETURNED and what[2] < LAST_ORDINAL) + ("ended",):
                txn = Txn(kind, what, settles=1 << at)
                if "outcome outside" in self._broken:
                    yield self._begin(self.published(state, index, txn), index, txn._replace(kind="settled"))
                else:
                    yield self._begin(state, index, txn)

    def checkpoint(self, state: State, index: int) -> Iterator[State]:
        for at, (_, child, ordinal, sequence) in self._held(state, index, "child"):
            if child == CHECKPOINTED and sequence < CHECKPOINTS:
                what = ("child", child, ordinal, sequence + 1)
                txn = Txn("checkpoint", what, settles=1 << at)
                begun = self._begin(state, index, txn, what)
                if "checkpoint outside" in self._broken:
                    log = (*state.log, Record(what))
                    begun = self._begin(
                        self.published(state._replace(log=log), index, txn), index, txn._replace(kind="settled")
                    )
                yield begun

    def marker(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if owner.read < owner.end and "marker before the end" not in self._broken:
            return
        waiting = {what[1:3] for _, what in self._held(state, index, "child")}
        for at, what in self._held(state, index, "stop"):
            if waiting.isdisjoint(what[1]) or "marker before its child" in self._broken:
                yield self._begin(state, index, Txn("marker", what, settles=1 << at))

    def _held(self, state: State, index: int, kind: str) -> list[tuple[int, Any]]:
        owner = state.owners[index]
        if not self.protocol.free(state, index):
            return []
        return [(at, r.what) for at, r in enumerate(state.log) if owner.known[0] >> at & 1 and r.what[0] == kind]

    def _begin(self, state: State, index: int, txn: Txn, *whats: tuple[Any, ...]) -> State:
        held = state.owners[index].known[0] & ~txn.settles
        return self.protocol.begin(state.change(index, known=(held,)), index, txn, *whats)

    def published(self, state: State, index: int, txn: Txn) -> State:
        """Judge an outcome or checkpoint against the journal so far."""
        if txn.kind not in ("ended", "returned", "checkpoint"):
            return state
        _, index_of, ordinal, sequence = txn.what
        ledger = state.ledger
        assert isinstance(ledger, Ledger)
        child = ledger.children[index_of]
        if child.live != ordinal:
            return state._replace(fault=f"{txn.kind} of a dispatch that is not live")
        if txn.kind == "checkpoint":
            if sequence != child.sequence + 1:
                return state._replace(fault=f"checkpoint {sequence} after {child.sequence}")
            return state._replace(ledger=ledger.change(index_of, sequence=sequence))
        if sequence != child.sequence:
            return state._replace(fault=f"{txn.kind} from checkpoint {sequence}, not from {child.sequence}")
        waits = txn.kind == "returned" and not ledger.cancelled
        return state._replace(ledger=ledger.change(index_of, live=0, waits=waits))

    def believed(self, state: State, index: int, txn: Txn) -> State:
        """Hold the record that took the place of the settled one."""
        held = state.owners[index].known[0]
        for at, record in enumerate(state.log):
            if txn.kind == "checkpoint" and record == Record(txn.what):
                held |= 1 << at
        return state.change(index, known=(held,))

    def restored(self, state: State, index: int, txn: Txn) -> State:
        """Hold again what was to be settled."""
        settles = 0 if "abort not restored" in self._broken else txn.settles
        return state.change(index, known=(state.owners[index].known[0] | settles,))


# --- the scheduler, from outside -------------------------------------------------------------------------------------


def cancel(state: State) -> Iterator[State]:
    """Write the stop marker of all live children."""
    ledger = state.ledger
    assert isinstance(ledger, Ledger)
    names = tuple((index, child.live) for index, child in enumerate(ledger.children) if child.live)
    if state.owned and names and not ledger.cancelled:
        children = tuple(child._replace(waits=False) for child in ledger.children)
        log = (*state.log, Record(("stop", names)))
        yield state._replace(log=log, ledger=Ledger(children, cancelled=True))


def dispatch(state: State) -> Iterator[State]:
    """Dispatch a child that was returned, with its next ordinal and from its last checkpoint."""
    ledger = state.ledger
    assert isinstance(ledger, Ledger)
    for index, child in enumerate(ledger.children):
        if state.owned and child.waits:
            ordinal = child.ordinal + 1
            log = (*state.log, Record(("child", index, ordinal, child.sequence)))
            yield state._replace(log=log, ledger=ledger.change(index, live=ordinal, ordinal=ordinal, waits=False))


def fault(state: State) -> str:
    """Each live child is exactly one unsettled record; a marker that is settled names no live child."""
    if state.fault:
        return state.fault
    ledger = state.ledger
    assert isinstance(ledger, Ledger)
    live = [(index, child.live) for index, child in enumerate(ledger.children) if child.live]
    pending = []
    for at, (what, writer) in enumerate(state.log):
        settled = state.mark.settled >> at & 1
        if what[0] == "child" and not settled and writer < 0:
            pending.append(what[1:3])
        elif what[0] == "stop" and settled and not set(live).isdisjoint(what[1]):
            return "a stop marker was settled before its child"
    return "" if sorted(pending) == live else f"{live} are live, {pending} are unsettled"


def done(state: State) -> bool:
    """Everything is settled, and nothing waits."""
    ledger = state.ledger
    assert isinstance(ledger, Ledger)
    everything = state.mark.settled == (1 << len(state.log)) - 1 and state.stable == len(state.log)
    return everything and not any(child.live or child.waits for child in ledger.children)
