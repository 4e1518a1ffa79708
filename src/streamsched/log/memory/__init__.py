"""A log in memory: deterministic, for simulations and for users' own tests."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamsched.log.core import SESSION_TIMEOUT_MS, TAIL_BYTES, TRANSACTION_TIMEOUT_MS, Cluster, Connection, Faults
from streamsched.log.core.store import CLUSTER_KEY
from streamsched.log.memory.store import DictStore

__all__ = ["MemoryCluster", "MemoryLog"]


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class MemoryCluster(Cluster):
    """A log in memory that several clients share, each as if it were its own process; arguments as ``Cluster``.

    A client dies by being dropped: its members and its open transaction time out, unless they are evicted and fenced.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = _wall_clock,
        faults: Faults | None = None,
        cluster_id: str = "memory",
        session_timeout: int = SESSION_TIMEOUT_MS,
        transaction_timeout: int = TRANSACTION_TIMEOUT_MS,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        store = DictStore()
        store.write([(CLUSTER_KEY, cluster_id.encode())])
        super().__init__(
            store,
            clock=clock,
            faults=faults,
            session_timeout=session_timeout,
            transaction_timeout=transaction_timeout,
            tail_bytes=tail_bytes,
        )
        self._clients = 0

    def connect(self, client: str = "") -> Connection:
        """Open one client's connection; its name is in its member ids and in what ``faults`` is told."""
        self._clients += 1
        return Connection(self, client or f"client-{self._clients}")


class MemoryLog(Connection):
    """A log in memory for one client: ``MemoryLog()`` is all that most tests need."""

    def __init__(self, *, clock: Callable[[], int] = _wall_clock, faults: Faults | None = None) -> None:
        self.cluster = MemoryCluster(clock=clock, faults=faults)
        super().__init__(self.cluster, "client")
