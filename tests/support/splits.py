"""A split child as its executor runs it, and a worker that may lose any part of what is not durable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamsched.domain.options import SplitOptions
from streamsched.domain.placeholders import encode
from streamsched.worker.context import ChildContext
from streamsched.worker.emit import Outbox
from streamsched.worker.jobs import Emitted, TopicTold
from streamsched.worker.sources.inputs import no_log
from streamsched.worker.sources.split import PLAN_LIMIT, PlanContext, run_split


class Died(BaseException):
    """The executor ends here."""


@dataclass
class Worker:
    """Keeps what is durable: a state, and the entries that it covers. It may die before it takes a page."""

    dies_at: int = -1
    stops_at: int = -1
    """After how many waits."""
    state: str | None = None
    entries: list[str] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    context: PlanContext | None = None
    beats: int = 0
    _waits: int = 0
    _records: list[Emitted] = field(default_factory=list)

    def heartbeat(self) -> None:
        self.beats += 1

    def progress(self, done: float, total: float) -> None: ...

    def outbox(self, context: ChildContext) -> Outbox:
        return Outbox(context, self)

    def topic(self, name: str) -> TopicTold:
        return TopicTold(name, 1, 1_000_000, "")

    def wait(self, number: int) -> None:
        if self._waits == self.dies_at:
            raise Died
        self.settle(again=True)
        if self._waits == self.stops_at:
            assert self.context is not None
            self.context.request_stop()
        self._waits += 1

    def settle(self, *, again: bool = False) -> None:
        """Make durable what the context tells of."""
        context = self.context
        assert context is not None
        unsaved = context.unsaved(again=again)
        if context.outbox is not None:
            self._records += [record for part in context.outbox.take(1) for record in part.records]
        if unsaved is None:
            return
        state, number, covered = unsaved
        durable = len(self.entries) - self._before
        page, self._records = self._records[: covered - durable], self._records[covered - durable :]
        assert [record.partition for record in page] == list(range(len(self.entries), len(self.entries) + len(page)))
        if page:
            self.pages.append(len(page))
        self.entries += [(record.value or b"").decode() for record in page]
        self.state = state
        if context.outbox is not None:
            context.outbox.told(number, covered)
            context.outbox.confirmed(number)

    def attempt(
        self, kind: str, given: Mapping[str, Any], function: Callable[..., Any] | None = None, *,
        item_limit: int = 200_000, plan_limit: int = PLAN_LIMIT,
    ) -> None:  # fmt: skip
        """Run one attempt to its end, or to its death."""
        self._waits, self._records, self._before = 0, [], len(self.entries)
        self.context = PlanContext(self, stage="split", state=self.state, handler="jobs:pieces")
        options = SplitOptions(kind, encode(dict(given)), item_limit)
        try:
            run_split(self.context, options, function, no_log, plan_limit)
        except BaseException:
            self.context.finish()
            raise

    def found(self) -> list[Any]:
        """Return the entries of all pages."""
        return [json.loads(each) for each in self.entries]
