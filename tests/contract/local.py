"""The harness of the two logs that live in this process: memory and embedded, on a virtual clock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamsched.log.adapter import LogAdapter
from streamsched.log.core import Connection
from streamsched.log.embedded import EmbeddedLog
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, Committed, Member, OutcomeUnknown, TopicPartition
from tests.support.log_harness import Hanging, Harness, RemoteMember

SESSION_MS = 10_000
TRANSACTION_MS = 10_000
WAIT = 30.0


class Abandoned(BaseException):
    """The process of a hanging transaction ends without ever going on."""


class Hooks:
    """Calls, at a step of one thread, what was set for that thread and step."""

    def __init__(self) -> None:
        self._set: dict[tuple[int, str], Callable[[], None]] = {}

    def at(self, step: str, client: str) -> None:
        hook = self._set.pop((threading.get_ident(), step), None)
        if hook is not None:
            hook()

    def once(self, step: str, hook: Callable[[], None]) -> None:
        self._set[threading.get_ident(), step] = hook


class HangingCommit:
    """A commit in a thread of its own, stopped before its end; the threads never run at the same time."""

    def __init__(self, hooks: Hooks, commit: Callable[[], object]) -> None:
        self._commit = commit
        self._hooks = hooks
        self._stopped = threading.Event()
        self._resumed = threading.Event()
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._stopped.wait(WAIT)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        self._hooks.once("commit.before_end", self._stop)
        try:
            self._commit()
        except BaseException as error:
            self._error = error
        self._stopped.set()

    def _stop(self) -> None:
        self._stopped.set()
        assert self._resumed.wait(WAIT * 10)
        if self._abandoned:
            raise Abandoned

    def commit(self) -> None:
        self._resumed.set()
        self._thread.join(WAIT)
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        self._abandoned = True
        self._resumed.set()
        self._thread.join(WAIT)


class LocalMember:
    """A member with a connection of its own, which dies by not being polled any more."""

    def __init__(self, log: LogAdapter, group: str, topic: str) -> None:
        self._member = log.member(group, topic, self)
        self._alive = True
        self.partitions: set[int] = set()

    @property
    def member_id(self) -> str:
        return self._member.member_id

    def serve(self) -> None:
        if self._alive:
            self._member.poll()

    def kill(self) -> None:
        self._alive = False

    def on_assigned(self, partitions: Collection[int]) -> None:
        self.partitions.update(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        self.partitions.difference_update(partitions)

    def on_lost(self, partitions: Collection[int]) -> None:
        self.partitions.difference_update(partitions)


class LocalHarness:
    """One log in this process, and the clock that it is given."""

    session_timeout = SESSION_MS / 1000
    transaction_timeout = TRANSACTION_MS / 1000

    def __init__(self) -> None:
        self.hooks = Hooks()
        self.open: Callable[[str], Connection]
        self._now = 1_700_000_000_000.0
        self._names = itertools.count()
        self._hanging: list[HangingCommit] = []

    def clock(self) -> int:
        return int(self._now)

    def connect(self) -> LogAdapter:
        return self.open(self.name("client"))

    def name(self, stem: str) -> str:
        return f"{stem}-{next(self._names)}"

    def remote_member(self, group: str, topic: str) -> RemoteMember:
        return LocalMember(self.connect(), group, topic)

    def leave_open(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
    ) -> Hanging:
        writer = log.writer(transactional_id)
        hanging = HangingCommit(self.hooks, lambda: writer.commit(appends, positions, member))
        self._hanging.append(hanging)
        return hanging

    def commit_unknown(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
        *,
        landed: bool,
    ) -> None:
        def lose_the_answer() -> None:
            raise OutcomeUnknown(f"no answer to the commit of {transactional_id}")

        self.hooks.once("commit.after_end" if landed else "commit.before_end", lose_the_answer)
        log.writer(transactional_id).commit(appends, positions, member)

    def pass_time(self, seconds: float) -> None:
        self._now += seconds * 1000

    def close(self) -> None:
        for hanging in self._hanging:
            hanging.abandon()


@contextmanager
def open_memory(folder: Path) -> Iterator[Harness]:
    harness = LocalHarness()
    cluster = MemoryCluster(
        clock=harness.clock,
        faults=harness.hooks,
        session_timeout=SESSION_MS,
        transaction_timeout=TRANSACTION_MS,
    )
    harness.open = cluster.connect
    yield harness
    harness.close()


@contextmanager
def open_embedded(folder: Path) -> Iterator[Harness]:
    harness = LocalHarness()
    log = EmbeddedLog(
        folder / "log",
        clock=harness.clock,
        faults=harness.hooks,
        session_timeout=SESSION_MS,
        transaction_timeout=TRANSACTION_MS,
    )
    harness.open = log.connect
    yield harness
    harness.close()
    log.close()
