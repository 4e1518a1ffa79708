"""Waits that double each time, by what they are for."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

KEPT: Final = 10_000
"""Things of which a wait is remembered; then it begins anew."""


class Wait(NamedTuple):
    """A wait: its length, and its end on the clock by which it is measured, in seconds."""

    length: float
    end: float


class Backoff:
    """Waits of ``first_s``, doubling up to ``most_s``, in seconds of any clock that never goes back.

    An event within a wait does not change it. After ``most_s`` without an event the next wait is ``first_s`` again.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first = first_s
        self._most = most_s
        self._waits: dict[Hashable, Wait] = {}

    def wait(self, what: Hashable, now: float) -> Wait:
        """Note that it happened; returns the wait that it is in."""
        last = self._waits.get(what)
        if last is not None and now < last.end:
            return last
        again = last is not None and now < last.end + self._most
        length = min(2 * last.length, self._most) if last is not None and again else self._first
        if len(self._waits) >= KEPT:
            self._waits.clear()
        wait = self._waits[what] = Wait(length, now + length)
        return wait

    def forget(self, what: Hashable) -> None:
        """Begin anew with the first wait."""
        self._waits.pop(what, None)
