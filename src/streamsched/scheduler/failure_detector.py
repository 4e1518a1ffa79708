"""Which nodes are dead: judged from the beats alone, in the order in which the log has them.

A node is silent when the detector has read at least four beats of its own, at their usual distance, since the other's
last one, and two seconds have passed. It is looked at with each own beat, and between two as soon as the seconds are
over, unless the next own beat is late. So a detector that was frozen, cut off from the broker or lags behind suspects
no node: its own beats come late as well, or all at once. After an outage every node has some time to find back. In the
time of one silence never more than one node, or half of them, are evicted: if most are silent, something may hold them
up that does not hold up the detector. A node that comes back was not dead: next time it is given twice the time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.runtime.beats import INTERVAL, interval_of

SILENCE_S: Final = 2.0
"""Silence after which a node is evicted."""
OWN_BEATS: Final = 4
"""Beats of its own that the detector must have read since the other's last one."""
FRESH_S: Final = 1.2 * INTERVAL
"""Its own last beat may be so old when a node is suspected; else the detector itself may be held up."""
EARLY_S: Final = INTERVAL / 2
"""A beat of its own that comes sooner than this after the last proves nothing: an extra one, or a backlog."""
LATE_S: Final = 2 * INTERVAL
"""One that comes later than this shows that the detector itself was held up: all silence before it is void."""
FIND_BACK_S: Final = 1.0
"""Added to the usual silence after the detector was held up for longer: an outage of the broker holds up all nodes."""
SHARE: Final = 2
"""One node in so many may be evicted at once."""
DOUBLINGS: Final = 2
"""How often the silence allowed to a node that comes back is doubled."""
REMEMBERED: Final = 1_000
"""Nodes that have left and are remembered, in case they come back."""


@dataclass(slots=True)
class _Known:
    """The last beat of another node, when it was read, and how many of the detector's own were read since."""

    beat: NodeBeat
    heard: float
    own_since: int = 0


class FailureDetector:
    """Takes in all beats; ``me`` is the node whose own beats are the measure. Times are monotonic seconds."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._own_at = -inf
        self._look_at = inf
        """From when on a node may have been silent for long enough; finite only from one own beat to the next."""
        self._known: dict[str, _Known] = {}
        self._gone: dict[str, int] = {}
        """How often each node was taken off the list."""
        self._suspected: deque[tuple[float, str]] = deque()
        """The nodes that were returned within the last silence, and when."""

    def on_beat(self, node_id: str, beat: NodeBeat | None, now: float) -> None:
        """Note a beat that was read at ``now``; None: the node is off the list."""
        if node_id == self._me:
            if beat is not None:
                self._own(now)
        elif beat is not None:
            self._known[node_id] = _Known(beat, now)
        elif self._known.pop(node_id, None) is not None:
            self._gone[node_id] = self._gone.pop(node_id, 0) + 1
            while len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]

    def suspects(self, now: float) -> list[NodeBeat]:
        """Return the nodes to evict, after all beats were noted that were there at ``now``."""
        if self.wait(now) > 0:
            return []
        silent: list[_Known] = []
        self._look_at = inf
        for known in self._known.values():
            if known.own_since >= OWN_BEATS:
                over = known.heard + self._allowed(known)
                if over <= now:
                    silent.append(known)
                else:
                    self._look_at = min(self._look_at, over)
        return [self._suspect(known, now) for known in silent[: self._room(now)]]

    def wait(self, now: float) -> float:
        """Return the seconds after which ``suspects`` is to be asked though no beat came; infinite without any."""
        return max(0.0, self._look_at - now) if now - self._own_at <= FRESH_S else inf

    def excuse(self, now: float) -> None:
        """Note that reading stood still until now for the detector's own work: it was not held up."""
        self._own_at = now
        self._look_at = inf  # its beats of meanwhile are not read yet

    def _own(self, now: float) -> None:
        since = now - self._own_at
        if since < EARLY_S:
            return
        self._own_at = now
        if since > LATE_S:
            # Others may find back to the log somewhat later. The detector's first beat of all shows no outage.
            heard = now if since == inf else now + min(FIND_BACK_S, since - LATE_S)
            for known in self._known.values():
                known.heard, known.own_since = heard, 0
            self._look_at = inf
            return
        for known in self._known.values():
            known.own_since += 1
        self._look_at = now

    def _allowed(self, known: _Known) -> float:
        """Return the seconds of silence after which a node is suspected."""
        usual = max(SILENCE_S, OWN_BEATS * interval_of(len(self._known) + 1))
        return float(usual * 2 ** min(self._gone.get(known.beat.node_id, 0), DOUBLINGS))

    def _room(self, now: float) -> int:
        while self._suspected and now - self._suspected[0][0] >= SILENCE_S:
            self._suspected.popleft()
        nodes = {self._me, *self._known, *(node_id for _, node_id in self._suspected)}  # some are off the list by now
        return max(0, max(1, len(nodes) // SHARE) - len(self._suspected))

    def _suspect(self, known: _Known, now: float) -> NodeBeat:
        # Judged anew if the eviction fails; otherwise the evictor takes the node off the list.
        known.heard, known.own_since = now, 0
        self._suspected.append((now, known.beat.node_id))
        return known.beat
