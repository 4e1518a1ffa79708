"""The checker's model of what is wanted of a task's live children: by a pause, and once the task closes."""

from __future__ import annotations

from typing import Final

from streamsched.domain import events as e

MODES: Final = ("", "return", "yield", "cancel", "kill")
"""What stop markers tell, in rising order; what is wanted is a place in here."""
RETURN, YIELD, CANCEL, KILL = range(1, len(MODES))


class HoldModel:
    """What is wanted, with the offsets from which on it was."""

    def __init__(self) -> None:
        self._wanted: list[tuple[int, int]] = [(-1, 0)]

    def pause(self, offset: int, event: e.TaskPaused) -> None:
        """Hold the task, or let it go on."""
        self._want(offset, 0 if not event.paused else YIELD if event.now else RETURN)

    def close(self, offset: int) -> None:
        """End the hold: what is live is to end."""
        self._want(offset, CANCEL)

    def kill(self, offset: int) -> None:
        """Have what is live killed, until the task goes on after its end."""
        self._want(offset, KILL)

    def go_on(self, offset: int) -> None:
        """Want nothing any more."""
        self._want(offset, 0)

    def at(self, basis: int) -> int:
        """Return what is wanted at a position."""
        return next(wanted for offset, wanted in reversed(self._wanted) if offset < basis)

    def held_at(self, basis: int) -> bool:
        """Return whether the task is paused at a position."""
        return 0 < self.at(basis) < CANCEL

    def _want(self, offset: int, wanted: int) -> None:
        self._wanted.append((offset, wanted))
