"""The life of a worker: enum, table, drawing.

::

    running ──SIGTERM──▶ draining ──nothing unbegun left──▶ yielding ──nothing runs──▶ stopped
       └──────────────────────second signal, or the deadline passed──────────────────────▲

Draining: announced, takes nothing new, returns what it has not begun. Yielding: what runs stops at its next safe point,
is returned, and continues elsewhere from its checkpoint. The group is served until the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    RUNNING = "running"
    DRAINING = "draining"
    YIELDING = "yielding"
    STOPPED = "stopped"


TRANSITIONS: Final[dict[WorkerState, frozenset[WorkerState]]] = {
    WorkerState.RUNNING: frozenset({WorkerState.DRAINING, WorkerState.STOPPED}),
    WorkerState.DRAINING: frozenset({WorkerState.YIELDING, WorkerState.STOPPED}),
    WorkerState.YIELDING: frozenset({WorkerState.STOPPED}),
    WorkerState.STOPPED: frozenset(),
}


def transition(now: WorkerState, then: WorkerState) -> WorkerState:
    """Go from one life to another, which the table must allow."""
    if then not in TRANSITIONS[now]:
        raise AssertionError(f"no way from {now} to {then}")
    return then
