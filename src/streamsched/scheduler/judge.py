"""Who is dead: judged from the beats alone, in the order in which the log has them.

A node is silent when the judge has read at least four beats of its own, at their usual distance, since the other's
last one, and two seconds have passed. So a judge that was frozen, was cut off from the broker or lags behind accuses
nobody: its own beats come late as well, or all at once; and after an outage all have some time to find back. Never
more than one node, or a quarter of them, are evicted in the time of such a silence. One that comes back was no dead
one: next time it is given twice the time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.runtime.beats import INTERVAL, interval_of

SILENCE: Final = 2.0
"""Seconds without a beat after which a node is evicted."""
OWN_BEATS: Final = 4
"""Beats of its own that the judge must have read since the other's last one."""
EARLY: Final = INTERVAL / 2
"""A beat of its own that comes sooner than this after the last proves nothing: an extra one, or a backlog."""
LATE: Final = 2 * INTERVAL
"""One that comes later than this says that the judge itself was held up: all silence before it is void."""
FIND_BACK_S: Final = 1.0
"""More than the usual patience after the judge was held up for longer, as everybody is by an outage of the broker."""
SHARE: Final = 4
"""One node in so many may be evicted at once."""
DOUBLINGS: Final = 2
"""How often the patience with a node that comes back is doubled."""
REMEMBERED: Final = 1_000
"""Nodes that have left of which it is known, should they come back."""


@dataclass(slots=True)
class _Known:
    """The last beat of another node, when it was read, and how many of the judge's own were read since."""

    beat: NodeBeat
    heard: float
    own_since: int = 0


class Judge:
    """Hears all beats; ``me`` is the node whose own beats are the measure. Times are monotonic seconds."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._own_at = float("-inf")
        self._known: dict[str, _Known] = {}
        self._gone: dict[str, int] = {}
        """How often each node was taken off the list."""
        self._condemned: deque[float] = deque()

    def hear(self, node_id: str, beat: NodeBeat | None, now: float) -> list[NodeBeat]:
        """Take note of a beat that was read at ``now`` (None: the node is off the list); returns the nodes to evict."""
        if node_id == self._me:
            return self._own(now) if beat is not None else []
        if beat is not None:
            self._known[node_id] = _Known(beat, now)
        elif self._known.pop(node_id, None) is not None:
            self._gone[node_id] = self._gone.pop(node_id, 0) + 1
            while len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]
        return []

    def excuse(self, now: float) -> None:
        """Note that reading stood still until now for the judge's own work: it was not held up."""
        self._own_at = now

    def _own(self, now: float) -> list[NodeBeat]:
        since = now - self._own_at
        if since < EARLY:
            return []
        self._own_at = now
        if since > LATE:
            # Others may find back to the log somewhat later than the judge; its first beat of all says nothing of that.
            heard = now if since == float("inf") else now + min(FIND_BACK_S, since - LATE)
            for known in self._known.values():
                known.heard, known.own_since = heard, 0
            return []
        for known in self._known.values():
            known.own_since += 1
        silent = [known for known in self._known.values() if self._is_silent(known, now)]
        return [self._condemn(known, now) for known in silent[: self._room(now)]]

    def _is_silent(self, known: _Known, now: float) -> bool:
        patience = max(SILENCE, OWN_BEATS * interval_of(len(self._known) + 1))
        patience *= 2 ** min(self._gone.get(known.beat.node_id, 0), DOUBLINGS)
        return known.own_since >= OWN_BEATS and now - known.heard >= patience

    def _room(self, now: float) -> int:
        while self._condemned and now - self._condemned[0] >= SILENCE:
            self._condemned.popleft()
        return max(0, max(1, (len(self._known) + 1) // SHARE) - len(self._condemned))

    def _condemn(self, known: _Known, now: float) -> NodeBeat:
        # Judged anew if the eviction fails; if it does not, its evictor takes it off the list.
        known.heard, known.own_since = now, 0
        self._condemned.append(now)
        return known.beat
