"""What an executor reported of a child and the log does not hold yet.

The pool merges the checkpoints of a job, the worker what its attempts report, and ``settlement.py`` writes it, in one
function. What was not written when its owner dies is lost: the next one continues from the durable state.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from streamsched.domain.events import ChildReturned
from streamsched.worker.jobs import JobCheckpointed, News

CHECKPOINT_FIRST: Final = frozenset({ChildReturned})
"""Outcomes before which the state is written as a checkpoint. The others carry it, or have no use for it."""


class Unsaved(Struct, frozen=True, gc=False):
    """The latest ``state`` (JSON, or None) and its ``number`` within its attempt.

    ``waits``: the handler stands still until this state is durable.
    """

    state: str | None = None
    number: int = 0
    waits: bool = False

    def merge(self, later: Unsaved) -> Unsaved:
        """Return what is unsaved after a later report: a later state stands for all before it."""
        return later if later.state is not None else Unsaved(self.state, self.number, later.waits)


NOTHING: Final = Unsaved()


def merged(news: list[News]) -> list[News]:
    """Merge the checkpoints of each job into its last one."""
    last: dict[int, int] = {}
    for place, item in enumerate(news):
        if isinstance(item, JobCheckpointed):
            last[item.key] = place
    if not last:
        return news
    return [item for place, item in enumerate(news) if not isinstance(item, JobCheckpointed) or last[item.key] == place]
