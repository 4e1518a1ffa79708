"""The phases of a task and the state of a child: enum, table, drawing.

::

    TaskRequested ──▶ requested ──▶ planning ──▶ running ──┬─ last outcome, policy content ─▶ succeeding ─▶ succeeded
                          │            │           ▲       ├─ policy exceeded (*) ──────────▶ failing ────▶ failed
                          │            │           │       └─ TaskCancelRequested ──────────▶ cancelling ─▶ cancelled
                          ├────────────┼───────────┼── TaskCancelRequested ─────────────────▶ cancelling
                          └────────────┴─ TaskRefused ─▶ refused

(*) At once, or with ``run_all`` at the last outcome. Beside an open phase stands the *hold*, which TaskPaused sets.

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
OPEN: Final = frozenset({Phase.REQUESTED, Phase.PLANNING, Phase.RUNNING})
"""The phases that a pause and a cancel can meet."""
CLOSING: Final = frozenset(VERDICTS)
TERMINAL: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.REFUSED})


class Told(IntEnum):
    """What a live dispatch was told, in rising order: the modes of ChildrenStopping."""

    NOTHING = 0
    RETURN = 1
    YIELD = 2
    CANCEL = 3
    KILL = 4


class Hold(IntEnum):
    """Whether a task is paused. Its value is the level that its live dispatches are to be told."""

    NONE = Told.NOTHING
    FINISH = Told.RETURN
    """What runs may finish."""
    NOW = Told.YIELD
    """What runs comes back at its next checkpoint."""


class ChildState(IntEnum):
    """Where a child is. *Live* (dispatched, no accepted outcome yet) are those of ``LIVE``, one for each told level."""

    WAITING = 0
    RUNNING = 1
    STOPPING = 2
    DUE = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    RETURNING = 7
    YIELDING = 8
    KILLING = 9


LIVE: Final[dict[int, Told]] = {
    ChildState.RUNNING: Told.NOTHING,
    ChildState.RETURNING: Told.RETURN,
    ChildState.YIELDING: Told.YIELD,
    ChildState.STOPPING: Told.CANCEL,
    ChildState.KILLING: Told.KILL,
}
"""The states of live children, and the level that each was told."""
ENDED: Final = frozenset({ChildState.SUCCEEDED, ChildState.FAILED, ChildState.CANCELLED})
