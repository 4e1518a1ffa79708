"""Workers that gave children back are shunned for a while: announcements are old, and imports fail unannounced.

Each scheduler learns this from the journal. A worker is shunned for a requirement for 5 s, doubling to 5 min; then it
gets one child as a trial. The shun ends when the worker runs such a child or announces anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamsched.domain.routing import Requirement
from streamsched.runtime.backoff import Backoff

FIRST_S: Final = 5.0
LONGEST_S: Final = 300.0
TRIAL_S: Final = 5.0
"""Time before another trial, while the last one has no outcome."""


@dataclass(slots=True)
class _Shun:
    name: str
    until: float


class Shuns:
    """Which workers get nothing of which requirement, and until when (seconds of the monotonic clock)."""

    def __init__(self) -> None:
        self._waits = Backoff(FIRST_S, LONGEST_S)
        self._shuns: dict[Requirement, dict[str, _Shun]] = {}

    def __bool__(self) -> bool:
        return bool(self._shuns)

    def learn(self, requirement: Requirement, node_id: str, name: str, now: float) -> None:
        """Note that a worker gave back a child of this requirement."""
        _, until = self._waits.wait((requirement, node_id), now)
        known = self._shuns.setdefault(requirement, {}).setdefault(node_id, _Shun(name, until))
        known.until = max(known.until, until)

    def ran(self, requirement: Requirement, name: str) -> bool:
        """Note that the worker of this name ran a child of this requirement; return whether that was in doubt."""
        shunned = [node_id for node_id, shun in self._shuns.get(requirement, {}).items() if shun.name == name]
        for node_id in shunned:
            self._end(requirement, node_id)
        return bool(shunned)

    def forget(self, node_id: str) -> None:
        """Shun a worker no more: it announced anew, or has left."""
        for requirement in [requirement for requirement, shuns in self._shuns.items() if node_id in shuns]:
            self._end(requirement, node_id)

    def split(self, requirement: Requirement, nodes: frozenset[str], now: float) -> tuple[frozenset[str], ...]:
        """Return the workers that may have children of this requirement, and those of them that may have only one."""
        shuns = self._shuns.get(requirement, {})
        trial = frozenset(node_id for node_id in shuns if node_id in nodes and now >= shuns[node_id].until)
        return nodes - (shuns.keys() - trial), trial

    def tried(self, requirement: Requirement, node_id: str, now: float) -> None:
        """Note that a shunned worker was given a child to try."""
        self._shuns[requirement][node_id].until = now + TRIAL_S

    def until(self, requirement: Requirement, now: float) -> float:
        """Return when the next shunned worker may be tried."""
        shuns = self._shuns.get(requirement, {}).values()
        return min((shun.until for shun in shuns if shun.until > now), default=float("inf"))

    def _end(self, requirement: Requirement, node_id: str) -> None:
        self._waits.forget((requirement, node_id))
        del self._shuns[requirement][node_id]
        if not self._shuns[requirement]:
            del self._shuns[requirement]
