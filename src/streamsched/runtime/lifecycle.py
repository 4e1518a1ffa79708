"""The life of a worker: enum, table, drawing.

::

    running ──SIGTERM──▶ draining ──nothing unbegun left──▶ yielding ──nothing runs──▶ stopped
       └──────────────────────second signal, or the deadline passed──────────────────────▲

Draining: announced, takes nothing new, returns what it has not begun. Yielding: what runs stops at its next safe point,
is returned, and goes on elsewhere from its checkpoint. The group is served until the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Life(StrEnum):
    """Where a worker is in its life."""

    RUNNING = "running"
    DRAINING = "draining"
    YIELDING = "yielding"
    STOPPED = "stopped"


LIVES: Final[dict[Life, frozenset[Life]]] = {
    Life.RUNNING: frozenset({Life.DRAINING, Life.STOPPED}),
    Life.DRAINING: frozenset({Life.YIELDING, Life.STOPPED}),
    Life.YIELDING: frozenset({Life.STOPPED}),
    Life.STOPPED: frozenset(),
}


def become(now: Life, then: Life) -> Life:
    """Go from one life to another, which the table must allow."""
    if then not in LIVES[now]:
        raise AssertionError(f"no way from {now} to {then}")
    return then
