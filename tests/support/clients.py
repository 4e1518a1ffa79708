"""Clients and followers: the real ``Client``, over the memory log and a disk that outlives its process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final, cast

from streamsched.client import Client
from streamsched.domain.errors import NoSuchTask
from streamsched.installation.session import Session
from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.topics import Topics
from streamsched.queries.status import TaskStatus
from streamsched.reach.direct import Direct
from streamsched.runtime.identity import Identity
from streamsched.testing.site import MemoryClient, MemorySite
from streamsched.view.store import MemoryStore


def session_of(client: Client) -> Session:
    """Return the session of a client that has the log itself."""
    direct = client._reach
    assert isinstance(direct, Direct)
    return direct.session


DONE: Final = ("succeeded", "failed", "cancelled", "refused")


class Disk(MemoryStore):
    """A view's rows: they outlive their process, and can lose their latest writes, or all."""

    def __init__(self) -> None:
        super().__init__()
        self._undo: list[dict[bytes, bytes | None]] = []

    def write(self, rows: object) -> None:
        wanted = cast("dict[bytes, bytes | None]", rows)
        self._undo.append({key: self._rows.get(key) for key in wanted})
        super().write(wanted)

    def forget(self, writes: int) -> None:
        """Lose the latest writes."""
        for _ in range(min(writes, len(self._undo))):
            super().write(self._undo.pop())

    @property
    def writes(self) -> int:
        """Count the writes that can be lost."""
        return len(self._undo)

    def rows(self) -> dict[bytes, bytes]:
        """Return all rows but the positions: they differ by the way that led to them."""
        return {key: value for key, value in self._rows.items() if key[:1] != b"p"}

    def positions(self) -> dict[int, int]:
        """Return up to where each partition of the journal was folded."""
        return {int.from_bytes(key[1:]): int.from_bytes(value) for key, value in self._rows.items() if key[:1] == b"p"}

    def close(self) -> bool:
        """Keep everything."""
        return True


class Site(MemorySite):
    """An installation whose views are on a disk that outlives their process."""

    def __init__(
        self,
        log: Connection,
        topics: Topics,
        codec: Codec,
        me: Identity,
        disk: Disk,
        pause: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        super().__init__(log=log, topics=topics, codec=codec, me=me, pause=pause, rows=lambda: disk)


class Reader:
    """A process that looks now and then, as ``status`` and ``watch`` do; what it sees must make sense."""

    def __init__(self, site: Site, rng: Random) -> None:
        self.client = MemoryClient(site)
        self._rng = rng
        self._seen: dict[str, TaskStatus] = {}
        self._following: Iterator[TaskStatus] | None = None
        self.faults: list[str] = []
        self.done: list[TaskStatus] = []
        """The tasks that it saw done, as it first saw them so."""

    def step(self, tasks: list[str]) -> None:
        """Look once."""
        if self._following is not None:
            status = next(self._following, None)
            if status is None:
                self._following = None
            else:
                self._see(status)
        elif tasks and self._rng.random() < 0.5:
            self._following = self._follow(self._rng.choice(tasks))
        else:
            for status in self.client.tasks():
                self._see(status)

    def _follow(self, task_id: str) -> Iterator[TaskStatus]:
        try:
            yield from self.client.follow(task_id)
        except NoSuchTask:
            return

    def _see(self, status: TaskStatus) -> None:
        before = self._seen.get(status.task_id)
        self._seen[status.task_id] = status
        counts = status.children
        parts = (counts.waiting, counts.queued, counts.running, counts.succeeded, counts.failed, counts.cancelled)
        if sum(parts) != counts.total or min(parts) < 0:
            self.faults.append(f"a reader saw {status}, which does not add up")
        if before is not None and before.redrive > status.redrive:
            self.faults.append(f"a reader saw {status.task_id} go from redrive {before.redrive} to {status.redrive}")
        same = before is not None and before.redrive == status.redrive
        if before is not None and same and before.done:
            if _ending(before) != _ending(status):
                self.faults.append(f"a reader saw {status.task_id} go from {before} to {status}")
        elif status.done:
            self.done.append(status)
        if status.done and status.state != "refused" and counts.waiting + counts.queued + counts.running:
            self.faults.append(f"a reader saw {status}: done, with children that are not")


def _ending(status: TaskStatus) -> tuple[object, ...]:
    """Return what a redrive alone changes once a task is done."""
    return status.state, status.reason, status.started_at, status.finished_at, status.children
