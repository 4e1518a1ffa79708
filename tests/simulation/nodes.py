"""The processes of a history, and what people have them do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamsched.domain.routing import PLAIN, Place, allows
from streamsched.log.core import Connection
from streamsched.scheduler.evictor import Evictor
from streamsched.scheduler.node import Scheduler
from streamsched.testing.site import MemoryClient
from streamsched.worker.node import Worker
from tests.support.clients import Disk, Reader
from tests.support.clock import MachineClock

MODULE = "made.up"
"""The module of every handler."""
PROGRAM = "$ made-up"
"""Every program, as a worker allows it."""


class Crash(BaseException):
    """A process is gone, in the middle of whatever it did."""


@dataclass(eq=False)
class Node:
    """One process."""

    name: str
    role: str
    log: Connection
    clock: MachineClock
    machine: Scheduler | Worker | Reader | None = None
    evictor: Evictor | None = None
    disk: Disk | None = None
    timing: float = 1.0
    """How often it makes its step when it is its turn."""
    busy: bool = False
    """In the middle of a step: standing still there, while others go on."""
    dead: bool = False
    draining: bool = False
    modules: tuple[str, ...] | None = None
    """Of a worker: what it allows; None announces nothing and allows all."""
    place: Place = PLAIN
    """Of a worker: the queues that it serves, and its labels."""
    elsewhere: bool = False
    """Of a worker: whether it serves or has less than there is to serve or have."""
    fails_imports: bool = False
    """Of a worker: whether none of its executors can import a handler."""
    calls: int = 0
    """Of the log, where it is not a node but somebody's process."""
    hurt: int = 0
    """Faults that struck it."""

    @property
    def able(self) -> bool:
        """Whether it can run what there is to run; other nodes than workers can do what they are for."""
        return self.allowing and not self.elsewhere

    @property
    def allowing(self) -> bool:
        """Whether it allows the code of all there is to run, and can import it."""
        return not self.fails_imports and (self.modules is None or allows(self.modules, MODULE))


@dataclass(frozen=True)
class Action:
    """What somebody will do at a certain turn."""

    turn: int
    name: str
    act: Callable[[MemoryClient], None]
    repeated: bool
    """Whether it is done again by another process where this one does not come to its end."""
