"""Records out: one child whose handler emits record p and then counts it, three of them, in every order of events.

Records travel on the link by themselves; a checkpoint says how many it covers. The worker keeps what is not durable in
the real ``Unsaved``. A transaction holds a state, or an outcome, and the records that it covers; its commit lands,
aborts, or is unknown. Executor and worker die at any step, a job may start again on the same worker, its record in the
work log may be renewed. What is published is 0 to k-1, in order, once, where k is the durable state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
from msgspec.structs import replace

from streamsched.worker.jobs import Emitted, JobCompleted
from streamsched.worker.progress import NOTHING, Unsaved
from tests.model.explore import Explored, Model, explore

RECORDS: Final = 3
COMPLETED: Final = JobCompleted(key=1, started_at=1, finished_at=1, result=None, state=str(RECORDS))


class Budget(NamedTuple):
    """What may still happen."""

    executor_dies: int = 1
    worker_dies: int = 1
    unheard: int = 1
    fails: int = 1
    again: int = 1
    renewed: int = 1


class Executor(NamedTuple):
    """An attempt: where it began, how far it emitted and sent, and its checkpoint."""

    start: int
    at: int
    sent: int
    told: int


class Said(NamedTuple):
    """What is on the link: a record, a checkpoint, or an ending with what it covers."""

    what: str
    state: int = -1
    covered: int = 0


class Holder(NamedTuple):
    """A worker, and the child as it has it."""

    durable: int
    unsaved: Unsaved = NOTHING
    ending: str = ""


class State(NamedTuple):
    """The log, an executor, the link between them, a worker."""

    published: tuple[int, ...] = ()
    durable: int = 0
    done: bool = False
    executor: Executor | None = Executor(0, 0, 0, 0)
    link: tuple[Said, ...] = ()
    worker: Holder = Holder(0)
    budget: Budget = Budget()

    def spent(self, what: str, **changed: object) -> State:
        left = self.budget._replace(**{what: getattr(self.budget, what) - 1})
        return self._replace(budget=left, **changed)  # type: ignore[arg-type]

    def claimed(self) -> State:
        """Return what another owner begins with."""
        began = None if self.done else Executor(*[self.durable] * 4)
        return self._replace(executor=began, link=(), worker=Holder(self.durable))


class Emits:
    """The actions; rules in ``broken`` are left out."""

    def __init__(self, broken: str = "") -> None:
        self._broken = broken

    def handler(self, state: State) -> Iterator[State]:
        """Let the handler emit, checkpoint, and end in each way; and its link thread send."""
        executor = state.executor
        if executor is None or state.worker.ending:
            return
        start, at, sent, told = executor
        if at < RECORDS:
            yield state._replace(executor=executor._replace(at=at + 1))
        if at > told:
            yield state._replace(executor=executor._replace(told=at))
        if at > sent and len(state.link) < 4:
            yield state._replace(executor=executor._replace(sent=at), link=state.link + _records(sent, at))
        latest = Said("checkpoint", told, told - start)
        if told > start and latest not in state.link and len(state.link) < 4:
            news = (*_records(sent, told), latest)
            yield state._replace(executor=executor._replace(sent=max(sent, told)), link=state.link + news)
            if self._broken == "state and covered torn" and at > told:
                torn = (*_records(sent, at), Said("checkpoint", told, at - start))
                yield state._replace(executor=executor._replace(sent=at), link=state.link + torn)
        yield from self._ends(state, executor)

    def _ends(self, state: State, executor: Executor) -> Iterator[State]:
        start, at, sent, told = executor
        covered = (told, told - start) if told > start else (-1, 0)
        rest = state.link + _records(sent, at)
        if at == RECORDS:
            yield state._replace(executor=None, link=(*rest, Said("completed")))
            if self._broken == "ending before records":
                yield state._replace(executor=None, link=(*state.link, Said("completed")))
        if state.budget.fails:
            yield state.spent("fails", executor=None, link=(*rest, Said("failed", *covered)))
            if at < RECORDS:  # inside an element that has emitted already: resume() counts what was finished before
                number = at + 1 - start if self._broken == "open element covered" else at - start
                inside = (
                    *state.link,
                    *_records(sent, at + 1),
                    Said("failed", *((at, number) if at > start else (-1, 0))),
                )
                yield state.spent("fails", executor=None, link=inside)
        if state.budget.again:
            yield state.spent("again", executor=None, link=(*rest, Said("again", *covered)))
        if state.budget.executor_dies:
            for how in ("failed", "again"):  # its obituary, or it came back
                yield state.spent("executor_dies", executor=None, link=(*state.link, Said(how)))

    def hears(self, state: State) -> Iterator[State]:
        """Let the worker hear all there is; the pool keeps only the last checkpoint."""
        if not state.link:
            return
        checkpoints = [place for place, said in enumerate(state.link) if said.what == "checkpoint"]
        worker, executor = state.worker, state.executor
        for place, said in enumerate(state.link):
            unsaved = worker.unsaved
            if said.what == "record":
                unsaved = unsaved.emitted((Emitted("out", said.state, None, None),))
            elif said.what == "checkpoint":
                if place == checkpoints[-1]:
                    unsaved = self._told(unsaved, said)
            elif said.what == "completed":
                if self._broken != "completion forgets the tail":
                    unsaved = unsaved.ended(COMPLETED)
                worker = worker._replace(ending="completed")
            else:
                if said.state >= 0:
                    unsaved = self._told(unsaved, said)
                if said.what == "failed":
                    worker = worker._replace(ending="failed")
                else:
                    begin = worker.durable if unsaved.state is None else int(unsaved.state)
                    unsaved, executor = self._again(unsaved), Executor(*[begin] * 4)
            worker = worker._replace(unsaved=unsaved)
        yield state._replace(link=(), worker=worker, executor=executor)

    def _told(self, unsaved: Unsaved, said: Said) -> Unsaved:
        told = unsaved.told(str(said.state), 0, False, said.covered)
        return replace(told, covered=said.covered) if self._broken == "base forgotten" else told

    def _again(self, unsaved: Unsaved) -> Unsaved:
        if self._broken == "again keeps all":
            return replace(unsaved, base=len(unsaved.records))
        return NOTHING if self._broken == "again drops all" else unsaved.again()

    def writes(self, state: State) -> Iterator[State]:
        """Let the worker write a checkpoint or an outcome, or renew its record, or die."""
        durable, unsaved, ending = state.worker
        latest = durable if unsaved.state is None else int(unsaved.state)
        covered = [record.partition for record in unsaved.records[: max(0, unsaved.covered)]]
        if not ending and unsaved.state is not None:
            after = state._replace(worker=Holder(latest, unsaved.saved()))
            yield from self._commit(state, after, latest, covered)
        elif ending == "completed":
            after = state._replace(worker=Holder(RECORDS), executor=None)
            yield from self._commit(state, after, RECORDS, covered, done=True)
        elif ending == "failed":
            if self._broken == "failure publishes all":
                covered = [record.partition for record in unsaved.records]
            elif self._broken == "outcome without its records":
                covered = []
            after = state._replace(worker=Holder(latest), executor=Executor(*[latest] * 4))
            yield from self._commit(state, after, latest, covered)
        if not ending and state.budget.renewed:
            if self._broken == "renewal with told state" and unsaved.state is not None:
                renewed = state._replace(durable=latest, worker=Holder(latest, Unsaved(records=unsaved.records)))
                yield renewed.spent("renewed")
            if self._broken == "repair fences nobody" and unsaved.state is not None:
                published = (*state.published, *covered)
                yield state.spent("renewed", published=published).claimed()
            yield state.spent("renewed")
        if state.budget.worker_dies:
            yield state.spent("worker_dies").claimed()

    def _commit(
        self, state: State, after: State, durable: int, covered: list[int], *, done: bool = False
    ) -> Iterator[State]:
        written = {"published": (*state.published, *covered), "durable": durable, "done": done}
        yield after._replace(**written)  # type: ignore[arg-type]
        if state.budget.unheard:
            yield state.spent("unheard")  # aborted, or the witness says so
            if self._broken == "unknown taken as landed":
                yield after.spent("unheard")
            if self._broken == "unknown taken as aborted":
                yield state.spent("unheard", **written)
            yield state.spent("unheard").claimed()  # nobody can tell, and it did not land
            yield state.spent("unheard", **written).claimed()


def _records(first: int, end: int) -> tuple[Said, ...]:
    return tuple(Said("record", number) for number in range(first, end))


def fault(state: State) -> str:
    once = state.published == tuple(range(len(state.published)))
    if not once or len(state.published) != state.durable or (state.done and state.durable != RECORDS):
        return f"published {state.published} at state {state.durable}"
    return ""


def explored(broken: str = "", budget: Budget = Budget()) -> Explored:  # noqa: B008 - it never changes
    emits = Emits(broken)
    return explore(
        Model(
            initial=State(budget=budget),
            actors=[{"handler": emits.handler, "the worker hears": emits.hears, "the worker writes": emits.writes}],
            active=lambda state: () if state.done else (0,),
            fault=fault,
            done=lambda state: state.done,
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_emit_explored_in_full() -> None:
    found = explored()
    assert not found.fault, found.story
    assert found.states > 50_000


def test_emit_with_one_attempt_more() -> None:
    found = explored(budget=Budget(worker_dies=0, renewed=0, executor_dies=0))
    assert not found.fault, found.story


@pytest.mark.parametrize(
    "rule",
    [
        "state and covered torn", "ending before records", "open element covered", "completion forgets the tail",
        "again keeps all", "again drops all", "base forgotten", "failure publishes all", "outcome without its records",
        "unknown taken as landed", "unknown taken as aborted", "renewal with told state", "repair fences nobody",
    ],
)  # fmt: skip
def test_no_rule_can_be_left_out(rule: str) -> None:
    assert "published" in explored(rule).fault
