"""What is wanted of a child, and what becomes of it then: one table. Pure.

A pause, a cancel, a drain and a hand-over each want something of a child. It keeps the highest intent that it was
given. The table says what is done with it when it is at hand: it waits to begin, or its job has ended.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from streamsched.domain.events import STOP_MODES


class StopIntent(IntEnum):
    """What is wanted of a child, in rising order."""

    NONE = 0
    RETURN = 1
    """It does not begin, and goes back to the scheduler. What the pool holds keeps running."""
    REVOKE = 2
    """It stops at its next checkpoint, and stays in its partition, which goes to another worker."""
    YIELD = 3
    """It stops at its next checkpoint, and goes back to the scheduler."""
    CANCEL = 4
    """It ends, and has a moment to stop."""
    KILL = 5
    """It ends at once."""


class EndingKind(IntEnum):
    """How a child came to hand. Lacking: this worker cannot run it, and ``events.Why`` says why."""

    UNBEGUN = 0
    LACKING = 1
    STOPPED = 2
    FAILED = 3
    COMPLETED = 4


class Outcome(IntEnum):
    """What becomes of it: the event of this name, but for START, and LEAVE: its record waits for the next owner."""

    START = 0
    RETURN = 1
    LEAVE = 2
    YIELD = 3
    FAIL = 4
    CANCEL = 5
    COMPLETE = 6


MODES: Final = {mode: StopIntent[mode.upper()] for mode in STOP_MODES}
"""The intents that a stop marker gives."""
_O: Final = Outcome
OUTCOMES: Final[dict[EndingKind, tuple[Outcome, ...]]] = {
    #                      NONE         RETURN       REVOKE       YIELD        CANCEL       KILL
    EndingKind.UNBEGUN:   (_O.START,    _O.RETURN,   _O.LEAVE,    _O.RETURN,   _O.CANCEL,   _O.CANCEL),
    EndingKind.LACKING:   (_O.RETURN,   _O.RETURN,   _O.LEAVE,    _O.RETURN,   _O.CANCEL,   _O.CANCEL),
    EndingKind.STOPPED:   (_O.START,    _O.RETURN,   _O.YIELD,    _O.RETURN,   _O.CANCEL,   _O.CANCEL),
    EndingKind.FAILED:    (_O.FAIL,     _O.FAIL,     _O.FAIL,     _O.FAIL,     _O.CANCEL,   _O.CANCEL),
    EndingKind.COMPLETED: (_O.COMPLETE, _O.COMPLETE, _O.COMPLETE, _O.COMPLETE, _O.COMPLETE, _O.COMPLETE),
}  # fmt: skip


def outcome_of(ending: EndingKind, intent: StopIntent) -> Outcome:
    """Return what becomes of a child that came to hand in this way."""
    return OUTCOMES[ending][intent]
