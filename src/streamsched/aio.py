"""The client for asyncio: the methods of ``Client``, awaited, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar

from streamsched.client import Client
from streamsched.installation.settings import load_settings
from streamsched.queries.tasks import late

if TYPE_CHECKING:
    import builtins

    from streamsched.commands.redrive import Redriven, RedrivePreview
    from streamsched.commands.request import Wanted
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.logs import LogLine
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.task import Task

P = ParamSpec("P")
R = TypeVar("R")
TOGETHER: Final = 100
"""Entries of an iterator that its thread gives at once: children with results of 256 KiB each stay below 26 MB."""
LOOK_S: Final = 0.1
"""Between two looks at a task."""


def _awaited(
    method: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    @wraps(method)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.call(lambda client: method(client, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[Client, P], Iterator[R]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[R]]:
    @wraps(method)
    def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        return self.each(lambda client: method(client, *args, **kwargs))

    return call


def _task(
    method: Callable[Concatenate[Client, P], Task],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, AsyncTask]]:
    @wraps(method)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncTask:
        return AsyncTask(self, await self.call(lambda client: method(client, *args, **kwargs)))

    return call


class AsyncClient:
    """A connection to one installation, as ``Client``. Use it as an async context manager, in one event loop.

    Its thread makes one call after the other. When an await is cancelled, a call that has not begun is not made. One
    that has begun is finished without its caller, and the next one waits for that: a submit may have taken effect.
    """

    def __init__(
        self,
        *,
        brokers: str | None = None,
        data_dir: Path | str | None = None,
        prefix: str | None = None,
        config: Path | str | None = None,
        url: str | None = None,
    ) -> None:
        path = Path(config) if config else None
        self._settings = load_settings(path, brokers=brokers, data_dir=data_dir, prefix=prefix, server=url)
        self._thread = ThreadPoolExecutor(1, "streamsched-client")
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        await self.call(lambda client: None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the view and the log, when the calls that were made have ended."""
        closed = self._thread.submit(self._close)
        self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closed))

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded log."""
        return self._settings.embedded

    async def call(self, function: Callable[[Client], R]) -> R:
        """Call a function with the client, in the thread of the client."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(self._opened()))

    async def each(self, make: Callable[[Client], Iterator[R]], together: int = TOGETHER) -> AsyncGenerator[R]:
        """Iterate over what a function makes of the client, in the thread of the client, so many entries at once."""
        iterator = await self.call(make)
        try:
            while some := await self.call(lambda _: list(islice(iterator, together))):
                for entry in some:
                    yield entry
        finally:
            if isinstance(iterator, Generator):
                with suppress(RuntimeError):  # the client is closed, and the log with it
                    self._thread.submit(iterator.close)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _opened(self) -> Client:
        if self._client is None:
            self._client = Client(settings=self._settings)
        return self._client

    # --- tasks ------------------------------------------------------------------------------------------------------

    async def submit_many(self, wanted: Iterable[Wanted], *, origin: str = "submit") -> builtins.list[AsyncTask]:
        """Request tasks, as ``Client.submit_many``."""
        requests = list(wanted)
        made = await self.call(lambda client: client.submit_many(requests, origin=origin))
        return [AsyncTask(self, task) for task in made]

    async def follow(self, task_id: str, interval: float = LOOK_S) -> AsyncIterator[TaskStatus]:
        """Yield the status of a task now and each ``interval`` seconds, until it has ended."""
        while True:
            status = await self._now(task_id)
            yield status
            if status.done:
                return
            await asyncio.sleep(interval)

    async def follow_active(self, interval: float = LOOK_S) -> AsyncIterator[builtins.list[TaskStatus]]:
        """Yield the statuses of all active tasks now and each ``interval`` seconds, for ever."""
        while True:
            yield await self.call(lambda client: next(client.follow_active()))
            await asyncio.sleep(interval)

    async def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Wait until a task has ended; returns its status. Raise NoSuchTask; TimeoutError after ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (float("inf") if timeout is None else timeout)
        while not (status := await self._now(task_id)).done:
            if loop.time() >= end:
                raise late(status, timeout or 0.0, await self.missing(task_id))
            await asyncio.sleep(min(LOOK_S, max(0.0, end - loop.time())))
        return status

    async def _now(self, task_id: str) -> TaskStatus:
        return await self.call(lambda client: next(client.follow(task_id)))

    submit = _task(Client.submit)
    task = _task(Client.task)
    halted = _awaited(Client.halted)
    cancel = _awaited(Client.cancel)
    pause = _awaited(Client.pause)
    resume = _awaited(Client.resume)
    set_limits = _awaited(Client.set_limits)
    redrive = _awaited(Client.redrive)
    status = _awaited(Client.status)
    missing = _awaited(Client.missing)
    why = _awaited(Client.why)
    tasks = _awaited(Client.tasks)
    list = _awaited(Client.list)
    children = _iterated(Client.children)
    child = _awaited(Client.child)
    arguments = _awaited(Client.arguments)
    attempts = _iterated(Client.attempts)
    results = _iterated(Client.results)
    result = _awaited(Client.result)
    failures = _awaited(Client.failures)
    scaling = _awaited(Client.scaling)
    report = _awaited(Client.report)

    async def logs(self, task_id: str, child: str | None = None, *, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yield what the handlers of a task have printed, as ``Client.logs``."""
        parts = self.each(lambda client: client._reach.log_parts(task_id, child, follow=follow), 1)  # noqa: SLF001
        async with aclosing(parts):
            async for part in parts:
                for line in part:
                    yield line
                if not part:
                    await asyncio.sleep(LOOK_S)

    task_ids = _awaited(Client.task_ids)
    certify = _awaited(Client.certify)

    # --- schedules and the installation -----------------------------------------------------------------------------

    create_schedule = _awaited(Client.create_schedule)
    update_schedule = _awaited(Client.update_schedule)
    pause_schedule = _awaited(Client.pause_schedule)
    resume_schedule = _awaited(Client.resume_schedule)
    trigger_schedule = _awaited(Client.trigger_schedule)
    delete_schedule = _awaited(Client.delete_schedule)
    backfill = _awaited(Client.backfill)
    preview_backfill = _iterated(Client.preview_backfill)
    cancel_backfill = _awaited(Client.cancel_backfill)
    schedule = _awaited(Client.schedule)
    schedules = _awaited(Client.schedules)
    ticks = _iterated(Client.ticks)
    nodes = _awaited(Client.nodes)
    history = _iterated(Client.history)
    rebuild = _awaited(Client.rebuild)
    dead_letters = _iterated(Client.dead_letters)
    dead_letter = _awaited(Client.dead_letter)
    set_aside = _awaited(Client.set_aside)


class AsyncTask:
    """A task of an async client, as ``Task``."""

    def __init__(self, client: AsyncClient, task: Task) -> None:
        self.task_id = task.task_id
        self.first = task.first
        self._client = client

    def __repr__(self) -> str:
        return f"AsyncTask({self.task_id!r})"

    async def status(self) -> TaskStatus:
        """Return the status, with the reason if nothing works on the task. Raise NoSuchTask."""
        return await self._client.status(self.task_id)

    async def wait(self, timeout: float | None = None) -> TaskStatus:
        """Wait until the task has ended and return its status. Raise NoSuchTask; TimeoutError after so many seconds."""
        return await self._client.wait(self.task_id, timeout)

    def children(self, state: str | None = None, *, where: str | None = None) -> AsyncIterator[ChildStatus]:
        """Yield the children in order, those in ``state`` and those that meet the selector ``where``.

        Raise NoSuchTask, SelectorError.
        """
        return self._client.children(self.task_id, state, where=where)

    def results(self, *, where: str | None = None) -> AsyncIterator[ChildStatus]:
        """Yield the children that succeeded (and meet ``where``), in order, with their results. Raise NoSuchTask."""
        return self._client.results(self.task_id, where=where)

    async def result(self) -> Any:
        """Return what the reduce has returned. Raise NoSuchTask; NoResult without one that succeeded."""
        return await self._client.result(self.task_id)

    async def failures(self) -> list[FailureStatus]:
        """Return the failures by their causes, those with the most attempts first. Raise NoSuchTask."""
        return await self._client.failures(self.task_id)

    async def cancel(self, reason: str = "", *, kill: bool = False) -> TaskStatus:
        """Request the cancellation, unless the task has ended, as ``Task.cancel``. Raise NoSuchTask."""
        return await self._client.cancel(self.task_id, reason, kill=kill)

    async def pause(self, *, now: bool = False, reason: str = "") -> TaskStatus:
        """Hold the task, as ``Task.pause``. Raise NoSuchTask, NotHoldable."""
        return await self._client.pause(self.task_id, now=now, reason=reason)

    async def resume(self, *, reason: str = "") -> TaskStatus:
        """End the hold; returns the status after that. Raise NoSuchTask, NotHoldable."""
        return await self._client.resume(self.task_id, reason=reason)

    async def set_limits(self, *, reason: str = "", **limits: object) -> TaskStatus:
        """Replace the limits that are named, as ``Task.set_limits``. Raise NoSuchTask, InputError, NotChangeable."""
        return await self._client.set_limits(self.task_id, reason=reason, **limits)

    async def redrive(
        self, *, where: str | None = None, everything: bool = False, restart: bool = False, reason: str = ""
    ) -> Redriven:
        """Run the children that did not succeed (and meet ``where``) again, or all, as ``Client.redrive``."""
        return await self._client.redrive(
            self.task_id, where=where, everything=everything, restart=restart, reason=reason
        )

    async def preview_redrive(self, *, where: str | None = None, everything: bool = False) -> RedrivePreview:
        """Return how many children ``redrive`` would run again, and of which states; nothing is written."""
        return await self._client.call(
            lambda client: client.task(self.task_id).preview_redrive(where=where, everything=everything)
        )
