"""One async child that runs in an executor's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from streamsched.worker.async_context import AsyncChildContext
from streamsched.worker.context import AnyOutbox, ChildContext
from streamsched.worker.endings import Outcome
from streamsched.worker.jobs import Job, TopicTold
from streamsched.worker.page import Page
from streamsched.worker.voices import Voice

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from streamsched.worker.spans import Spans

LEFT_S: Final = 1.0
"""Seconds that tasks have to end which a child left behind, when they are cancelled."""
WAIT_S: Final = 0.1
"""Between two signs of life of a child that waits for its checkpoint."""
_monotonic_ns = time.monotonic_ns


class Host(Protocol):
    """What an executor does for its lanes."""

    spans: Spans | None

    def given(self, context: ChildContext, job: Job) -> AbstractContextManager[tuple[Job, tuple[Any, ...]]]:
        """Return the job with its arguments filled in, and what its handler gets behind the context."""

    def context_of(self, job: Job, lane: Lane) -> AsyncChildContext:
        """Make the context of a job."""

    def take_like(self, job: Job) -> Job | None:
        """Take the job that waits first, if it is of the same kind."""

    def find_topic(self, name: str, key: int, waits: Callable[[], bool]) -> TopicTold:
        """Ask the pool for a job what a topic is."""

    def end(self, job: Job, context: ChildContext, outcome: Outcome, began: int, wall: int) -> None:
        """Keep the ending of a job until it is sent."""

    def give_back(self) -> None:
        """Return all that has not begun."""

    def flush(self, lane: Lane | None = None) -> None:
        """Send what there is to tell, and the latest checkpoint of this lane."""


class Lane:
    """One async child that runs. Also the transport of its context."""

    def __init__(self, host: Host, page: Page, job: Job, place: int, began: int, wall: int) -> None:
        self._host = host
        self._page = page
        self.job = job
        self.place = place
        self.began = began
        self.wall = wall
        self.checkpointed = 0
        self.confirmed = 0
        self.cancelled = False
        self.inside = False  # its handler runs
        self.task: asyncio.Task[None] | None = None
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """Its own, and those that it made."""
        self.news = asyncio.Event()
        self.context: AsyncChildContext
        self.voice: Voice
        self.span: Span | None = None

    def heartbeat(self) -> None:
        """Touch the page."""
        self._page.beat_lane(self.place, _monotonic_ns())

    def progress(self, done: float, total: float) -> None:
        """Write into the page."""
        self._page.progress_lane(self.place, done, total)

    def wait(self, number: int) -> None:
        """Wait without giving way to others; for code that cannot await."""
        self._host.flush(self)
        while self.confirmed < number and not self.context.should_stop:
            time.sleep(0.001)
            self.heartbeat()

    async def until(self, number: int) -> None:
        """Send the checkpoint now, and wait for its confirmation or a stop; waiting counts as being alive."""
        self._host.flush(self)
        while self.confirmed < number and not self.context.should_stop:
            self.heartbeat()
            self.news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), WAIT_S)

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes what the handler emits."""
        from streamsched.worker.emit import Outbox

        return Outbox(context, self)

    def topic(self, name: str) -> TopicTold:
        """Ask the pool what a topic is, once in a while; nobody else runs until it has answered."""
        return self._host.find_topic(name, self.job.key, self._waits)

    def _waits(self) -> bool:
        self.heartbeat()
        return not self.context.should_stop

    def cancel(self) -> None:
        """Cancel its coroutine, once."""
        if not self.cancelled:
            self.cancelled = True
            self.context.request_stop()
            if self.inside and self.task is not None:
                self.task.cancel()


LANE: Final[ContextVar[Lane | None]] = ContextVar("lane", default=None)


def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
    """Make a task that is known to be its child's."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **more)
    context = more.get("context")
    lane = LANE.get() if context is None else context.get(LANE)
    if lane is not None:
        lane.tasks.add(task)
    return task


async def end_all(lane: Lane) -> bool:
    """Cancel what a child left running; return whether all of it ended."""
    left = {task for task in lane.tasks if task is not lane.task and not task.done()}
    if not left:
        return True
    for task in left:
        task.cancel()
    _, still = await asyncio.wait(left, timeout=LEFT_S)
    return not still
