"""What an audit remembers in a few bytes: which tasks have ended, which event ids it has read."""

from __future__ import annotations

from array import array
from typing import Final

_MASK: Final = (1 << 64) - 1
_SINGLES: Final = 200_000
"""Processes with a single event (one for each ``submit``) that are remembered."""
_BITS: Final = 32 * 1024 * 1024
"""Bytes of bits for the others."""


class FingerprintSet:
    """Ids of tasks as fingerprints of 64 bits, in an open table: some 16 bytes each."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, task_id: str) -> bool:
        return self._table[self._slot(fingerprint := _fingerprint(task_id))] == fingerprint

    def add(self, task_id: str) -> None:
        """Remember a task."""
        fingerprint = _fingerprint(task_id)
        slot = self._slot(fingerprint)
        if self._table[slot]:
            return
        self._table[slot] = fingerprint
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            known = self._table
            self._table = array("Q", bytes(16 * len(known)))
            for fingerprint in known:
                if fingerprint:
                    self._table[self._slot(fingerprint)] = fingerprint

    def _slot(self, fingerprint: int) -> int:
        """Return the slot of a fingerprint, or the free one for it."""
        table = self._table
        last = len(table) - 1
        slot = fingerprint & last
        while table[slot] and table[slot] != fingerprint:
            slot = slot + 1 & last
        return slot


def _fingerprint(task_id: str) -> int:
    return hash(task_id) & _MASK or 1


class EventIds:
    """Event ids (8 random bytes of a process, then its counter): one bit each, for as many processes as fit.

    The oldest process is forgotten first; its ids then count as new.
    """

    def __init__(self) -> None:
        self._singles: dict[bytes, bytes] = {}
        self._bits: dict[bytes, bytearray] = {}
        self._size = 0

    def repeated(self, event_id: bytes) -> bool:
        """Return whether this id was read before, and remember it."""
        prefix, counter = event_id[:8], event_id[9:]  # between them stands the level of the writer
        bits = self._bits.get(prefix)
        if bits is None:
            single = self._singles.get(prefix)
            if single is None:
                self._singles[prefix] = counter
                if len(self._singles) > _SINGLES:
                    del self._singles[next(iter(self._singles))]
                return False
            if single == counter:
                return True
            del self._singles[prefix]
            bits = self._bits[prefix] = bytearray()
            self._note(bits, int.from_bytes(single))
        return self._note(bits, int.from_bytes(counter))

    def _note(self, bits: bytearray, counter: int) -> bool:
        index, bit = counter >> 3, 1 << (counter & 7)
        if index >= len(bits):
            if index >= _BITS:
                return False  # no process counts so far: not an id of ours
            grown = index + 1 + (index >> 2) - len(bits)
            bits.extend(bytes(grown))
            self._size += grown
            while self._size > _BITS and len(self._bits) > 1:
                self._size -= len(self._bits.pop(next(iter(self._bits))))
        known = bool(bits[index] & bit)
        bits[index] |= bit
        return known
