"""What schedulers learn of workers that gave children back: announcements are old, and an import fails unannounced.

Soft state of each scheduler, from the journal that all of them fold. A worker is shunned for a requirement for 5 s,
doubling to 5 min; then it gets one child to show whether it can by now. What it runs, or announces anew, ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamsched.domain.routing import Requirement
from streamsched.runtime.backoff import Backoff

FIRST_S: Final = 5.0
LONGEST_S: Final = 300.0
TRIAL_S: Final = 5.0
"""Seconds before another child is tried where the last one has told nothing yet."""


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
        """Note that the worker of this name ran a child of this requirement; tells whether that was in doubt."""
        shunned = [node_id for node_id, shun in self._shuns.get(requirement, {}).items() if shun.name == name]
        for node_id in shunned:
            self._end(requirement, node_id)
        return bool(shunned)

    def forget(self, node_id: str) -> None:
        """Believe what a worker announces from now on; or it has left."""
        for requirement in [requirement for requirement, shuns in self._shuns.items() if node_id in shuns]:
            self._end(requirement, node_id)

    def split(self, requirement: Requirement, nodes: frozenset[str], now: float) -> tuple[frozenset[str], ...]:
        """Tell which of the workers may be given children of this requirement, and which of those only one."""
        shuns = self._shuns.get(requirement, {})
        trial = frozenset(node_id for node_id in shuns if node_id in nodes and now >= shuns[node_id].until)
        return nodes - (shuns.keys() - trial), trial

    def tried(self, requirement: Requirement, node_id: str, now: float) -> None:
        """Note that a shunned worker was given a child to try."""
        self._shuns[requirement][node_id].until = now + TRIAL_S

    def until(self, requirement: Requirement, now: float) -> float:
        """Tell when the next worker may be tried that may not be tried now."""
        shuns = self._shuns.get(requirement, {}).values()
        return min((shun.until for shun in shuns if shun.until > now), default=float("inf"))

    def _end(self, requirement: Requirement, node_id: str) -> None:
        self._waits.forget((requirement, node_id))
        del self._shuns[requirement][node_id]
        if not self._shuns[requirement]:
            del self._shuns[requirement]
