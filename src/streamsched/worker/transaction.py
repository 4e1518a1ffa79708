"""One transaction of a worker in the making: what it appends, and which items it settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streamsched.log.port import Append
from streamsched.worker.pending import Child, Item, OwnedPartition, StopMarker

RecordId = tuple[int, int]
"""Partition and offset of a record."""


@dataclass(slots=True)
class Transaction:
    """Collects what one transaction writes about the partitions that are ``owned``."""

    owned: Mapping[int, OwnedPartition]
    appends: list[Append] = field(default_factory=list)
    settled: dict[int, dict[int, Item]] = field(default_factory=dict)
    continued: list[tuple[int, Child]] = field(default_factory=list)
    ended: list[Child] = field(default_factory=list)
    durable: list[Child] = field(default_factory=list)
    recovered: dict[Child, int] = field(default_factory=dict)
    """Children with their count of recoveries."""
    partitions: set[int] = field(default_factory=set)
    closing: dict[StopMarker, int] = field(default_factory=dict)
    """Children that a stop marker will still wait for."""
    notes: int = 0
    emits: bool = False
    """Whether its outcomes are of children that emit."""
    emitted: list[tuple[int, Child]] = field(default_factory=list)
    """From which append on there are records that a child has emitted; in rising order."""
    lone: list[RecordId] = field(default_factory=list)

    def settle(self, item: Item, successors: Iterable[tuple[Append, Child]] = ()) -> None:
        """Settle an item, and append the records that take its place, each with what it will stand for."""
        for append, successor in successors:
            self.continued.append((len(self.appends), successor))
            self.appends.append(append)
        number, offset = item.partition, item.offset
        self.settled.setdefault(number, {})[offset] = self.owned[number].tracker.settle(offset)
        self.partitions.add(number)

    def emitter(self, index: int) -> Child | None:
        """Return the child that emitted the append of this index; None where it is none of these."""
        found = [child for first, child in self.emitted if first <= index]
        return found[-1] if found else None

    def restore(self) -> None:
        """Take back what was settled: nothing was written."""
        for number, items in self.settled.items():
            if number in self.owned:
                self.owned[number].tracker.restore(items)

    def forget(self, partition: int) -> None:
        """Leave out what is of no interest here any more, though it was written."""
        self.continued = [(index, child) for index, child in self.continued if child.partition != partition]
        self.recovered = {child: count for child, count in self.recovered.items() if child.partition != partition}
        for children in (self.ended, self.durable):
            children[:] = [child for child in children if child.partition != partition]
