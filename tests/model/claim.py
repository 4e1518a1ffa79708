"""What both models share: one partition, three owners one after another, their claims and their transactions.

Each step of the claim (``runtime/claim.py``) and of a transaction is an action, and anything may come in between.
As with Kafka the group is asked when offsets are sent, not when a transaction ends; an open transaction blocks stable
reads of its offsets and readers of its records; fencing its writer, or time, aborts it. An owner is evicted at any
time: dead, frozen, or by mistake. What it has sent may still land, and late: then it is a zombie that woke up. The
last owner is never evicted, so that every history can come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, Final, NamedTuple

OWNERS: Final = 3
LAST: Final = OWNERS - 1


class Record(NamedTuple):
    """A record of the partition; ``writer`` is the owner whose transaction is still open, or -1."""

    what: tuple[Any, ...]
    writer: int = -1


class Mark(NamedTuple):
    """The last commit."""

    owner: int = -1
    epoch: int = 0
    counter: int = 0
    """Modulo 2: it only has to tell one transaction from the one before."""
    released: bool = True
    settled: int = 0
    """The settled records, as bits."""


class Txn(NamedTuple):
    """A transaction: ``begun`` (records appended), ``sent`` (offsets too), then ended.

    Or ``doubt``: its outcome was not heard. ``asked``: it is fenced, and only the witness is left to be read.
    """

    kind: str
    what: tuple[Any, ...] = ()
    settles: int = 0
    phase: str = "sent"

    @property
    def pending(self) -> bool:
        """Whether it holds back stable reads."""
        return self.phase in ("sent", "doubt")


class Owner(NamedTuple):
    """On its way: ``out``, ``read``, ``claim``, ``capture``, ``own``, ``gone``."""

    stage: str = "out"
    seen: Mark = Mark()
    """The mark of the stable read; our own, once we own."""
    end: int = 0
    read: int = 0
    known: tuple[int, ...] = ()
    """What its role knows beside that."""
    txn: Txn | None = None


class State(NamedTuple):
    log: tuple[Record, ...]
    mark: Mark = Mark()
    member: int = 0
    """To whom the group has assigned the partition."""
    owners: tuple[Owner, ...] = (Owner(),) * OWNERS
    epoch: int = 0
    """The last epoch in which somebody owned."""
    doubts: int = 1
    """How many transactions may still end unheard."""
    ledger: Hashable = ()
    """What only the model sees."""
    fault: str = ""

    @property
    def stable(self) -> int:
        """The position up to which readers get."""
        return next((at for at, record in enumerate(self.log) if record.writer >= 0), len(self.log))

    @property
    def blocked(self) -> bool:
        """Whether a stable read would have to wait."""
        return any(owner.txn is not None and owner.txn.pending for owner in self.owners)

    @property
    def owned(self) -> bool:
        """Whether the claim is over. What others do during a claim they could as well do before or after it."""
        return self.owners[self.member].stage == "own"

    def change(self, index: int, **fields: Any) -> State:
        owner = self.owners[index]._replace(**fields)
        return self._replace(owners=(*self.owners[:index], owner, *self.owners[index + 1 :]))


class Role(NamedTuple):
    """What a worker and a scheduler do differently."""

    begin: Callable[[State, Mark], tuple[int, ...]]
    """What an owner knows after its claim."""
    published: Callable[[State, int, Txn], State]
    """What a landed transaction means to the ledger."""
    believed: Callable[[State, int, Txn], State]
    """What its owner makes of it on hearing that it landed."""
    restored: Callable[[State, int, Txn], State]
    """What its owner makes of an abort."""
    squeezed: Callable[[tuple[int, ...], int], tuple[int, ...]]
    """What an owner knows, with an aborted record left out."""


Step = Callable[[State, int], Iterator[State]]
Action = Callable[[State], Iterator[State]]


def squeezed(bits: int, at: int) -> int:
    """Leave one bit out."""
    return bits & (1 << at) - 1 | bits >> at + 1 << at


def actions_of(steps: Mapping[str, Step]) -> list[dict[str, Action]]:
    """Make the steps of an owner the actions of each."""

    def action(step: Step, index: int) -> Action:
        return lambda state: step(state, index)

    return [{f"{index} {name}": action(step, index) for name, step in steps.items()} for index in range(OWNERS)]


def active(state: State) -> list[int]:
    """Name who has something to do: who has the partition, who still has a transaction, and the world (the last)."""
    owners = [index for index, owner in enumerate(state.owners) if index == state.member or owner.txn]
    return [*owners, OWNERS]


class Protocol:
    """Claims and transactions, with what is broken on purpose."""

    def __init__(self, role: Role, broken: Collection[str] = ()) -> None:
        self._role = role
        self._broken = broken
        self.steps: dict[str, Step] = {
            "fences whom the last commit names": self._fence,
            "finds the last commit released, or an old one": self._look,
            "reads the stable commit": self._read,
            "begins its claim": self._claim,
            "captures the end": self._capture,
            "sends its offsets": self._send,
            "ends its transaction": self._end,
            "is refused": self._refused,
            "does not hear the outcome": self._unheard,
            "has its last request arrive late": self._late,
            "fences its own old id": self._fence_own,
            "asks the witness": self._witness,
            "runs into the transaction timeout": self._expire,
            "is evicted": self._evict,
            "hands over": self._release,
        }

    # --- the claim --------------------------------------------------------------------------------------------------

    def _fence(self, state: State, index: int) -> Iterator[State]:
        if state.owners[index].stage == "out" and state.member == index and state.mark.owner not in (-1, index):
            yield self._gone(self._withdraw(state, state.mark.owner), state.mark.owner).change(index, stage="read")

    def _look(self, state: State, index: int) -> Iterator[State]:
        if state.owners[index].stage == "out" and state.member == index:
            yield state.change(index, stage="read")

    def _read(self, state: State, index: int) -> Iterator[State]:
        if state.owners[index].stage == "read" and (not state.blocked or "unstable read believed" in self._broken):
            stage = "capture" if "claim not committed" in self._broken else "claim"
            yield state.change(index, stage=stage, seen=state.mark)

    def _claim(self, state: State, index: int) -> Iterator[State]:
        if state.owners[index].stage == "claim" and not state.owners[index].txn:
            yield state.change(index, txn=Txn("claim"))

    def _capture(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if owner.stage == "capture":
            mine = self._mark(owner, index, Txn("claim")) if "claim not committed" in self._broken else owner.seen
            if mine.epoch <= state.epoch:
                state = state._replace(fault=f"epoch {mine.epoch} after {state.epoch}")
            state = state._replace(epoch=mine.epoch)
            known = self._role.begin(state, mine)
            yield state.change(index, stage="own", seen=mine, end=len(state.log), known=known)

    # --- a transaction ----------------------------------------------------------------------------------------------

    def free(self, state: State, index: int) -> bool:
        """Tell whether an owner can do something new."""
        return state.owners[index].stage == "own" and not state.owners[index].txn

    def begin(self, state: State, index: int, txn: Txn, *whats: tuple[Any, ...]) -> State:
        """Append records. Without any, a transaction that has sent no offsets yet is not to be seen."""
        log = (*state.log, *(Record(what, index) for what in whats))
        return state._replace(log=log).change(index, txn=txn._replace(phase="begun" if whats else "sent"))

    def _send(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase == "begun" and state.member == index:
            yield state.change(index, txn=txn._replace(phase="sent"))

    def _end(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase == "sent":
            landed = self._publish(state, index)
            yield self._believe(landed, index) if state.member == index else self._gone(landed, index)

    def _refused(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase in ("begun", "sent"):
            withdrawn = self._withdraw(state, index)
            yield self._restore(withdrawn, index) if state.member == index else self._gone(withdrawn, index)

    def _unheard(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase == "sent" and state.member == index and state.doubts:
            yield state._replace(doubts=state.doubts - 1).change(index, txn=txn._replace(phase="doubt"))

    def _late(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase == "doubt":
            yield self._publish(state, index).change(index, txn=txn._replace(phase="asked"))

    def _fence_own(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase == "doubt":
            state = self._withdraw(state, index)
            txn = state.owners[index].txn
            yield state.change(index, txn=txn and txn._replace(phase="asked"))

    def _witness(self, state: State, index: int) -> Iterator[State]:
        owner = state.owners[index]
        if owner.txn and owner.txn.phase == "asked" and not state.blocked:
            if owner.txn.kind == "claim":
                yield state.change(index, stage="out", seen=Mark(), txn=None)
                return
            landed = state.mark.counter == self._mark(owner, index, owner.txn).counter
            yield (self._believe if landed != ("witness misread" in self._broken) else self._restore)(state, index)

    # --- ends -------------------------------------------------------------------------------------------------------

    def _expire(self, state: State, index: int) -> Iterator[State]:
        txn = state.owners[index].txn
        if txn and txn.phase != "asked" and index != LAST:
            yield self._gone(self._withdraw(state, index), index)

    def _evict(self, state: State, index: int) -> Iterator[State]:
        """Assign to the next owner. Of this one only a transaction is left whose offsets were sent: what it would
        send now, is refused.
        """
        if state.member == index != LAST:
            before = state.owners[index]
            if before.txn and before.txn.pending:
                left = Owner(stage="gone", seen=before.seen, txn=before.txn._replace(phase="sent"))
                yield state._replace(member=index + 1).change(index, **left._asdict())
            else:
                yield self._gone(self._withdraw(state, index), index)

    def _release(self, state: State, index: int) -> Iterator[State]:
        if self.free(state, index) and index != LAST:
            yield state.change(index, txn=Txn("release"))

    # --- how it comes about -----------------------------------------------------------------------------------------

    def _mark(self, owner: Owner, index: int, txn: Txn) -> Mark:
        epoch = owner.seen.epoch + (txn.kind == "claim")
        counter = owner.seen.counter if "counter not raised" in self._broken else 1 - owner.seen.counter
        return Mark(index, epoch, counter, txn.kind == "release", owner.seen.settled | txn.settles)

    def _publish(self, state: State, index: int) -> State:
        """Land: records, outcomes and mark become visible in one step."""
        owner = state.owners[index]
        assert owner.txn is not None
        if any(later.stage == "own" for later in state.owners[index + 1 :]):
            state = state._replace(fault=f"a transaction ({owner.txn.kind}) landed after the successor had begun")
        log = tuple(record._replace(writer=-1) if record.writer == index else record for record in state.log)
        if "offsets left out" not in self._broken or owner.txn.kind in ("claim", "release"):
            state = state._replace(mark=self._mark(owner, index, owner.txn))
        return self._role.published(state._replace(log=log), index, owner.txn)

    def _believe(self, state: State, index: int) -> State:
        owner = state.owners[index]
        assert owner.txn is not None
        mine = self._mark(owner, index, owner.txn)
        if owner.txn.kind == "claim":
            return state.change(index, stage="capture", seen=mine, txn=None)
        if owner.txn.kind == "release":
            return self._gone(state, index)
        return self._role.believed(state.change(index, seen=mine, txn=None), index, owner.txn)

    def _restore(self, state: State, index: int) -> State:
        txn = state.owners[index].txn
        assert txn is not None
        if txn.kind == "claim":
            return state.change(index, stage="out", seen=Mark(), txn=None)
        if txn.kind == "release":
            return self._gone(state, index)
        return self._role.restored(state.change(index, txn=None), index, txn)

    def _gone(self, state: State, index: int) -> State:
        """Drop everything; a group that still counted on this owner goes on to the next."""
        if state.member == index:
            state = state._replace(member=index + 1)
        return state._replace(owners=(*state.owners[:index], Owner(stage="gone"), *state.owners[index + 1 :]))

    def _withdraw(self, state: State, index: int) -> State:
        """Abort: what the open transaction appended was never there."""
        for at in reversed(range(len(state.log))):
            if state.log[at].writer == index:
                state = state._replace(
                    log=state.log[:at] + state.log[at + 1 :],
                    mark=state.mark._replace(settled=squeezed(state.mark.settled, at)),
                    owners=tuple(self._without(owner, at) for owner in state.owners),
                )
        return state

    def _without(self, owner: Owner, at: int) -> Owner:
        return owner._replace(
            seen=owner.seen._replace(settled=squeezed(owner.seen.settled, at)),
            end=owner.end - (owner.end > at),
            known=self._role.squeezed(owner.known, at) if owner.known else (),
            txn=owner.txn and owner.txn._replace(settles=squeezed(owner.txn.settles, at)),
        )
