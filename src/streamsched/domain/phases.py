"""The phases of a task and the state of a child: enum, table, drawing.

::

    TaskRequested ──▶ requested ──▶ planning ──▶ running ──┬─ last outcome, policy content ─▶ succeeding ─▶ succeeded
                          │            │           ▲       ├─ policy exceeded (*) ──────────▶ failing ────▶ failed
                          │            │           │       └─ TaskCancelRequested ──────────▶ cancelling ─▶ cancelled
                          ├────────────┼───────────┼── TaskCancelRequested ─────────────────▶ cancelling
                          └────────────┴─ TaskRefused ─▶ refused

(*) At once, or with ``run_all`` at the last outcome.

A closing phase (succeeding, failing, cancelling) is irreversible: it waits for its live children, then one terminal
event ends the task. Once every planned child has ended in it, the ending is certain before that event
(``Task.verdict``). TaskRedriven continues a task that has ended: from succeeded, failed and cancelled back to
running, to requested where it was never planned, or to succeeding where nothing is left to do.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a task is on its way."""

    REQUESTED = "requested"
    PLANNING = "planning"
    RUNNING = "running"
    SUCCEEDING = "succeeding"
    FAILING = "failing"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.REQUESTED: frozenset({Phase.PLANNING, Phase.RUNNING, Phase.SUCCEEDING, Phase.CANCELLING, Phase.REFUSED}),
    Phase.PLANNING: frozenset({Phase.RUNNING, Phase.SUCCEEDING, Phase.CANCELLING, Phase.REFUSED}),
    Phase.RUNNING: frozenset({Phase.SUCCEEDING, Phase.FAILING, Phase.CANCELLING}),
    Phase.SUCCEEDING: frozenset({Phase.SUCCEEDED}),
    Phase.FAILING: frozenset({Phase.FAILED}),
    Phase.CANCELLING: frozenset({Phase.CANCELLED}),
    Phase.SUCCEEDED: frozenset({Phase.RUNNING, Phase.SUCCEEDING}),
    Phase.FAILED: frozenset({Phase.RUNNING, Phase.SUCCEEDING}),
    Phase.CANCELLED: frozenset({Phase.REQUESTED, Phase.RUNNING, Phase.SUCCEEDING}),
    Phase.REFUSED: frozenset(),
}
VERDICTS: Final = {
    Phase.SUCCEEDING: Phase.SUCCEEDED,
    Phase.FAILING: Phase.FAILED,
    Phase.CANCELLING: Phase.CANCELLED,
}
"""What each closing phase ends as."""
CLOSING: Final = frozenset(VERDICTS)
TERMINAL: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.REFUSED})


class ChildState(IntEnum):
    """Where a child is. *Live* (dispatched, no accepted outcome yet) are RUNNING and STOPPING."""

    WAITING = 0
    RUNNING = 1
    STOPPING = 2
    DUE = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
