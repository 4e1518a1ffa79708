"""A key-value store in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence


class DictStore:
    """A dict and its keys in order."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """Read one value."""
        return self._values.get(key)

    def scan(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs of a range in order, as it was at the beginning."""
        keys = self._keys
        for key in keys[bisect_left(keys, begin) : bisect_left(keys, end)]:
            yield key, self._values[key]

    def floor(self, begin: bytes, key: bytes) -> tuple[bytes, bytes] | None:
        """Find the last pair at or below ``key``."""
        at = bisect_right(self._keys, key) - 1
        if at < 0 or self._keys[at] < begin:
            return None
        found = self._keys[at]
        return found, self._values[found]

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Put pairs and delete ranges."""
        keys, values = self._keys, self._values
        for key, value in puts:
            if key not in values:
                keys.insert(bisect_right(keys, key), key)
            values[key] = value
        for begin, end in deletes:
            low, high = bisect_left(keys, begin), bisect_left(keys, end)
            for key in keys[low:high]:
                del values[key]
            del keys[low:high]

    def refresh(self) -> None:
        """Do nothing: there is no other process."""

    def close(self) -> None:
        """Do nothing: it goes with its last user."""
