"""The context of a handler that runs in this process, and the points at which a test has it die."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from streamsched.worker.context import ChildContext, LocalTransport

T = TypeVar("T")
Where = Literal["start", "checkpoint", "end"]
_WHERES: Final = get_args(Where)


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where a child dies. ``crash_after`` makes it."""

    where: Where
    number: int = 1

    def __str__(self) -> str:
        return f"checkpoint {self.number}" if self.where == "checkpoint" else f"its {self.where}"


def crash_after(where: Where, number: int = 1) -> CrashPoint:
    """Say where a child is to die.

    ``start``: before its first line. ``checkpoint``: right after the attempt's checkpoint of this number, from 1.
    ``end``: after it returned, before that was written. Each element of ``ctx.resume`` that is finished counts as a
    checkpoint, for on a worker any of them may be one; with ``every=n``, each n-th.
    """
    if where not in _WHERES:
        raise ValueError(f"crash_after({where!r}): give one of {', '.join(map(repr, _WHERES))}")
    if number < 1 or (number > 1 and where != "checkpoint"):
        raise ValueError(f"crash_after({where!r}, {number}): checkpoints are counted from 1, and there is one {where}")
    return CrashPoint(where, number)


class ChildDied(BaseException):
    """Raised inside a handler where it dies. Not an ``Exception``, so that handlers do not catch it.

    ``finally`` and ``with`` still run, which in a process that is killed they would not.
    """


class LocalContext(ChildContext):
    """A context whose ``resume`` takes a checkpoint after each element, not ten times a second."""

    __slots__ = ()

    def _steps(self, iterable: Iterable[T], done: int, every: int | None) -> Iterator[T]:
        return super()._steps(iterable, done, every or 1)


class ObservedTransport(LocalTransport, ABC):
    """The transport of one attempt at a child: it sees each checkpoint when it is taken, and lets the child die."""

    def __init__(self, crash: CrashPoint | None) -> None:
        super().__init__()
        self.context: ChildContext
        self.progresses: list[tuple[float, float]] = []
        """How far the child said that it is, in order: done and total."""
        self.died = False
        self.missed = crash
        """Where it is to die, and has not come to."""
        self._checkpoints = 0

    def heartbeat(self) -> None:
        """Look whether there is a new checkpoint: taking one is a heartbeat too."""
        self.live()
        found = self.context.unsaved()
        if found is not None:
            self._checkpoints += 1
            self.checkpointed(*found)
            self.reach("checkpoint", self._checkpoints)

    def progress(self, done: float, total: float) -> None:
        """Keep how far the child is."""
        self.live()
        self.progresses.append((done, total))

    async def until(self, number: int) -> None:
        """Wait as a plain handler does: nothing runs beside an async one."""
        self.wait(number)

    def reach(self, where: Where, number: int = 1) -> None:
        """Die, if this is the point. Raise ChildDied."""
        if self.missed == CrashPoint(where, number):
            self.died, self.missed = True, None
            self.dying()
        self.live()

    def dying(self) -> None:
        """Do what a death does before ChildDied is raised."""

    def live(self) -> None:
        """Raise ChildDied in what has died: it does nothing any more."""
        if self.died:
            raise ChildDied

    @abstractmethod
    def checkpointed(self, state: str, number: int, covered: int) -> None:
        """Take a checkpoint: JSON, its number, and how many emitted records it covers."""


def context_of(transport: ObservedTransport, kind: type[ChildContext] = LocalContext, **fields: Any) -> ChildContext:
    """Make the context of a child that reports to ``transport``; ``fields`` are those of ``ChildContext``."""
    transport.context = context = kind(transport, **fields)
    return context
