"""Beats: each node tells on ``streamsched.workers`` that it is alive, what it owns and what it could take.

They come from the node's loop. While that waits for the log, as in a commit whose broker is just being replaced,
another thread may repeat the last one (``again``), with the age of the loop: a process that is frozen, cut off or dead
falls silent at once, a loop that hangs after a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final

from msgspec.structs import replace

from streamsched.domain.events import NodeBeat, RunningChild
from streamsched.domain.places import labels_of
from streamsched.domain.routing import PLAIN, Place
from streamsched.log.port import Log
from streamsched.runtime import metrics
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.version import __version__

INTERVAL: Final = 0.5
"""Seconds between the beats of a node, in all but very large clusters."""
TURN_LIMIT_S: Final = INTERVAL / 2
"""Seconds within which a loop that does not wait turns at least once."""
HANGING_AFTER_S: Final = 15.0
"""Seconds after which a loop that did not beat counts as hanging: what it may wait for has given up by then."""
MOST_BEATS_PER_S: Final = 500
"""Beats a second that all nodes together may send."""


def interval_of(nodes: float) -> float:
    """Return the seconds between the beats of one of so many nodes."""
    return max(INTERVAL, nodes / MOST_BEATS_PER_S)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node tells of itself."""

    state: str
    slots: int = 0
    free: int = 0
    pending: int = 0
    running: tuple[RunningChild, ...] = ()
    modules: tuple[str, ...] | None = None
    place: Place = PLAIN


class HeartbeatSender:
    """Sends the beats of one node: each half second, and at once when its partitions or its state change.

    ``partitions`` is how many the group shares out: a node's part of them tells how many nodes there are.
    """

    def __init__(
        self, *, log: Log, records: Records, me: Identity, role: str, ownership: Ownership, partitions: int
    ) -> None:
        self._log = log
        self._records = records
        self._me = me
        self._role = role
        self._ownership = ownership
        self._partitions = partitions
        self._next = 0.0
        self._last_loop = me.clock.monotonic()
        self._longest = 0.0
        """Seconds of the longest turn since the last beat."""
        self._sent: tuple[object, ...] = ()
        self._last: NodeBeat | None = None
        self._posting = Lock()
        self.membership = ("", "")
        """Who the node is to its group, as its last beat told: member id and transactional id."""

    @property
    def joined(self) -> bool:
        """Whether the node is in its group."""
        return self._ownership.joined

    @property
    def loop_age(self) -> float:
        """Seconds since the last sign of life of the loop, which a wait for the log gives too; any thread may ask."""
        return self._me.clock.monotonic() - self._last_loop

    @property
    def idle(self) -> str:
        """Why the node owns nothing; empty where it owns something."""
        return self._ownership.idle

    def until_due(self) -> float:
        """Return how many seconds there are until the next beat."""
        return max(0.0, self._next - self._me.clock.monotonic())

    def beat(self, status: Callable[[], NodeStatus], state: str) -> None:
        """Send a beat if it is time; call it once in each loop."""
        now = self._me.clock.monotonic()
        age, self._last_loop = now - self._last_loop, now
        if age > self._longest:
            self._longest = age
        joined = self._ownership.joined
        # While it joins, its name in the group is news: who dies then is to be evicted as well.
        news = (state, joined or self._ownership.member_id, {*self._ownership.claims})
        if now < self._next and news == self._sent:
            return
        owned = len(self._ownership.claims)
        self._next = now + interval_of(self._partitions / owned if owned else 1)
        self._sent = news
        metrics.TURN_SECONDS.observe(self._longest, self._role)
        self._longest = 0.0
        current = status()
        self.membership = (self._ownership.member_id, self._ownership.transactional_id)
        event = self._me.sign(
            NodeBeat,
            node_id=self._me.node_id,
            name=self._me.name,
            role=self._role,
            version=__version__,
            state=current.state,
            member_id=self.membership[0],
            transactional_id=self.membership[1],
            slots=current.slots,
            free=current.free,
            pending=current.pending,
            partitions=tuple(sorted(self._ownership.claims)),
            running=current.running,
            loop_age=round(age * 1000),
            modules=current.modules,
            queues=current.place.queues,
            labels=labels_of(current.place.labels),
        )
        with self._posting:
            self._last = event
            self._log.post(self._records.beat(event, self._me.node_id))

    def again(self) -> None:
        """Repeat the last beat for a loop that waits, but not for one that hangs; call it from another thread."""
        with self._posting:
            now = self._me.clock.monotonic()
            age = now - self._last_loop
            if self._last is None or now < self._next or not TURN_LIMIT_S < age <= HANGING_AFTER_S:
                return
            self._next = now + INTERVAL
            repeated = replace(self._last, at=self._me.clock.now(), loop_age=round(age * 1000))
            self._log.post(self._records.beat(repeated, self._me.node_id))

    def repeat(self, stop: Event) -> None:
        """Call ``again`` until ``stop`` is set (a service)."""
        while not stop.wait(INTERVAL / 2):
            self.again()

    def stop(self) -> None:
        """Take the node off the list, for good."""
        with self._posting:
            self._last = None
            self._log.post(self._records.beat(None, self._me.node_id))
