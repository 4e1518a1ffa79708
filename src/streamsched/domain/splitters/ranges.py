"""``split.range``: the integers of a range, in runs of equal size."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from streamsched.domain.placeholders import INTEGER_LIMIT
from streamsched.domain.splitters.port import Input, Params, Splitter, check_integer, require_integers, resolve_integer

_LEAST: Final = {"first": -INTEGER_LIMIT, "last": -INTEGER_LIMIT, "size": 1}


class RangeCut:
    """Children of ``first..last`` in runs of ``size``, numbered from ``begin``; their weight is in integers."""

    __slots__ = ("_begin", "_last", "_origin", "_size", "children")

    def __init__(self, _: Collection[str], first: int, last: int, size: int, begin: int = 0) -> None:
        require_integers(first, last, size, begin)
        self._begin = begin
        self._origin = first - begin * size
        self._last = last
        self._size = size
        self.children = max(0, -((first - last - 1) // size))

    def variables(self, index: int) -> dict[str, int]:
        """Return all variables: numbers."""
        first = self._origin + index * self._size
        last = min(first + self._size - 1, self._last)
        return {"index": index, "first": first, "last": last, "size": last - first + 1}

    def widths(self) -> dict[str, int]:
        """Return the greatest widths: they stand at the ends, for a long negative number is the first."""
        ends = (self.variables(self._begin), self.variables(self._begin + self.children - 1))
        return {name: max(len(str(end[name])) for end in ends) for name in ends[0]}

    def weight(self, index: int) -> int:
        """Return how many integers a child has."""
        return self.variables(index)["size"]

    def slice(self, first: int, last: int) -> Input:
        """Return the part of the range that these children have."""
        begin, end = self.variables(first), self.variables(last)
        return {"first": begin["first"], "last": end["last"], "size": self._size, "begin": first}


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSplit(Splitter):
    """The integers ``first..last`` (inclusive) in runs of ``size``: numbers, or placeholders of integers."""

    kind = "range"
    cut = RangeCut
    variables = frozenset({"index", "first", "last", "size"})

    first: int | str
    last: int | str
    size: int | str

    def check(self, params: Params) -> None:
        """Refuse anything but integers and placeholders of integer variables."""
        for name, least in _LEAST.items():
            check_integer(getattr(self, name), ("split", "range", name), params, least)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the three integers."""
        return {
            name: resolve_integer(getattr(self, name), params, ("split", "range", name), least)
            for name, least in _LEAST.items()
        }
