"""What an executor reported of a child and the log does not hold yet.

The pool merges the checkpoints of a job, the worker what its attempts report, and ``settlement.py`` writes it, in one
function. What was not written when its owner dies is lost: the next one continues from the durable state. Whoever
writes a state writes the records that it covers, in the same transaction, and no others.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streamsched.domain.events import ChildReturned
from streamsched.worker.jobs import PLAN, Emitted, Ending, JobCheckpointed, JobCompleted, JobReturned, News

CHECKPOINT_FIRST: Final = frozenset({ChildReturned})
"""Outcomes before which the state is written as a checkpoint. The others carry it, or have no use for it."""


class Unsaved(Struct, frozen=True, gc=False):
    """The latest ``state`` (JSON, or None) and its ``number`` within its attempt.

    ``waits``: the handler stands still until this state is durable. ``records``: what was emitted, of this attempt and
    those before it on this worker. The state covers the first ``covered`` of them. ``base``: behind how many of them
    the attempt's own count begins; negative where some of its own are durable.
    """

    state: str | None = None
    number: int = 0
    waits: bool = False
    records: tuple[Emitted, ...] = ()
    base: int = 0
    covered: int = 0
    size: int = 0
    """Bytes of the records."""
    emits: bool = False
    """Whether some of them go to topics, and not into the plan."""

    def emitted(self, records: tuple[Emitted, ...]) -> Unsaved:
        """Add what the attempt emitted."""
        size = self.size + sum([record.size for record in records])
        emits = self.emits or {record.topic for record in records} != {PLAN}
        return replace(self, records=self.records + records, size=size, emits=emits)

    def told(self, state: str, number: int, waits: bool, covered: int) -> Unsaved:
        """Return what is unsaved after a later state of the attempt: it stands for all before it."""
        base, records = self.base, self.records
        return Unsaved(state, number, waits, records, base, base + covered, self.size, self.emits)

    def ended(self, news: Ending) -> Unsaved:
        """Return what is unsaved when the attempt is over: a handler that returned has covered all that it emitted."""
        if isinstance(news, JobCompleted):
            state = self.state if news.state is None else news.state
            return Unsaved(state, 0, False, self.records, self.base, len(self.records), self.size, self.emits)
        if isinstance(news, JobReturned) or news.state is None:
            return self
        return self.told(news.state, 0, False, news.covered)

    def again(self) -> Unsaved:
        """Return what is unsaved when another attempt begins here, from the latest state: the rest is emitted again."""
        kept = self.records[: self.covered]
        size = sum([record.size for record in kept])
        return Unsaved(self.state, 0, False, kept, len(kept), len(kept), size, self.emits and bool(kept))

    @property
    def fault(self) -> str:
        """Why an executor of ours cannot have said so; empty: it can."""
        if 0 <= self.covered <= len(self.records):
            return ""
        return f"its checkpoint covers {self.covered - self.base:,} records, not those that it emitted"

    @property
    def page(self) -> list[Emitted]:
        """The entries of the plan that the state covers."""
        return [record for record in self.records[: self.covered] if record.topic == PLAN]

    def saved(self) -> Unsaved:
        """Return what is unsaved when the state is durable, with the records that it covers."""
        if not self.records and not self.base:
            return NOTHING
        left, base = self.records[self.covered :], self.base - self.covered
        if not left:
            return Unsaved(base=base)
        return Unsaved(records=left, base=base, size=sum([record.size for record in left]), emits=self.emits)


NOTHING: Final = Unsaved()


def merged(news: list[News]) -> list[News]:
    """Merge the checkpoints of each job into its last one. What was emitted is never merged, nor dropped."""
    last: dict[int, int] = {}
    for place, item in enumerate(news):
        if isinstance(item, JobCheckpointed):
            last[item.key] = place
    if not last:
        return news
    return [item for place, item in enumerate(news) if not isinstance(item, JobCheckpointed) or last[item.key] == place]
