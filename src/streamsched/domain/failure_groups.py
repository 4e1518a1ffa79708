"""The failures of a task by their causes: at most ``MOST`` groups, in the journal's order, and one for all others."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MOST: Final = 200
"""Groups of a task, beside ``OTHER``."""
OTHER: Final = "other"
"""The group of failures that came when there were as many groups as there may be."""
KEY_LIMIT: Final = 64
TYPE_LIMIT: Final = 100
MESSAGE_LIMIT: Final = 200
"""Characters."""
SAMPLES: Final = 5


class FailureGroup(Struct, array_like=True, gc=False):
    """Failures with one fingerprint. Times in milliseconds since the epoch; type and message are those of the first."""

    error_type: str
    message: str
    first_at: int
    last_at: int
    attempts: int = 0
    """Attempts that failed in this way."""
    ended: int = 0
    """Children that have failed for good in this way, and were not dispatched since."""
    children: list[int] = []
    """The first ``SAMPLES`` children of it."""


class FailureGroups(dict[str, FailureGroup]):
    """The groups of a task, by their fingerprints; failures without one are grouped by their error type."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        super().__init__()
        self.changed = False
        """Whether a view has to store them."""

    def add(self, key: str, child: int, at: int, *, error_type: str, message: str) -> str:
        """Count a failed attempt of a child, and return in which group."""
        key = (key or error_type or OTHER)[:KEY_LIMIT]
        if key not in self and len(self) >= MOST:
            key, error_type, message = OTHER, "", ""
        group = self.get(key)
        if group is None:
            group = self[key] = FailureGroup(error_type[:TYPE_LIMIT], message[:MESSAGE_LIMIT], at, at)
        group.attempts += 1
        group.first_at, group.last_at = min(group.first_at, at), max(group.last_at, at)
        if len(group.children) < SAMPLES and child not in group.children:
            group.children.append(child)
        self.changed = True
        return key

    def end(self, key: str | None, count: int) -> None:
        """Count children that have failed for good in a group; below 0 those that are redriven."""
        group = self.get(key or "")
        if group is not None:
            group.ended += count
            self.changed = True
